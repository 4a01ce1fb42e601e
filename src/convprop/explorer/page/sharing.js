// Weights shared by colour: units and their connections, as the article draws them, forward and back.

import { ask } from "./api.js";
import { el, failed, refill, svg, tick } from "./dom.js";
import { nextWeight, weightChoices } from "./gradient.js";
import { extent, full, kernelOf, largest, mapOf, short } from "./numbers.js";
import { Picture, captioned, cellOf, colour, grey, hideTip, showTip, stacked } from "./picture.js";
import { player } from "./player.js";
import { channelOf, deltaOf, inputOf, layerOf, now, outputOf, paddingOf, set, state } from "./state.js";
import { outputAt, windowOf } from "./forward.js";
import { work } from "./terms.js";

// Nine colours that are told apart with every kind of colour vision; a larger kernel's go round the wheel.
const NINE = [[230, 159, 0], [86, 180, 233], [0, 158, 115], [204, 121, 167], [0, 114, 178], [213, 94, 0], [130, 130, 130], [190, 175, 20], [140, 80, 60]];

function colours(count) {
  if (count <= NINE.length) return NINE.slice(0, count);
  return Array.from({ length: count }, (_, at) => [0, 1, 2].map((part) =>
    Math.round(140 + (at % 2 ? 60 : 95) * Math.cos(2 * Math.PI * (at / count - part / 3)))));
}

export function sharing(root) {
  const kernel = new Picture({ label: "kernel in colours", name: "w", onpoint: (m, n) => set({ weight: [state.weight[0], state.weight[1], m, n] }) });
  const input = new Picture({ label: "input map", name: "o", onpoint: (row, column) => set({ out: outputAt(layerOf("conv"), row, column) }) });
  const output = new Picture({ label: "output map", name: "x", onpoint: (i, j) => set({ out: [state.out[0], i, j] }) });
  const controls = el("div", { class: "bar" });
  const words = el("p", { class: "lead" });
  const caption = el("span");
  const units = el("div", { class: "units" });
  const detail = el("section", { class: "terms" });
  root.append(words, controls, work([
    captioned(kernel, "kernel w"), el("figure", {}, el("figcaption", {}, "units, and weights between them"), units),
    stacked(captioned(input, "input o"), captioned(output, caption)),
  ], detail));
  const play = player("shared", () => set({ weight: nextWeight() }));

  // So many outputs, side by side, are drawn with all that they see.
  function patch(layer) {
    const [rows, columns] = layer.settings.kernel_size;
    const [, height, width] = layer.shape;
    const size = [Math.min(rows * columns > 9 ? 1 : 2, height), Math.min(2, width)];
    const first = [Math.min(state.out[1], height - size[0]), Math.min(state.out[2], width - size[1])];
    return { row: first[0], column: first[1], height: size[0], width: size[1], kind: "window" };
  }

  // Every connection of the patch: an output, a pixel that it sees, and the weight between them.
  function connections(layer, { row, column, height, width }) {
    const { kernel_size: size, dilation, flip_kernel: flips } = layer.settings;
    const found = [];
    for (let i = row; i < row + height; i++)
      for (let j = column; j < column + width; j++) {
        const window = windowOf(layer, i, j);
        for (let p = 0; p < size[0]; p++)
          for (let q = 0; q < size[1]; q++) {
            const [m, n] = flips ? [size[0] - 1 - p, size[1] - 1 - q] : [p, q];
            found.push({ i, j, m, n, row: window.row + p * dilation[0], column: window.column + q * dilation[1] });
          }
      }
    return found;
  }

  // Units of a layer stand in a column, in row order, with a gap after each row.
  function column(pixels, x, height) {
    const rows = new Map();
    for (const [row, column] of pixels) rows.set(row, (rows.get(row) ?? new Set()).add(column));
    const list = [...rows.keys()].sort((a, b) => a - b).flatMap((row, gap) =>
      [...rows.get(row)].sort((a, b) => a - b).map((column) => ({ row, column, gap })));
    const step = height / (list.length + 0.5 * rows.size);
    return new Map(list.map(({ row, column, gap }, at) => [`${row},${column}`, { row, column, x, y: (at + 0.5 * gap + 0.75) * step, side: Math.min(step * 0.84, 30) }]));
  }

  function draw(layer, maps, links, paints) {
    const [, , m, n] = state.weight;
    const height = 430;
    const left = column(links.map((link) => [link.row, link.column]), 84, height);
    const right = column(links.map((link) => [link.i, link.j]), 330, height);
    const mine = (link) => link.m === m && link.n === n;
    const drawing = svg("svg", { viewBox: `0 0 440 ${height}`, role: "img", "aria-label": `${left.size} inputs and ${right.size} outputs, joined by ${links.length} weights of ${paints.length} colours` });
    // The chosen weight's connections lie on top.
    for (const link of [...links].sort((a, b) => mine(a) - mine(b))) {
      const [from, to] = [left.get(`${link.row},${link.column}`), right.get(`${link.i},${link.j}`)];
      const line = svg("line", { x1: from.x + from.side / 2, y1: from.y, x2: to.x - to.side / 2, y2: to.y, stroke: `rgb(${paints[link.m * maps.window.width + link.n]})`, class: mine(link) ? "mine" : "" });
      line.addEventListener("click", () => set({ weight: [state.weight[0], state.weight[1], link.m, link.n] }));
      const value = full(maps.window.values[link.m * maps.window.width + link.n], maps.window.dtype);
      line.addEventListener("pointermove", (event) => showTip(event, `w [${link.m}, ${link.n}] = ${value}`));
      line.addEventListener("pointerleave", hideTip);
      drawing.append(line);
    }
    const unit = ({ row, column, x, y, side }, map, name, paint, beside) => {
      const inside = row >= 0 && column >= 0 && row < map.height && column < map.width;
      const value = inside ? map.values[row * map.width + column] : 0;
      const box = svg("rect", { x: x - side / 2, y: y - side / 2, width: side, height: side, rx: 3, fill: inside ? `rgb(${paint(value)})` : "none", class: inside ? "unit" : "unit padding" });
      box.addEventListener("pointermove", (event) => showTip(event, inside ? `${name} [${row}, ${column}] = ${full(value, map.dtype)}` : `padding: ${layer.settings.padding_value ?? 0}`));
      box.addEventListener("pointerleave", hideTip);
      const words = svg("text", { x: x + beside * (side / 2 + 6), y: y + 4, "text-anchor": beside < 0 ? "end" : "start" }, `${inside ? short(value) : "padding"}`);
      drawing.append(box, words);
    };
    for (const one of left.values()) unit(one, maps.input, "o", maps.paintInput, -1);
    for (const one of right.values()) unit(one, maps.output, state.back ? "δ" : "x", maps.paintOutput, 1);
    units.replaceChildren(drawing);
  }

  // What the chosen weight does at the outputs that are drawn: the engine's products.
  async function products(layer, links) {
    const [k, c, m, n] = state.weight;
    const wanted = { m: String(m), n: String(n) };
    const row = ({ columns }, fits) => {
      const at = columns.value.findIndex((_, place) => Object.entries(fits).every(([name, value]) => columns[name][place] === value));
      return (name) => columns[name][at];
    };
    const mine = links.filter((link) => link.m === m && link.n === n);
    if (state.back) {
      const found = await ask("explain", { number: "weight_gradient", layer: layer.name, at: [k, c, m, n] });
      return [found, mine.map(({ i, j }) => ["delta", row(found, { i: String(i), j: String(j) }), i, j])];
    }
    const all = await Promise.all(mine.map(({ i, j }) => ask("explain", { number: "output", layer: layer.name, at: [k, i, j] })));
    return [null, mine.map(({ i, j }, at) => ["w", row(all[at], { c: String(channelOf(layer, k, c)), ...wanted }), i, j])];
  }

  function table(rows) {
    const cell = (value) => el("td", { class: "number", title: value }, short(value));
    const header = ["output", "input", state.back ? "δ" : "w", "o", "product"];
    return el("div", { class: "table", tabindex: "0", role: "region", "aria-label": "The products" },
      el("table", {}, el("thead", {}, el("tr", {}, header.map((name) => el("th", { scope: "col" }, name)))),
        el("tbody", {}, rows.map(([factor, at, i, j]) => el("tr", {},
          el("td", {}, `${i}, ${j}`), el("td", {}, `${at("row")}, ${at("column")}`), cell(at(factor)), cell(at("o")), cell(at("value")))))));
  }

  return async () => {
    const layer = layerOf("conv");
    root.classList.toggle("empty", !layer);
    if (!layer) return words.replaceChildren("This network has no convolution.");
    if (layer.name !== state.layer) return set({ layer: layer.name });
    const [k, c, m, n] = state.weight;
    if (state.out[0] !== k) return set({ out: [k, state.out[1], state.out[2]] });
    const window = kernelOf(state.maps.parameters[`${layer.name}.weight`], k, c);
    const paints = colours(window.values.length);
    refill(controls, ...weightChoices(layer), tick("back", "on the way back", state.back, (back) => set({ back })), ...play.buttons);
    words.replaceChildren(state.back
      ? "On the way back each output has its delta. A weight is one number wherever it stands, so it answers for all of its places: the delta at each, times the pixel that it met there, is one product of its gradient, and the gradient is their sum (Eq. 13)."
      : "A unit of the convolution sees only a few units of its input, and all units see theirs through the same weights: one colour is one weight. Point at a weight in the kernel, or at a line, to see where it stands; at the maps, to see other units.");
    const back = state.back ? deltaOf(layer) : outputOf(layer);
    const before = inputOf(layer);
    const maps = { window, input: mapOf(before, channelOf(layer, k, c)), output: mapOf(back, k) };
    const range = layer.place === 0 ? extent(before.values) : null;
    const [mostIn, mostOut] = [maps.input, maps.output].map((map) => largest(map.values));
    maps.paintInput = (value) => (range ? grey(value, ...range) : colour(value, mostIn));
    maps.paintOutput = (value) => colour(value, mostOut);
    const frame = patch(layer);
    const links = connections(layer, frame);
    kernel.cell = cellOf(window);
    kernel.show(window, { at: [m, n], text: true, paints });
    const seen = links.map((link) => [link.row, link.column]);
    const [top, left] = [0, 1].map((axis) => Math.min(...seen.map((at) => at[axis])));
    const [bottom, right] = [0, 1].map((axis) => Math.max(...seen.map((at) => at[axis])));
    input.show(maps.input, { range, margin: paddingOf(layer), frames: [{ row: top, column: left, height: bottom - top + 1, width: right - left + 1, kind: "window" }] });
    caption.textContent = state.back ? "deltas δ" : "output x";
    output.name = state.back ? "δ" : "x";
    output.show(maps.output, { frames: [frame] });
    draw(layer, maps, links, paints);
    const asked = now();
    let found;
    let rows;
    try {
      [found, rows] = await products(layer, links);
    } catch (error) {
      return failed(error);
    }
    if (asked !== now()) return;
    const value = full(window.values[m * window.width + n], window.dtype);
    const places = layer.shape[1] * layer.shape[2];
    detail.replaceChildren(
      el("h3", {}, `w[k=${k}, c=${c}, m=${m}, n=${n}] of ${layer.name} = `, el("output", { "data-value": value }, value)),
      el("p", {}, `The map of kernel ${k} has ${places} units, and this weight stands in each of them once. Here are ${rows.length}:`),
      table(rows),
      found ? el("p", {}, `All ${places} products together: ∂E/∂w = `, el("b", { "data-gradient": found.value }, found.value), ". The view Weight gradient lists them.") : "",
    );
  };
}
