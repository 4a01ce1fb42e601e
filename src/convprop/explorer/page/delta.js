// The delta of an input pixel (Eq. 16-22): the region Q that saw it, and the rotated kernel.

import { ask } from "./api.js";
import { integer, layerChoice } from "./controls.js";
import { el, failed, labelled, refill, tick } from "./dom.js";
import { extent, kernelOf, mapOf, turned } from "./numbers.js";
import { Picture, captioned, cellOf, pixel, stacked } from "./picture.js";
import { player } from "./player.js";
import { place } from "./forward.js";
import { deltaOf, inputDeltaOf, inputOf, layerOf, now, set, state } from "./state.js";
import { terms, work } from "./terms.js";

const WORDS = {
  pool: "What reaches a unit is what the windows over it pass on: all of it to a winner, or a share.",
  dense: "Every output has seen every input: the sum runs over all outputs, each one's delta times the weight between them.",
  activation: "The delta behind an activation is the one before it times the slope f′(x): the last factor of Eq. 20.",
  other: "This layer passes every delta on as it is.",
};

// The input after the one that is looked at, in row order; after the last one the first.
export function nextInput() {
  const [channels, height, width] = inputOf(layerOf()).shape;
  if (!width) return [(state.input[0] + 1) % channels, 0, 0];
  const next = (state.input[1] * width + state.input[2] + 1) % (height * width);
  return [state.input[0], Math.floor(next / width), next % width];
}

export function delta(root) {
  const select = (i, j) => set({ input: inputOf(layerOf()).shape.length < 3 ? [j, 0, 0] : [state.input[0], i, j] });
  const input = new Picture({ label: "input map", name: "o", onpoint: select });
  const deltas = new Picture({ label: "deltas of the output", name: "δ", onhover: (at) => look(at && { i: at[0], j: at[1], ...(layerOf().kind === "conv" ? { k: output } : {}) }) });
  const kernel = new Picture({ label: "kernel", name: "w", onhover: (at) => look(weightAt(at)) });
  const products = new Picture({ label: "products of deltas and weights", name: "δ·w", onhover: (at) => look(weightAt(at)) });
  const result = new Picture({ label: "deltas of the input", name: "∂E/∂o", onpoint: select });
  const controls = el("div", { class: "bar" });
  const words = el("p", { class: "lead" });
  const detail = el("section", { class: "terms" });
  let output = 0;
  let found = null;
  const { show, look, goTo } = terms(detail, (place) => mark(place));
  const play = player("pixel", () => set({ input: nextInput() }));
  const [kernelCaption, deltaCaption, resultCaption] = [el("span"), el("span"), el("span")];
  root.append(words, controls, work([
    captioned(input, "input o"), captioned(deltas, deltaCaption),
    stacked(captioned(kernel, kernelCaption), captioned(products, "products δ·w")), captioned(result, resultCaption),
  ], detail));

  // The terms that the shown map of deltas has part in.
  const mine = () => [...found.columns.k.keys()].filter((at) => Number(found.columns.k[at]) === output);

  // The output map that adds most to the delta.
  function strongest() {
    const { k, value } = found.columns;
    const sums = new Map();
    for (const at of k.keys()) sums.set(k[at], (sums.get(k[at]) ?? 0) + Math.abs(Number(value[at])));
    return Number([...sums].reduce((best, one) => (one[1] > best[1] ? one : best), [k[0] ?? 0, 0])[0]);
  }

  function regionQ(chosen) {
    const { k, i, j } = found.columns;
    if (!i) return [];
    const all = k ? mine() : [...i.keys()];
    // The chosen one last, over its neighbours' frames.
    return all.sort((a, b) => (a === chosen) - (b === chosen)).map((at) => pixel(i[at], j[at], at === chosen ? "winner" : "region"));
  }

  // Whether the kernel is drawn turned: rotated, or one that the layer itself lays down flipped; not if both.
  const turns = (layer) => state.flipped !== layer.settings.flip_kernel;

  // Where weight (m, n) is drawn; and, as a turn undoes itself, which weight is drawn there.
  function turn(layer, m, n) {
    const [height, width] = layer.settings.kernel_size;
    return turns(layer) ? [height - 1 - m, width - 1 - n] : [Number(m), Number(n)];
  }

  const drawnAt = (layer, at) => turn(layer, found.columns.m[at], found.columns.n[at]);

  // The indices of the weight that is drawn at a place, and of the shown map.
  function weightAt(place) {
    if (!place) return null;
    const [m, n] = turn(layerOf(), ...place);
    return { m, n, k: output };
  }

  // Where the rotated kernel lies on the padded deltas; with a stride it has gaps, and no frame.
  function sliding(layer) {
    const { kernel_size: size, stride, dilation, padding } = layer.settings;
    if (layer.kind !== "conv" || !state.flipped || stride.some((step) => step > 1)) return [];
    const [height, width] = [0, 1].map((axis) => (size[axis] - 1) * dilation[axis] + 1);
    const [, i, j] = state.input;
    return [{ row: i + padding[0] - height + 1, column: j + padding[2] - width + 1, height, width, kind: "window" }];
  }

  function mark(chosen) {
    const layer = layerOf();
    deltas.frames = [...sliding(layer), ...regionQ(chosen)];
    deltas.draw();
    if (layer.kind !== "conv") return;
    // The weights that the region Q has seen the pixel through.
    kernel.frames = mine().sort((a, b) => (a === chosen) - (b === chosen)).map((at) => pixel(...drawnAt(layer, at), at === chosen ? "winner" : "region"));
    products.frames = mine().filter((at) => at === chosen).map((at) => pixel(...drawnAt(layer, at), "winner"));
    kernel.draw();
    products.draw();
  }

  // δ·w where the weight is drawn; 0 where the region Q is cut off.
  function productMap(layer) {
    const [height, width] = layer.settings.kernel_size;
    const values = new Float64Array(height * width);
    for (const at of mine()) {
      const [row, column] = drawnAt(layer, at);
      values[row * width + column] = Number(found.columns.value[at]);
    }
    return { height, width, values, dtype: "float64" };
  }

  // The output map, its kernel's weights for the pixel's channel, and the products.
  function drawConvolution(layer, after) {
    const [c] = state.input;
    const { groups, dilation, padding, kernel_size: size } = layer.settings;
    const weights = state.maps.parameters[`${layer.name}.weight`];
    const channels = weights.shape[1];
    const [group, perGroup] = [Math.floor(c / channels), layer.shape[0] / groups];
    output = Math.min(Math.max(state.map ?? strongest(), group * perGroup), (group + 1) * perGroup - 1);
    const stored = kernelOf(weights, output, c - group * channels);
    const window = turns(layer) ? turned(stored) : stored;
    kernel.cell = products.cell = cellOf(window);
    kernel.show(window, { text: true });
    products.show(productMap(layer), { text: true });
    // Zeros as far as the rotated kernel reaches beyond the map (Eq. 22).
    const border = padding.map((side, at) => (state.flipped ? Math.max((size[at >> 1] - 1) * dilation[at >> 1] - side, 0) : 0));
    const [over] = sliding(layer);
    deltas.show(mapOf(after, output), {
      margin: border,
      overlay: over && { map: window, row: over.row, column: over.column, step: dilation },
    });
    kernelCaption.textContent = state.flipped ? "w, rotated by 180°" : "kernel w";
    deltaCaption.textContent = state.flipped ? "deltas δ, in zeros (hatched)" : "deltas δ, and the region Q";
  }

  return async () => {
    const layer = layerOf();
    const [c, i, j] = state.input;
    const [before, after] = [inputOf(layer), deltaOf(layer)];
    const [row, rowAfter] = [before.shape.length < 3, after.shape.length < 3];
    const convolves = layer.kind === "conv";
    const asked = now();
    let answer;
    try {
      answer = await ask("explain", { number: "delta", layer: layer.name, at: row ? [c] : [c, i, j] });
    } catch (error) {
      return failed(error);
    }
    if (asked !== now()) return;
    found = answer;
    for (const picture of [kernel, products]) picture.canvas.parentElement.hidden = !convolves;
    if (convolves) drawConvolution(layer, after);
    else deltas.show(mapOf(after, rowAfter ? 0 : c));
    if (!convolves) deltaCaption.textContent = "deltas δ";
    refill(controls,
      layerChoice(layer),
      labelled(row ? "feature" : "channel c", integer("c", c, before.shape[0], (value) => set({ input: [value, i, j] }))),
      convolves && labelled("output k", integer("k", output, layer.shape[0], (value) => set({ map: value }))),
      convolves && tick("flipped", "kernel rotated, δ padded (Eq. 22)", state.flipped, (flipped) => set({ flipped })),
      ...play.buttons,
    );
    words.replaceChildren(!convolves ? WORDS[layer.kind] ?? WORDS.other : state.flipped
      ? "Turn the kernel by 180° and put zeros (hatched) round the deltas, for outputs that do not exist: then all input deltas at once are what the rotated kernel (the small squares) gives as it slides over them. That is Eq. 21 and 22."
      : "Point at an input pixel. It has gone into every output whose window lay over it: the region Q. What it did to E is the sum, over Q and over all output maps k, of each output's delta times the weight through which it saw the pixel (Eq. 16 to 20). Point at a delta or a weight to see which meets which.");
    const chosen = row ? { frames: place(c, before) } : { at: [i, j] };
    input.show(mapOf(before, c), { ...chosen, range: layer.place === 0 ? extent(before.values) : null });
    result.show(mapOf(inputDeltaOf(layer), c), chosen);
    resultCaption.textContent = found.name.startsWith("delta") && found.steps.length ? "∂E/∂o, before f′" : "∂E/∂o";
    mark(null);
    show({ ...found, source: convolves && state.flipped ? `Eq. 22, the same sum as ${found.source}` : found.source });
    if (convolves && mine()[0]) goTo(mine()[0]);
  };
}
