// Controls that several views have.

import { choice, el, labelled } from "./dom.js";
import { layersOf, nameOf, set, state, turnedTo } from "./state.js";

export function layerChoice(layer, ...kinds) {
  const options = layersOf(...kinds).map((one) => [one.name, one.name]);
  const choose = (name) => set({ layer: name });
  return labelled("Layer", choice(options, layer.name, choose, { id: "layer" }));
}

// Of a join: which of the values that it reads; one that is read twice has a number.
export function readChoice(layer) {
  if (layer.reads.length < 2) return null;
  const again = (value) => layer.reads.filter((other) => other === value).length > 1;
  const options = layer.reads.map((value, of) =>
    [of, again(value) ? `${nameOf(value)} (${of})` : nameOf(value)]);
  return labelled("of", choice(options, state.of, (of) => set(turnedTo(Number(of))), { id: "of" }));
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
