// The weight gradient (Eq. 13 and 14): where one weight acts, and what it collects there.

import { ask } from "./api.js";
import { integer, layerChoice } from "./controls.js";
import { el, failed, labelled, refill } from "./dom.js";
import { kernelOf, mapOf, turned } from "./numbers.js";
import { Picture, captioned } from "./picture.js";
import { player } from "./player.js";
import { deltaOf, inputOf, layerOf, paddingOf, now, set, state } from "./state.js";
import { extent } from "./strip.js";
import { terms } from "./terms.js";

export function gradient(root) {
  const weight = new Picture({ label: "kernel", name: "w", onpoint: (m, n) => select(m, n) });
  const result = new Picture({ label: "gradient of the kernel", name: "∂E/∂w", onpoint: (m, n) => select(m, n) });
  const input = new Picture({ label: "input map", name: "o" });
  const delta = new Picture({ label: "deltas of the output", name: "δ" });
  const products = new Picture({ label: "products", name: "δ·o" });
  const controls = el("div", { class: "bar" });
  const words = el("p", { class: "lead" });
  const detail = el("section", { class: "terms" });
  let found = null;
  const show = terms(detail, (place) => mark(place));
  const play = player("weight", () => {
    const [k, c, m, n] = state.weight;
    const [, , height, width] = layerOf("conv").parameters.weight;
    const next = (m * width + n + 1) % (height * width);
    return set({ weight: [k, c, Math.floor(next / width), next % width] });
  });
  root.append(words, controls, el("div", { class: "figures" },
    captioned(weight, "kernel w: point at a weight"), captioned(input, "input o: where it acts"),
    captioned(delta, "deltas δ"), captioned(products, "products δ·o"), captioned(result, "∂E/∂w")), detail);

  const select = (m, n) => set({ weight: [state.weight[0], state.weight[1], m, n] });

  // All pixels that the weight meets while the window slides: as many as there are outputs.
  function region(layer, [, , m, n]) {
    const { stride, padding, dilation } = layer.settings;
    const [, height, width] = layer.shape;
    return {
      row: m * dilation[0] - padding[0], column: n * dilation[1] - padding[2],
      height: (height - 1) * stride[0] + 1, width: (width - 1) * stride[1] + 1, kind: "region",
    };
  }

  // The deltas as the convolution lays them on the input, having turned them back.
  function overlay(layer, k) {
    if (!state.flipped) return null;
    const { row, column } = region(layer, state.weight);
    return { map: mapOf(deltaOf(layer), k), row, column, step: layer.settings.stride };
  }

  function mark(place) {
    const layer = layerOf("conv");
    const at = (row, column) => ({ row: Number(row), column: Number(column), height: 1, width: 1, kind: "winner" });
    const { row, column, i, j } = found.columns;
    input.frames = [region(layer, state.weight), ...(place === null ? [] : [at(row[place], column[place])])];
    const [height, width] = layer.shape.slice(1);
    const turn = (from) => (state.flipped ? { ...from, row: height - 1 - from.row, column: width - 1 - from.column } : from);
    delta.frames = place === null ? [] : [turn(at(i[place], j[place]))];
    products.frames = place === null ? [] : [at(i[place], j[place])];
    for (const picture of [input, delta, products]) picture.draw();
  }

  return async () => {
    const layer = layerOf("conv");
    root.classList.toggle("empty", !layer);
    if (!layer) return words.replaceChildren("This network has no convolution.");
    if (layer.name !== state.layer) return set({ layer: layer.name });
    const [k, c, m, n] = state.weight;
    const weights = state.maps.parameters[`${layer.name}.weight`];
    const [kernels, channels] = weights.shape;
    const channel = Math.floor(k / (kernels / layer.settings.groups)) * channels + c;
    refill(controls,
      layerChoice(layer, "conv"),
      labelled("kernel k", integer("k", k, kernels, (value) => set({ weight: [value, c, m, n] }))),
      labelled("channel c", integer("c", c, channels, (value) => set({ weight: [k, value, m, n] }))),
      labelled("as a convolution with the flipped δ (Eq. 14)", el("input", { id: "flipped", type: "checkbox", checked: state.flipped, onchange: (event) => set({ flipped: event.target.checked }) })),
      ...play.buttons,
    );
    words.replaceChildren(state.flipped
      ? "Now let the deltas be the kernel: a window as large as the output slides over the input, one place for each weight. Under it lies just what the weight has met. A convolution turns its kernel by 180° while it slides; so that the deltas lie the right way round in the end, they are flipped first: the small squares are the deltas, turned back. Step slides them on. That is Eq. 14."
      : "One weight is used at every place of the window. At each it has met a pixel, and at each there is a delta, what the output there did to E. Their products, added up, are the weight's gradient: Eq. 13.");
    weight.cell = result.cell = Math.min(Math.floor(180 / Math.max(...weights.shape.slice(2))), 44);
    weight.show(kernelOf(weights, k, c), { at: [m, n], text: true });
    result.show(kernelOf(state.maps.gradients[`${layer.name}.weight`], k, c), { at: [m, n], text: true });
    input.show(mapOf(inputOf(layer), channel), { frames: [region(layer, state.weight)], margin: paddingOf(layer), overlay: overlay(layer, k), range: layer.place === 0 ? extent(inputOf(layer).values) : null });
    const deltas = mapOf(deltaOf(layer), k);
    delta.label = state.flipped ? "deltas, flipped" : "deltas of the output";
    delta.show(state.flipped ? turned(deltas) : deltas);
    delta.canvas.previousElementSibling.textContent = state.flipped ? "deltas δ, flipped by 180°" : "deltas δ";
    const asked = now();
    let answer;
    try {
      answer = await ask("explain", { number: "weight_gradient", layer: layer.name, at: [k, c, m, n] });
    } catch (error) {
      return failed(error);
    }
    if (asked !== now()) return;
    found = answer;
    products.show({ height: layer.shape[1], width: layer.shape[2], values: Float64Array.from(found.columns.value, Number), dtype: "float64" });
    show({ ...found, source: state.flipped ? "Eq. 14, the same sum as Eq. 13" : found.source });
  };
}
