// The weight gradient (Eq. 13 and 14): where one weight acts, and what it collects there.

import { ask } from "./api.js";
import { weightControls } from "./controls.js";
import { tick } from "./dom.js";
import { kernelOf, mapOf, turned, turnedAt } from "./numbers.js";
import { Picture, captioned, cellOf, pixel, stacked } from "./picture.js";
import { GRADIENT as SAID } from "./prose.js";
import {
  channelOf, deltaOf, gradientsOf, inputOf, layerOf, nextWeight, paddingOf, rangeOf, set, state,
  weightsOf,
} from "./state.js";
import { view } from "./view.js";

export const gradient = (root) => view(root, (here) => {
  const select = (m, n) => set({ weight: [state.weight[0], state.weight[1], m, n] });
  const weight = new Picture({ label: "kernel", name: "w", onpoint: select });
  const result = new Picture({ label: "gradient of the kernel", name: "∂E/∂w", onpoint: select });
  const input = new Picture({
    label: "input map", name: "o",
    onhover: (at) => here.look(at && { row: at[0], column: at[1] }),
  });
  const delta = new Picture({
    label: "deltas of the output", name: "δ", onhover: (at) => here.look(at && named(drawnAt(at))),
  });
  const products = new Picture({
    label: "products", name: "δ·o", onhover: (at) => here.look(at && named(at)),
  });
  const named = ([i, j]) => ({ i, j });

  // All pixels that the weight meets while the window slides: as many as there are outputs.
  function region(layer) {
    const { stride, padding, dilation, kernel_size: size, flip_kernel: flips } = layer.settings;
    const [, , ...stored] = state.weight;
    // A flipped kernel's weight lies on the other side of the window.
    const [m, n] = turnedAt(flips, stored, { height: size[0], width: size[1] });
    const [, height, width] = layer.shape;
    return {
      row: m * dilation[0] - padding[0], column: n * dilation[1] - padding[2],
      height: (height - 1) * stride[0] + 1, width: (width - 1) * stride[1] + 1, kind: "region",
    };
  }

  // Where an output's delta is drawn, and the other way round.
  function drawnAt(at) {
    const [, height, width] = layerOf("conv").shape;
    return turnedAt(state.flipped, at, { height, width });
  }

  function mark(term) {
    const { row, column, i, j } = here.found.columns;
    const framed = (at) => (term === null ? [] : [pixel(...at(), "winner")]);
    input.frames = [region(layerOf("conv")), ...framed(() => [row[term], column[term]])];
    delta.frames = framed(() => drawnAt([i[term], j[term]]));
    products.frames = framed(() => [i[term], j[term]]);
    for (const picture of [input, delta, products]) picture.draw();
  }

  return {
    kinds: ["conv"],
    none: SAID.none,
    player: ["weight", () => set({ weight: nextWeight() })],
    figures: [
      stacked(captioned(weight, "kernel w"), captioned(result, "∂E/∂w")),
      captioned(input, "input o: where it acts"), captioned(delta, "deltas δ"),
      captioned(products, "products δ·o"),
    ],
    controls: (layer) => [
      ...weightControls(layer),
      tick("flipped", "as a convolution with the flipped δ (Eq. 14)", state.flipped,
        (flipped) => set({ flipped })),
    ],
    lead: () => (state.flipped ? SAID.flipped : SAID.plain),

    before(layer) {
      const [k, c, ...at] = state.weight;
      const kernel = kernelOf(weightsOf(layer), k, c);
      weight.cell = result.cell = cellOf(kernel);
      weight.show(kernel, { at, text: true });
      result.show(kernelOf(gradientsOf(layer), k, c), { at, text: true });
      const deltas = mapOf(deltaOf(layer), k);
      const { row, column } = region(layer);
      input.show(mapOf(inputOf(layer), channelOf(layer, k, c)), {
        frames: [region(layer)], margin: paddingOf(layer), range: rangeOf(layer),
        overlay: { map: deltas, row, column, step: layer.settings.stride },
      });
      delta.label = state.flipped ? "deltas, flipped" : "deltas of the output";
      delta.show(state.flipped ? turned(deltas) : deltas);
      delta.caption = state.flipped ? "deltas δ, flipped by 180°" : "deltas δ";
    },

    questions: (layer) => [
      ask("explain", { number: "weight_gradient", layer: layer.name, at: state.weight }),
    ],

    after({ shape: [, height, width] }) {
      const values = Float64Array.from(here.found.columns.value, Number);
      products.show({ height, width, values, dtype: "float64" });
    },

    mark,
    source: () => (state.flipped ? SAID.source : null),
  };
});
