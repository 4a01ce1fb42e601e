// The delta of an input pixel (Eq. 16-22): the region Q that saw it, and the rotated kernel.

import { ask } from "./api.js";
import {
  channelIn, deltaOf, inputDeltaOf, inputOf, ofRead, rangeOf, turns, weightsOf,
} from "./arrays.js";
import { integer, readChoice } from "./controls.js";
import { labelled, tick } from "./dom.js";
import { captioned, stacked } from "./figures.js";
import { framed, pixel, place } from "./frames.js";
import { kernelOf, mapOf, turned, turnedAt } from "./numbers.js";
import { Picture, cellOf } from "./picture.js";
import { following } from "./player.js";
import { DELTA as SAID } from "./prose.js";
import { sent, told } from "./sent.js";
import { layerOf, nameOf, readOf, set, state } from "./state.js";
import { view } from "./view.js";

const convolves = (layer) => layer.kind === "conv";
const isRow = (array) => array.shape.length < 3;

export const delta = (root) => view(root, (here) => {
  // The output map whose deltas are shown.
  let output = 0;
  const select = (i, j) =>
    set({ input: isRow(inputOf(layerOf())) ? [j, 0, 0] : [state.input[0], i, j] });

  const input = new Picture({ label: "input map", name: "o", onpoint: select });
  const deltas = new Picture({
    label: "deltas of the output", name: "δ",
    onhover: (at) => here.look(
      at && { i: at[0], j: at[1], ...(convolves(layerOf()) ? { k: output } : {}) }),
  });
  const kernel = new Picture({
    label: "kernel", name: "w", onhover: (at) => here.look(weightAt(at)),
  });
  const products = new Picture({
    label: "products of deltas and weights", name: "δ·w", onhover: (at) => here.look(weightAt(at)),
  });
  const parts = sent(select);
  const result = new Picture({ label: "deltas of the input", name: "∂E/∂o", onpoint: select });

  // The terms that the shown map of deltas has part in.
  function mine() {
    const { k } = here.found.columns;
    return [...k.keys()].filter((at) => Number(k[at]) === output);
  }

  // The output map that adds most to the delta.
  function strongest() {
    const { k, value } = here.found.columns;
    const sums = new Map();
    for (const at of k.keys()) {
      sums.set(k[at], (sums.get(k[at]) ?? 0) + Math.abs(Number(value[at])));
    }
    const larger = (best, one) => (one[1] > best[1] ? one : best);
    return Number([...sums].reduce(larger, [k[0] ?? 0, 0])[0]);
  }

  // Terms with their frames: the chosen one last, over its neighbours' frames.
  const marked = (all, chosen, placed) => all
    .sort((a, b) => (a === chosen) - (b === chosen))
    .map((at) => pixel(...placed(at), at === chosen ? "winner" : "region"));

  function regionQ(chosen) {
    const { k, i, j } = here.found.columns;
    return i ? marked(k ? mine() : [...i.keys()], chosen, (at) => [i[at], j[at]]) : [];
  }

  // Where a term's weight is drawn; and the indices of the weight that is drawn at a place.
  function drawnAt(at) {
    const { m, n } = here.found.columns;
    return turnedAt(turns(layerOf()), [m[at], n[at]], kernel.map);
  }

  function weightAt(at) {
    if (!at) return null;
    const [m, n] = turnedAt(turns(layerOf()), at, kernel.map);
    return { m, n, k: output };
  }

  // Where the rotated kernel lies on the padded deltas; with a stride it has gaps, and no frame.
  function sliding(layer) {
    if (!convolves(layer) || !state.flipped) return [];
    if (layer.window.stride.some((step) => step > 1)) return [];
    return [framed(layer.window.over(state.input.slice(1)), "window")];
  }

  function mark(chosen) {
    const layer = layerOf();
    deltas.frames = [...sliding(layer), ...regionQ(chosen)];
    deltas.draw();
    if (!convolves(layer)) return;
    // The weights that the region Q has seen the pixel through.
    kernel.frames = marked(mine(), chosen, drawnAt);
    products.frames = marked(mine().filter((at) => at === chosen), chosen, drawnAt);
    kernel.draw();
    products.draw();
  }

  // δ·w where the weight is drawn; 0 where the region Q is cut off.
  function productMap({ height, width }) {
    const values = new Float64Array(height * width);
    for (const at of mine()) {
      const [row, column] = drawnAt(at);
      values[row * width + column] = Number(here.found.columns.value[at]);
    }
    return { height, width, values, dtype: "float64" };
  }

  // The output map, its kernel's weights for the pixel's channel, and the products.
  function drawConvolution(layer) {
    const [c] = state.input;
    const weights = weightsOf(layer);
    const channels = weights.shape[1];
    const [group, perGroup] = [Math.floor(c / channels), layer.shape[0] / layer.settings.groups];
    const wanted = state.map ?? strongest();
    output = Math.min(Math.max(wanted, group * perGroup), (group + 1) * perGroup - 1);
    const stored = kernelOf(weights, output, c - group * channels);
    const window = turns(layer) ? turned(stored) : stored;
    kernel.cell = products.cell = cellOf(window);
    kernel.show(window, { text: true });
    products.show(productMap(window), { text: true });
    const [over] = sliding(layer);
    deltas.show(mapOf(deltaOf(layer), output), {
      // Zeros as far as the rotated kernel reaches beyond the map (Eq. 22).
      margin: state.flipped ? layer.window.beyond : undefined,
      overlay: over && {
        map: window, row: over.row, column: over.column, step: layer.window.dilation,
      },
    });
    kernel.caption = state.flipped ? "w, rotated by 180°" : "kernel w";
    deltas.caption = state.flipped
      ? "deltas δ, in zeros (hatched)" : "deltas δ, and the region Q";
  }

  function drawOther(layer) {
    const after = deltaOf(layer);
    deltas.show(mapOf(after, isRow(after) ? 0 : channelIn(layer, state.input[0])));
    deltas.caption = "deltas δ";
  }

  return {
    player: ["pixel", () => set({ input: following(state.input, inputOf(layerOf()).shape) })],
    figures: [
      captioned(input, ""), captioned(deltas, ""),
      stacked(captioned(kernel, ""), captioned(products, "products δ·w")),
      parts.holder, captioned(result, ""),
    ],
    // The map of deltas that matters most is known with the answer.
    late: true,

    controls(layer) {
      const [c, i, j] = state.input;
      const before = inputOf(layer);
      const choose = (value) => set({ input: [value, i, j] });
      return [
        readChoice(layer),
        labelled(isRow(before) ? "feature" : "channel c",
          integer("c", c, before.shape[0], choose)),
        convolves(layer) && labelled("output k",
          integer("k", output, layer.shape[0], (value) => set({ map: value }))),
        convolves(layer) && tick("flipped", "kernel rotated, δ padded (Eq. 22)", state.flipped,
          (flipped) => set({ flipped })),
      ];
    },
    lead: (layer) => [
      convolves(layer) && state.flipped ? SAID.flipped : SAID[layer.kind] ?? SAID.other,
      ...told(layer),
    ],

    questions: (layer) => [
      ask("explain", {
        number: "delta", layer: layer.name,
        at: isRow(inputOf(layer)) ? state.input.slice(0, 1) : state.input, ...ofRead(layer),
      }),
    ],

    after(layer) {
      for (const picture of [kernel, products]) picture.hidden = !convolves(layer);
      if (convolves(layer)) drawConvolution(layer);
      else drawOther(layer);
      const [c, ...at] = state.input;
      const before = inputOf(layer);
      input.caption = layer.reads.length > 1 ? `input o: ${nameOf(readOf(layer))}` : "input o";
      const chosen = isRow(before) ? { frames: place(c, before) } : { at };
      input.show(mapOf(before, c), { ...chosen, range: rangeOf(readOf(layer)) });
      const most = parts.draw(layer, c, chosen);
      result.show(mapOf(inputDeltaOf(layer), c), { ...chosen, most });
      const { name, steps } = here.found;
      const words = name.startsWith("delta") && steps.length ? "∂E/∂o, before f′" : "∂E/∂o";
      result.caption = most ? `= ${words}` : words;
    },

    mark,
    source: (layer) =>
      (convolves(layer) && state.flipped ? SAID.source(here.found.source) : null),
    first: (layer) => convolves(layer) && mine()[0],
  };
});
