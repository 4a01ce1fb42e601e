// What is looked at, which is also what the address says after its #.

// out: an output's k, i, j. weight: k, c, m, n. input: an input's c, i, j. Where none is named it is the middle
// pixel, or the first weight. channel: the input channel that Forward shows; map: the output map that Delta shows. target: of
// the image's loss, -1 for its own label. geometry: of Arithmetic, in the order of its fields; place: its pixel.
const DEFAULTS = {
  view: "forward", layer: "", mode: "output", index: 0, target: -1,
  out: null, weight: null, input: null, channel: 0, map: 0, flipped: false, back: false,
  geometry: [7, 3, 1, 0, 1], transposed: false, place: [0, 0], section: -1,
};
const LISTS = ["out", "weight", "input", "geometry", "place"];

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
  Object.assign(state, "layer" in changes ? movedTo(changes.layer) : {}, changes);
  clamp();
  history.replaceState(null, "", address());
  for (const listener of listeners) await listener(state);
}

// What else changes with the layer: indices stay where its arrays have the same shape, and begin anew elsewhere.
export function movedTo(layer) {
  const [from, to] = [state.layer, layer].map(shapesOf);
  const kept = (name, at) => (String(from?.[at]) === String(to?.[at]) ? state[name] : null);
  return { layer, out: kept("out", 0), input: kept("input", 1), weight: kept("weight", 2) };
}

// The shapes of a layer's output, input and weights.
function shapesOf(name) {
  const { layers = [], input } = state.network ?? {};
  const place = layers.findIndex((layer) => layer.name === name);
  if (place < 0) return null;
  return [layers[place].shape, place ? layers[place - 1].shape : input, layers[place].parameters.weight];
}

export function address() {
  const words = new URLSearchParams();
  for (const [name, value] of Object.entries(DEFAULTS)) {
    if (String(state[name]) !== String(value)) words.set(name, String(state[name]));
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
    const number = (part) => Number.parseInt(part, 10) || 0;
    if (LISTS.includes(name)) found[name] = value.split(",").map(number);
    else found[name] = { number, boolean: (word) => word === "true", string: String }[typeof DEFAULTS[name]](value);
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

// The channel of a convolution's input that channel c of kernel k lies on.
export function channelOf(layer, k, c) {
  const [kernels, channels] = layer.parameters.weight;
  return Math.floor(k / (kernels / layer.settings.groups)) * channels + c;
}

// Indices that the network does not have are moved to the nearest that it has.
function clamp() {
  const { network } = state;
  if (!network) return;
  const layer = network.layers.find((one) => one.name === state.layer) ?? network.layers[0];
  state.layer = layer.name;
  state.index = Math.min(Math.max(state.index, 0), network.images - 1);
  if (state.target >= network.classes.length) state.target = -1;
  const [shape, before, weight] = shapesOf(layer.name);
  state.out = fitted(state.out, shape, middle(shape));
  state.input = fitted(state.input, before, middle(before));
  state.weight = fitted(state.weight, weight ?? [1, 1, 1, 1], [0, 0, 0, 0]);
}

const middle = ([, height = 1, width = 1]) => [0, height >> 1, width >> 1];

function fitted(indices, shape, otherwise) {
  return otherwise.map((index, n) => Math.min(Math.max(indices?.[n] ?? index, 0), (shape[n] ?? 1) - 1));
}
