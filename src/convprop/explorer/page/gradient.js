// The weight gradient (Eq. 13 and 14): where one weight acts, and what it collects there.

import { ask } from "./api.js";
import { integer, layerChoice } from "./controls.js";
import { el, failed, labelled, refill, tick } from "./dom.js";
import { extent, kernelOf, mapOf, turned } from "./numbers.js";
import { Picture, captioned, cellOf, pixel, stacked } from "./picture.js";
import { player } from "./player.js";
import { channelOf, deltaOf, inputOf, layerOf, paddingOf, now, set, state } from "./state.js";
import { terms, work } from "./terms.js";

// The weight after the one that is looked at, in row order.
export function nextWeight() {
  const [k, c, m, n] = state.weight;
  const [, , height, width] = layerOf("conv").parameters.weight;
  const next = (m * width + n + 1) % (height * width);
  return [k, c, Math.floor(next / width), next % width];
}

// Choices of a kernel and of its channel.
export function weightChoices(layer) {
  const [kernels, channels] = layer.parameters.weight;
  const [k, c, m, n] = state.weight;
  return [
    layerChoice(layer, "conv"),
    labelled("kernel k", integer("k", k, kernels, (value) => set({ weight: [value, c, m, n] }))),
    labelled("channel c", integer("c", c, channels, (value) => set({ weight: [k, value, m, n] }))),
  ];
}

export function gradient(root) {
  const select = (m, n) => set({ weight: [state.weight[0], state.weight[1], m, n] });
  const weight = new Picture({ label: "kernel", name: "w", onpoint: select });
  const result = new Picture({ label: "gradient of the kernel", name: "∂E/∂w", onpoint: select });
  const input = new Picture({ label: "input map", name: "o", onhover: (at) => look(at && { row: at[0], column: at[1] }) });
  const delta = new Picture({ label: "deltas of the output", name: "δ", onhover: (at) => look(at && turn({ i: at[0], j: at[1] })) });
  const products = new Picture({ label: "products", name: "δ·o", onhover: (at) => look(at && { i: at[0], j: at[1] }) });
  const controls = el("div", { class: "bar" });
  const words = el("p", { class: "lead" });
  const detail = el("section", { class: "terms" });
  let found = null;
  const { show, look } = terms(detail, (place) => mark(place));
  const play = player("weight", () => set({ weight: nextWeight() }));
  const caption = el("span", {}, "deltas δ");
  root.append(words, controls, work([
    stacked(captioned(weight, "kernel w"), captioned(result, "∂E/∂w")),
    captioned(input, "input o: where it acts"), captioned(delta, caption), captioned(products, "products δ·o"),
  ], detail));

  // All pixels that the weight meets while the window slides: as many as there are outputs.
  function region(layer) {
    const { stride, padding, dilation, kernel_size: size, flip_kernel: flips } = layer.settings;
    const [, , ...stored] = state.weight;
    // A flipped kernel's weight lies on the other side of the window.
    const [m, n] = stored.map((index, axis) => (flips ? size[axis] - 1 - index : index));
    const [, height, width] = layer.shape;
    return {
      row: m * dilation[0] - padding[0], column: n * dilation[1] - padding[2],
      height: (height - 1) * stride[0] + 1, width: (width - 1) * stride[1] + 1, kind: "region",
    };
  }

  // Where an output's delta is drawn, and the other way round.
  function turn({ i, j }) {
    const [, height, width] = layerOf("conv").shape;
    return state.flipped ? { i: height - 1 - i, j: width - 1 - j } : { i, j };
  }

  function mark(place) {
    const layer = layerOf("conv");
    const { row, column, i, j } = found.columns;
    const at = place === null ? null : turn({ i: i[place], j: j[place] });
    input.frames = [region(layer), ...(place === null ? [] : [pixel(row[place], column[place], "winner")])];
    delta.frames = at ? [pixel(at.i, at.j, "winner")] : [];
    products.frames = place === null ? [] : [pixel(i[place], j[place], "winner")];
    for (const picture of [input, delta, products]) picture.draw();
  }

  return async () => {
    const layer = layerOf("conv");
    root.classList.toggle("empty", !layer);
    if (!layer) return words.replaceChildren("This network has no convolution.");
    if (layer.name !== state.layer) return set({ layer: layer.name });
    const [k, c, m, n] = state.weight;
    const weights = state.maps.parameters[`${layer.name}.weight`];
    refill(controls,
      ...weightChoices(layer),
      tick("flipped", "as a convolution with the flipped δ (Eq. 14)", state.flipped, (flipped) => set({ flipped })),
      ...play.buttons,
    );
    words.replaceChildren(state.flipped
      ? "Now let the deltas be the kernel: a window as large as the output slides over the input, one place for each weight. Under it lies just what the weight has met. A convolution turns its kernel by 180° while it slides; so that the deltas lie the right way round in the end, they are flipped first: the small squares are the deltas, turned back. Step slides them on. That is Eq. 14."
      : "Point at a weight of the kernel. It is used at every place of the window. At each it has met a pixel, and at each there is a delta (a small square), what the output there did to E. Their products, added up, are the weight's gradient: Eq. 13.");
    const window = kernelOf(weights, k, c);
    weight.cell = result.cell = cellOf(window);
    weight.show(window, { at: [m, n], text: true });
    result.show(kernelOf(state.maps.gradients[`${layer.name}.weight`], k, c), { at: [m, n], text: true });
    const deltas = mapOf(deltaOf(layer), k);
    const { row, column } = region(layer);
    input.show(mapOf(inputOf(layer), channelOf(layer, k, c)), {
      frames: [region(layer)], margin: paddingOf(layer), range: layer.place === 0 ? extent(inputOf(layer).values) : null,
      overlay: { map: deltas, row, column, step: layer.settings.stride },
    });
    delta.label = state.flipped ? "deltas, flipped" : "deltas of the output";
    delta.show(state.flipped ? turned(deltas) : deltas);
    caption.textContent = state.flipped ? "deltas δ, flipped by 180°" : "deltas δ";
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
    mark(null);
    show({ ...found, source: state.flipped ? "Eq. 14, the same sum as Eq. 13" : found.source });
  };
}
