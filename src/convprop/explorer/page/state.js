// What is looked at, which is also what the address says after its #.

const LISTS = ["out", "weight", "input"];
const DEFAULTS = {
  view: "forward", layer: null, mode: "output", index: 0,
  out: [0, 0, 0], weight: [0, 0, 0, 0], input: [0, 0, 0], flipped: false,
};

export const state = { ...DEFAULTS, network: null, maps: null };
const listeners = [];

export function onChange(listener) {
  listeners.push(listener);
}

// Counts the changes: an answer to a question of an earlier one comes too late.
let turn = 0;
export const now = () => turn;

export async function set(changes) {
  turn += 1;
  Object.assign(state, changes);
  clamp();
  history.replaceState(null, "", address());
  for (const listener of listeners) await listener(state);
}

export function address() {
  const words = new URLSearchParams();
  for (const name of Object.keys(DEFAULTS)) {
    const value = state[name];
    if (LISTS.includes(name) || String(value) !== String(DEFAULTS[name])) words.set(name, String(value));
  }
  return `#${words}`;
}

export function readAddress() {
  // A saved page that is opened without an address has the one that it was saved at.
  const saved = document.querySelector("meta[name=address]")?.content ?? "";
  const words = new URLSearchParams((location.hash || saved).slice(1));
  const found = { ...DEFAULTS };
  for (const [name, value] of words) {
    if (!(name in DEFAULTS)) continue;
    if (LISTS.includes(name)) found[name] = value.split(",").map((part) => Number.parseInt(part, 10) || 0);
    else if (name === "index") found.index = Number.parseInt(value, 10) || 0;
    else if (name === "flipped") found.flipped = value === "true";
    else found[name] = value;
  }
  return found;
}

// Which of the layers are of these kinds (of any, if none is named), and the one that is looked at, or the first.
export function layersOf(...kinds) {
  const layers = state.network.layers.map((layer, place) => ({ ...layer, place }));
  return kinds.length ? layers.filter((layer) => kinds.includes(layer.kind)) : layers;
}

export function layerOf(...kinds) {
  const layers = layersOf(...kinds);
  return layers.find((layer) => layer.name === state.layer) ?? layers[0] ?? null;
}

// Arrays of a layer's input and output: outputs[0] is the image as the network sees it.
export const inputOf = (layer) => state.maps.outputs[layer.place];
export const outputOf = (layer) => state.maps.outputs[layer.place + 1];
export const deltaOf = (layer) => state.maps.deltas[layer.place + 1];
export const inputDeltaOf = (layer) => state.maps.deltas[layer.place];

// (top, bottom, left, right)
export const paddingOf = (layer) => layer.settings.padding ?? [0, 0, 0, 0];

// Indices that a layer does not have are moved to the nearest that it has.
function clamp() {
  if (!state.network) return;
  const layer = state.network.layers.find((one) => one.name === state.layer) ?? state.network.layers[0];
  state.layer = layer.name;
  const place = state.network.layers.indexOf(layer);
  const before = place ? state.network.layers[place - 1].shape : state.network.input;
  state.out = fitted(state.out, layer.shape);
  state.input = fitted(state.input, before);
  if (layer.parameters.weight) state.weight = fitted(state.weight, layer.parameters.weight);
}

function fitted(indices, shape) {
  return [0, 1, 2, 3].slice(0, Math.max(indices.length, shape.length)).map((n) =>
    Math.min(Math.max(indices[n] ?? 0, 0), (shape[n] ?? 1) - 1));
}
