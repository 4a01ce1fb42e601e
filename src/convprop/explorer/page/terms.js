// A number's terms: heading, equation, table, sum.

import { button, el, equation, say } from "./dom.js";
import { short } from "./numbers.js";
import { TERMS as SAID } from "./prose.js";

const WORDS = {
  w: "w", o: "o", delta: "δ", value: "product", share: "share", row: "row", column: "col",
  x: "x", "f'": "f′", k: "k", c: "c", m: "m", n: "n", i: "i", j: "j", f: "f", wins: "wins",
  image: "image", t: "t", y: "y", p: "p", "-log p": "−log p", "y-t": "y−t",
};
const SHOWN = 120;

// Figures, and beside them, where there is room, the terms of the number that they show.
export function work(figures, detail) {
  return el("div", { class: "work" }, el("div", { class: "figures" }, figures), detail);
}

// onterm(place) is told which term is pointed at, null when none is.
export function terms(root, onterm = () => {}) {
  let all = false;
  let last = null;
  let rows = null;

  // Marks a term, which its view is told; `reach` brings it into sight.
  function point(place, reach = false) {
    for (const row of rows.children) {
      row.classList.toggle("at", place !== null && row.dataset.term === String(place));
    }
    if (reach) goTo(place);
    onterm(place);
  }

  // Scrolls the table, and nothing around it.
  function goTo(place) {
    if (place >= rows.querySelectorAll("[data-term]").length) showAll();
    const row = rows.querySelector(`[data-term="${place}"]`);
    const table = rows.closest(".table");
    if (row && table) table.scrollTop = row.offsetTop - table.clientHeight / 2;
  }

  function showAll() {
    all = true;
    draw(last);
  }

  // Marks the first term that has these indices, if there are any and one has.
  function look(indices) {
    if (!last) return;
    const wanted = Object.entries(indices ?? {});
    const has = (at) => wanted.every(([name, index]) => last.columns[name]?.[at] === String(index));
    const place = indices ? last.columns.value.findIndex((_, at) => has(at)) : -1;
    point(place < 0 ? null : place, place >= 0);
  }

  function draw(found) {
    last = found;
    const columns = columnsOf(found);
    const count = found.columns.value.length;
    const shown = all ? count : Math.min(count, SHOWN);
    const header = columns.map(([name]) => el("th", { scope: "col" }, name));
    const body = rows = el("tbody");
    if (found.start[0]) {
      body.append(el("tr", { class: "start" },
        el("td", { colspan: columns.length - 1 }, `bias ${found.start[0]}`), cell(found.start[1])));
    }
    for (let place = 0; place < shown; place++) {
      const cells = columns.map(([, values, isWhole]) =>
        (isWhole ? el("td", {}, values[place]) : cell(values[place])));
      body.append(el("tr", {
        "data-term": place,
        onpointerenter: () => point(place), onpointerleave: () => point(null),
      }, cells));
    }
    const table = el("div", {
      id: "products", class: "table", tabindex: "0", role: "region", "aria-label": SAID.table,
      onkeydown: key, onblur: () => point(null),
    }, el("table", {}, el("thead", {}, el("tr", {}, header)), body));

    // What the mouse finds by pointing, the keyboard does by going down the rows.
    function key(event) {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const from = Number(body.querySelector(".at")?.dataset.term ?? (step > 0 ? -1 : 0));
      const place = Math.min(Math.max(from + step, 0), shown - 1);
      point(place, true);
      say(columns.map(([name, values]) => `${name} ${values[place]}`).join(", "));
    }

    // Read before anything changes: afterwards it would have to be laid out for it.
    const room = root.clientWidth;
    const focused = root.contains(document.activeElement) ? document.activeElement.id : "";
    root.replaceChildren(
      el("h3", {}, `${found.name} = `, el("output", { "data-value": found.value }, found.value)),
      el("p", { class: "source" }, found.source),
      el("div", { class: "worked" }, found.equation.map(equation)),
      table,
      count > shown ? button(SAID.all(count), showAll) : "",
      ...found.steps.map(([words, value]) => el("p", {}, `Then ${words}: `, el("b", {}, value))),
      el("p", { class: "verdict" }, `${found.running.length ? SAID.added : ""}${found.total}`,
        found.exact ? SAID.exact : SAID.other(found.value)),
      found.remark ? el("p", {}, found.remark) : "",
    );
    if (focused === table.id) table.focus({ preventScroll: true });
    for (const holder of root.querySelectorAll(".equation")) fit(holder, room);
  }

  return { show: draw, look, goTo };
}

// The table's columns: indices, factors, the product, the sum so far. Each is its heading, its
// values, and whether they are whole.
function columnsOf({ columns, factors, whole, running }) {
  const hidden = (name) => name === "value" || name === "image" || name.endsWith(" again");
  const names = Object.keys(columns).filter((name) => !hidden(name));
  const indices = names.filter((name) => whole.includes(name));
  const numbers = names.filter((name) => !whole.includes(name));
  const shown = [...indices, ...numbers, ...(factors.length > 1 ? ["value"] : [])];
  const found = shown.map((name) => [WORDS[name] ?? name, columns[name], indices.includes(name)]);
  return running.length ? [...found, ["sum", running, false]] : found;
}

// An equation that is too long for its place is set smaller, as far as one can still read it.
function fit(holder, room) {
  const math = holder.firstElementChild;
  // About so many pixels a letter, at the size of the style sheet.
  const part = room / (8.4 * math.textContent.length);
  if (part < 1) math.style.fontSize = `${Math.max(part, 0.7)}em`;
  holder.classList.toggle("cut", part < 0.7);
}

function cell(value) {
  return el("td", { class: "number", title: value }, short(value));
}
