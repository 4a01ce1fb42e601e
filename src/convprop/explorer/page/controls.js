// Controls that several views have.

import { choice, el, labelled } from "./dom.js";
import { layersOf, set, state } from "./state.js";

export function layerChoice(layer, ...kinds) {
  const options = layersOf(...kinds).map((one) => [one.name, one.name]);
  const choose = (name) => set({ layer: name });
  return labelled("Layer", choice(options, layer.name, choose, { id: "layer" }));
}

export function integer(id, value, count, onchange) {
  const input = el("input", { id, type: "number", min: 0, max: count - 1, value });
  const fitted = () => Math.min(Math.max(Number.parseInt(input.value, 10) || 0, 0), count - 1);
  input.addEventListener("change", () => onchange(fitted()));
  return input;
}

// Choices of a kernel and of its channel.
export function weightControls(layer) {
  const [kernels, channels] = layer.parameters.weight;
  const [k, c, m, n] = state.weight;
  return [
    labelled("kernel k", integer("k", k, kernels, (value) => set({ weight: [value, c, m, n] }))),
    labelled("channel c", integer("c", c, channels, (value) => set({ weight: [k, value, m, n] }))),
  ];
}
