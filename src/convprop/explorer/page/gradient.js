// The weight gradient (Eq. 13 and 14): where one weight acts, and what it collects there.

import { ask } from "./api.js";
import {
  channelOf, deltaOf, gradientsOf, inputOf, nextWeight, rangeOf, weightsOf,
} from "./arrays.js";
import { weightControls } from "./controls.js";
import { tick } from "./dom.js";
import { captioned, stacked } from "./figures.js";
import { framed, pixel } from "./frames.js";
import { kernelOf, mapOf, turned, turnedAt } from "./numbers.js";
import { Picture, cellOf } from "./picture.js";
import { GRADIENT as SAID } from "./prose.js";
import { layerOf, set, state } from "./state.js";
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
  function region({ window, settings, shape }) {
    const taps = window.laid(settings.flip_kernel, state.weight.slice(2));
    return framed(window.met(taps, shape.slice(1)), "region");
  }

  // Where an output's delta is drawn, and the other way round.
  function drawnAt(at) {
    const [, height, width] = layerOf("conv").shape;
    return turnedAt(state.flipped, at, { height, width });
  }

  function mark(term) {
    const { row, column, i, j } = here.found.columns;
    const winner = (at) => (term === null ? [] : [pixel(...at(), "winner")]);
    input.frames = [region(layerOf("conv")), ...winner(() => [row[term], column[term]])];
    delta.frames = winner(() => drawnAt([i[term], j[term]]));
    products.frames = winner(() => [i[term], j[term]]);
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
      const gradients = gradientsOf(layer);
      // Weights that are not trained have none, as the server will say.
      result.canvas.hidden = !gradients;
      if (gradients) result.show(kernelOf(gradients, k, c), { at, text: true });
      const deltas = mapOf(deltaOf(layer), k);
      const { row, column } = region(layer);
      input.show(mapOf(inputOf(layer), channelOf(layer, k, c)), {
        frames: [region(layer)], margin: layer.window.padding, range: rangeOf(layer.reads[0]),
        overlay: { map: deltas, row, column, step: layer.window.stride },
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
