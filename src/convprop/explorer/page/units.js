// Units of two layers and the weights between them, drawn as the article draws them.

import { svg } from "./dom.js";
import { full, short } from "./numbers.js";
import { hideTip, showTip } from "./picture.js";
import { SHARING as SAID } from "./prose.js";

const [WIDTH, HEIGHT] = [440, 430];

// Units of a layer stand in a column, in row order, with a gap after each row.
function column(pixels, x) {
  const rows = new Map();
  for (const [row, at] of pixels) rows.set(row, (rows.get(row) ?? new Set()).add(at));
  const ascending = (some) => [...some].sort((a, b) => a - b);
  const list = ascending(rows.keys()).flatMap((row, gap) =>
    ascending(rows.get(row)).map((at) => ({ row, column: at, gap })));
  const step = HEIGHT / (list.length + 0.5 * rows.size);
  const side = Math.min(step * 0.84, 30);
  return new Map(list.map(({ row, column: at, gap }, place) =>
    [`${row},${at}`, { row, column: at, x, y: (place + 0.5 * gap + 0.75) * step, side }]));
}

function tips(shape, words) {
  shape.addEventListener("pointermove", (event) => showTip(event, words));
  shape.addEventListener("pointerleave", hideTip);
}

// One unit with its value beside it: to its left where `beside` is -1, to its right where it is 1.
function unit({ row, column: at, x, y, side }, { map, name, paint, padding }, beside) {
  const inside = row >= 0 && at >= 0 && row < map.height && at < map.width;
  const value = inside ? map.values[row * map.width + at] : 0;
  const box = svg("rect", {
    x: x - side / 2, y: y - side / 2, width: side, height: side, rx: 3,
    fill: inside ? `rgb(${paint(value)})` : "none", class: inside ? "unit" : "unit padding",
  });
  tips(box, inside
    ? `${name} [${row}, ${at}] = ${full(value, map.dtype)}` : `padding: ${padding}`);
  const words = svg("text", {
    x: x + beside * (side / 2 + 6), y: y + 4, "text-anchor": beside < 0 ? "end" : "start",
  }, inside ? short(value) : "padding");
  return [box, words];
}

// A connection, in the colour of its weight.
function line(from, to, { m, n }, { window, paints, chosen, onweight }) {
  const at = m * window.width + n;
  const drawn = svg("line", {
    x1: from.x + from.side / 2, y1: from.y, x2: to.x - to.side / 2, y2: to.y,
    stroke: `rgb(${paints[at]})`, class: chosen({ m, n }) ? "mine" : "",
  });
  drawn.addEventListener("click", () => onweight(m, n));
  tips(drawn, `w [${m}, ${n}] = ${full(window.values[at], window.dtype)}`);
  return drawn;
}

// links: { i, j, m, n, row, column }, an output, the weight and the pixel that it joins.
// input, output: { map, name, paint, padding }. weights: { window, paints, chosen, onweight }.
export function units(links, input, output, weights) {
  const left = column(links.map((link) => [link.row, link.column]), 84);
  const right = column(links.map((link) => [link.i, link.j]), 330);
  const words = SAID.units(left.size, right.size, links.length, weights.paints.length);
  // The chosen weight's connections lie on top.
  const sorted = [...links].sort((a, b) => weights.chosen(a) - weights.chosen(b));
  return svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": words },
    ...sorted.map((link) => line(
      left.get(`${link.row},${link.column}`), right.get(`${link.i},${link.j}`), link, weights)),
    ...[...left.values()].flatMap((one) => unit(one, input, -1)),
    ...[...right.values()].flatMap((one) => unit(one, output, 1)));
}
