// What is looked at, which is also what the address says after its #.

import { inside, largestAt } from "./numbers.js";
import { Window } from "./window.js";

// out: an output's k, i, j. weight: k, c, m, n. input: an input's c, i, j. Where none is named it
// is the one with the largest output, gradient or delta. channel: the input channel that Forward
// shows; map: the output map that Delta shows, by default the one that matters most; of: which of
// the values that a join reads Delta shows. index: of the data's images; target: of the image's
// loss, -1 for its own label. geometry: of Arithmetic, in the order of its fields; place: its
// pixel.
const DEFAULTS = {
  view: "forward", layer: "", mode: "output", index: null, target: -1,
  out: null, weight: null, input: null, channel: 0, map: null, of: 0, flipped: false,
  back: false, geometry: [7, 3, 1, 0, 1], transposed: false, place: [0, 0], section: -1,
};
const number = (text) => Number.parseInt(text, 10) || 0;
const yes = (text) => text === "true";
const list = (text) => text.split(",").map(number);
const READ = {
  view: String, layer: String, mode: String, index: number, target: number,
  out: list, weight: list, input: list, channel: number, map: number, of: number, flipped: yes,
  back: yes, geometry: list, transposed: yes, place: list, section: number,
};

export const state = { ...DEFAULTS, network: null, maps: null };
const listeners = [];

// The kinds of layers that join what they read, and their operators.
export const JOINS = { add: "+", multiply: "×", concat: "‖" };

// Takes the server's description of the network. Values are numbered: 0 is the image, and a layer
// `gives` one more than its number; `reads` are the values that it reads.
export function know(network) {
  const layers = network.layers.map((layer, number) =>
    ({ ...layer, gives: number + 1, window: layer.window && new Window(layer.window) }));
  state.network = { ...network, layers };
}

// The layer that gives a value, null for the image; those that read it; its shape; and its name.
const giverOf = (value) => state.network.layers.find((one) => one.gives === value) ?? null;
export const readersOf = (value) =>
  state.network.layers.filter((layer) => layer.reads.includes(value));
export const shapeOf = (value) => giverOf(value)?.shape ?? state.network.input;
export const nameOf = (value) => giverOf(value)?.name ?? "input";

// What a layer reads: the only value, or the one of a join's that is looked at.
export const readOf = (layer, of = state.of) => layer.reads[of] ?? layer.reads[0];

// The activation whose output a layer reads, if it does.
export function activationBefore(layer) {
  const giver = giverOf(readOf(layer));
  return giver?.kind === "activation" ? giver : null;
}

export function onChange(listener) {
  listeners.push(listener);
}

// Counts the changes: an answer to a question of an earlier one comes too late.
let turn = 0;
export const now = () => turn;

// visit: whether another view is a step that the browser's way back goes through.
export async function set(changes, visit = true) {
  turn += 1;
  const another = visit && changes.view && changes.view !== state.view;
  const method = another ? "pushState" : "replaceState";
  Object.assign(state, "layer" in changes ? movedTo(changes.layer) : {}, changes);
  clamp();
  history[method](null, "", address());
  for (const listener of listeners) await listener(state);
}

// What else changes with the layer: indices stay where its arrays have the same shape, and begin
// anew elsewhere.
export function movedTo(layer) {
  const [from, to] = [shapesOf(state.layer, state.of), shapesOf(layer, 0)];
  const kept = (name, at) => (String(from?.[at]) === String(to?.[at]) ? state[name] : null);
  return {
    layer, out: kept("out", 0), input: kept("input", 1), weight: kept("weight", 2),
    map: kept("map", 0), of: 0,
  };
}

// What else changes with the value of a join's that is looked at.
export function turnedTo(of) {
  const layer = layerOf();
  const [from, to] = [readOf(layer), readOf(layer, of)].map(shapeOf);
  return { of, input: String(from) === String(to) ? state.input : null };
}

// The shapes of a layer's output, of the value number `of` that it reads, and of its weights.
function shapesOf(name, of) {
  const layer = state.network?.layers.find((one) => one.name === name);
  return layer ? [layer.shape, shapeOf(readOf(layer, of)), layer.parameters.weight] : null;
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
    if (Object.hasOwn(READ, name)) found[name] = READ[name](value);
  }
  return found;
}

// Which of the layers are of these kinds (of any, if none is named), and the one that is looked at,
// or the first.
export function layersOf(...kinds) {
  const { layers } = state.network;
  return kinds.length ? layers.filter((layer) => kinds.includes(layer.kind)) : layers;
}

export function layerOf(...kinds) {
  const layers = layersOf(...kinds);
  return layers.find((layer) => layer.name === state.layer) ?? layers[0] ?? null;
}

// Indices that the network does not have are moved to the nearest that it has.
function clamp() {
  const { network } = state;
  if (!network || !state.maps) return;
  const layer = network.layers.find((one) => one.name === state.layer) ?? network.layers[0];
  state.layer = layer.name;
  state.of = inside(state.of, layer.reads.length);
  state.channel = Math.max(state.channel, 0);
  if (state.geometry.length !== DEFAULTS.geometry.length) state.geometry = DEFAULTS.geometry;
  if (state.target >= network.classes.length) state.target = -1;
  const { outputs, deltas, gradients } = state.maps;
  const gradient = gradients[`${layer.name}.weight`] ?? { shape: [1, 1, 1, 1], values: [0] };
  state.out = fitted(state.out, outputs[layer.gives], 3);
  // Behind an activation the explained delta is the one before it, with its slope.
  const before = activationBefore(layer);
  state.input = fitted(state.input, deltas[before ? before.reads[0] : readOf(layer)], 3);
  state.weight = fitted(state.weight, gradient, 4);
}

function fitted(indices, array, count) {
  const otherwise = indices?.length === count ? indices : largestAt(array);
  return Array.from({ length: count }, (_, n) =>
    inside(indices?.[n] ?? otherwise[n] ?? 0, array.shape[n] ?? 1));
}
