// A number's terms: heading, equation, table, sum.

import { button, el, equation } from "./dom.js";
import { short } from "./numbers.js";

const WORDS = {
  w: "w", o: "o", delta: "δ", value: "product", share: "share", row: "row", column: "column",
  x: "x", "f'": "f′", k: "k", c: "c", m: "m", n: "n", i: "i", j: "j", f: "f", wins: "wins",
  image: "image", t: "t", y: "y", p: "p", "-log p": "−log p", "y-t": "y−t",
};
const SHOWN = 200;

// onterm(place) is told which term is pointed at, null when none is.
export function terms(root, onterm = () => {}) {
  let all = false;
  let last = null;

  function draw(found) {
    last = found;
    const names = Object.keys(found.columns).filter((name) => name !== "value" && !name.endsWith(" again") && name !== "image");
    const products = found.factors.length > 1;
    const whole = names.filter((name) => found.whole.includes(name));
    const numbers = names.filter((name) => !found.whole.includes(name));
    const header = [...whole, ...numbers, ...(products ? ["value"] : []), ...(found.running.length ? ["sum"] : [])];
    const count = found.columns.value.length;
    const shown = all ? count : Math.min(count, SHOWN);
    const body = el("tbody");
    if (found.start[0]) {
      body.append(el("tr", { class: "start" },
        el("td", { colspan: header.length - 1 }, `bias ${found.start[0]}`), cell(found.start[1])));
    }
    for (let place = 0; place < shown; place++) {
      const row = el("tr", { "data-term": place, onpointerenter: () => onterm(place), onpointerleave: () => onterm(null) });
      for (const name of whole) row.append(el("td", {}, found.columns[name][place]));
      for (const name of numbers) row.append(cell(found.columns[name][place]));
      if (products) row.append(cell(found.columns.value[place]));
      if (found.running.length) row.append(cell(found.running[place]));
      body.append(row);
    }
    root.replaceChildren(
      el("h3", {}, found.name, " = ", el("output", { "data-value": found.value }, found.value)),
      el("p", { class: "source" }, found.source),
      el("div", { class: "worked" }, found.equation.map(equation)),
      el("div", { class: "table", tabindex: "0", role: "region", "aria-label": "The products" },
        el("table", {}, el("thead", {}, el("tr", {}, header.map((name) => el("th", { scope: "col" }, WORDS[name] ?? name)))), body)),
      count > shown ? button(`Show all ${count} terms`, () => { all = true; draw(last); }) : "",
      ...found.steps.map(([words, value]) => el("p", {}, `Then ${words}: `, el("b", {}, value))),
      el("p", { class: "verdict" }, found.exact
        ? `Added up in this order: ${found.total}. The engine's number, bit for bit.`
        : `Added up in this order: ${found.total}. The engine's number: ${found.value}.`),
      found.remark ? el("p", {}, found.remark) : "",
    );
  }

  return draw;
}

function cell(value) {
  return el("td", { class: "number", title: value }, short(value));
}
