// Weights shared by colour: units and their connections, as the article draws them, forward and
// back.

import { ask } from "./api.js";
import {
  channelOf, deltaOf, inputOf, nextWeight, outputBeginning, outputOf, rangeOf, weightsOf,
} from "./arrays.js";
import { weightControls } from "./controls.js";
import { el, tick } from "./dom.js";
import { captioned, stacked } from "./figures.js";
import { framed } from "./frames.js";
import { full, kernelOf, largest, mapOf, short } from "./numbers.js";
import { Picture, cellOf, colour, grey } from "./picture.js";
import { GRADIENT, SHARING as SAID } from "./prose.js";
import { layerOf, set, state } from "./state.js";
import { units } from "./units.js";
import { view } from "./view.js";

// Nine colours that are told apart with every kind of colour vision; a larger kernel's go round the
// wheel.
const NINE = [
  [230, 159, 0], [86, 180, 233], [0, 158, 115], [204, 121, 167], [0, 114, 178], [213, 94, 0],
  [130, 130, 130], [190, 175, 20], [140, 80, 60],
];

function colours(count) {
  if (count <= NINE.length) return NINE.slice(0, count);
  return Array.from({ length: count }, (_, at) => [0, 1, 2].map((part) =>
    Math.round(140 + (at % 2 ? 60 : 95) * Math.cos(2 * Math.PI * (at / count - part / 3)))));
}

// So many outputs, side by side, are drawn with all that they see.
function patch(layer) {
  const [rows, columns] = layer.window.size;
  const [, height, width] = layer.shape;
  const size = [Math.min(rows * columns > 9 ? 1 : 2, height), Math.min(2, width)];
  const [, i, j] = state.out;
  const [row, column] = [Math.min(i, height - size[0]), Math.min(j, width - size[1])];
  return { row, column, height: size[0], width: size[1], kind: "window" };
}

// Every connection of the patch: an output, a pixel that it sees, and the weight between them.
function connections({ window, settings }, { row, column, height, width }) {
  const found = [];
  for (let i = row; i < row + height; i++)
    for (let j = column; j < column + width; j++)
      for (const [p, q] of window.taps) {
        const [m, n] = window.laid(settings.flip_kernel, [p, q]);
        found.push({ i, j, m, n, row: window.seen(0, i, p), column: window.seen(1, j, q) });
      }
  return found;
}

// The frame round all pixels that are seen.
function seenBy(links) {
  const ends = (end) => ["row", "column"].map((name) => end(...links.map((link) => link[name])));
  return framed([ends(Math.min), ends(Math.max)], "window");
}

// What the chosen weight does at the outputs that are drawn: the engine's products.
async function products(layer, links) {
  const [k, c, m, n] = state.weight;
  // The numbers of the term that has these indices.
  const term = ({ columns }, wanted) => {
    const has = (at) => Object.entries(wanted).every(
      ([name, index]) => columns[name][at] === String(index));
    const at = columns.value.findIndex((_, one) => has(one));
    return (name) => columns[name][at];
  };
  const mine = links.filter((link) => link.m === m && link.n === n);
  if (state.back) {
    const found = await ask("explain",
      { number: "weight_gradient", layer: layer.name, at: [k, c, m, n] });
    return [found, mine.map(({ i, j }) => ["delta", term(found, { i, j }), i, j])];
  }
  const all = await Promise.all(mine.map(({ i, j }) =>
    ask("explain", { number: "output", layer: layer.name, at: [k, i, j] })));
  const channel = channelOf(layer, k, c);
  return [null, mine.map(({ i, j }, at) => ["w", term(all[at], { c: channel, m, n }), i, j])];
}

function table(rows) {
  const cell = (value) => el("td", { class: "number", title: value }, short(value));
  const header = ["output", "input", state.back ? "δ" : "w", "o", "product"];
  return el("div", { class: "table", tabindex: "0", role: "region", "aria-label": "The products" },
    el("table", {},
      el("thead", {}, el("tr", {}, header.map((name) => el("th", { scope: "col" }, name)))),
      el("tbody", {}, rows.map(([factor, at, i, j]) => el("tr", {},
        el("td", {}, `${i}, ${j}`), el("td", {}, `${at("row")}, ${at("column")}`),
        cell(at(factor)), cell(at("o")), cell(at("value")))))));
}

export const sharing = (root) => view(root, ({ detail }) => {
  const choose = (m, n) => set({ weight: [state.weight[0], state.weight[1], m, n] });
  const kernel = new Picture({ label: "kernel in colours", name: "w", onpoint: choose });
  const input = new Picture({
    label: "input map", name: "o",
    onpoint: (...at) => set({ out: outputBeginning(layerOf("conv"), at) }),
  });
  const output = new Picture({
    label: "output map", name: "x", onpoint: (i, j) => set({ out: [state.out[0], i, j] }),
  });
  const drawing = el("div", { class: "units" });
  let links = [];

  function draw(layer, window, maps) {
    const [, , m, n] = state.weight;
    const paints = colours(window.values.length);
    const range = rangeOf(layer.reads[0]);
    const [mostIn, mostOut] = [maps.input, maps.output].map((map) => largest(map.values));
    kernel.cell = cellOf(window);
    kernel.show(window, { at: [m, n], text: true, paints });
    drawing.replaceChildren(units(links, {
      map: maps.input, name: "o", padding: layer.settings.padding_value ?? 0,
      paint: (value) => (range ? grey(value, ...range) : colour(value, mostIn)),
    }, {
      map: maps.output, name: output.name, paint: (value) => colour(value, mostOut),
    }, {
      window, paints, chosen: (link) => link.m === m && link.n === n, onweight: choose,
    }));
  }

  return {
    kinds: ["conv"],
    none: GRADIENT.none,
    player: ["shared", () => set({ weight: nextWeight() })],
    figures: [
      captioned(kernel, "kernel w"),
      el("figure", {}, el("figcaption", {}, "units, and weights between them"), drawing),
      stacked(captioned(input, "input o"), captioned(output, "")),
    ],
    // The map of outputs is the chosen kernel's.
    instead: () => (state.out[0] === state.weight[0]
      ? null : { out: [state.weight[0], ...state.out.slice(1)] }),
    controls: (layer) => [
      ...weightControls(layer),
      tick("back", "on the way back", state.back, (back) => set({ back })),
    ],
    lead: () => (state.back ? SAID.back : SAID.forward),

    before(layer) {
      const [k, c] = state.weight;
      const made = state.back ? deltaOf(layer) : outputOf(layer);
      const maps = { input: mapOf(inputOf(layer), channelOf(layer, k, c)), output: mapOf(made, k) };
      const frame = patch(layer);
      links = connections(layer, frame);
      input.show(maps.input,
        { range: rangeOf(layer.reads[0]), margin: layer.window.padding, frames: [seenBy(links)] });
      output.caption = state.back ? "deltas δ" : "output x";
      output.name = state.back ? "δ" : "x";
      output.show(maps.output, { frames: [frame] });
      draw(layer, kernelOf(weightsOf(layer), k, c), maps);
    },

    questions: (layer) => [products(layer, links)],

    after(layer, [[found, rows]]) {
      const [k, c, m, n] = state.weight;
      const { map } = kernel;
      const value = full(map.values[m * map.width + n], map.dtype);
      const places = layer.shape[1] * layer.shape[2];
      const gradient = found && el("b", { "data-gradient": found.value }, found.value);
      detail.replaceChildren(
        el("h3", {}, `w[k=${k}, c=${c}, m=${m}, n=${n}] of ${layer.name} = `,
          el("output", { "data-value": value }, value)),
        el("p", {}, SAID.places(k, places, rows.length)),
        table(rows),
        found ? el("p", {}, SAID.together(places), gradient, SAID.more) : "",
      );
    },
  };
});
