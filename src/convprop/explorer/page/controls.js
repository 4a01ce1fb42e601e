// Controls that several views have.

import { choice, el, labelled } from "./dom.js";
import { layersOf, set } from "./state.js";

export function layerChoice(layer, ...kinds) {
  const options = layersOf(...kinds).map((one) => [one.name, one.name]);
  return labelled("Layer", choice(options, layer.name, (name) => set({ layer: name }), { id: "layer" }));
}

export function integer(id, value, count, onchange) {
  const input = el("input", { id, type: "number", min: 0, max: count - 1, value });
  input.addEventListener("change", () => onchange(Math.min(Math.max(Number.parseInt(input.value, 10) || 0, 0), count - 1)));
  return input;
}
