// Arrays and indices of the layer that is looked at, and of what it reads.

import { extent } from "./numbers.js";
import { following } from "./player.js";
import { JOINS, layerOf, readOf, shapeOf, state } from "./state.js";
import { windowOf } from "./window.js";

// Arrays of what a layer reads (of a join the value that is looked at) and gives: outputs[0] is the
// image as the network sees it.
export const inputOf = (layer) => state.maps.outputs[readOf(layer)];
export const outputOf = (layer) => state.maps.outputs[layer.gives];
export const deltaOf = (layer) => state.maps.deltas[layer.gives];
export const inputDeltaOf = (layer) => state.maps.deltas[readOf(layer)];

// Which of a join's values an explanation of a delta is of.
export const ofRead = (layer) => (JOINS[layer.kind] ? { of: state.of } : {});

// What each reader of a value sends back, { reader, delta }, the last reader first: together they
// are the value's delta. Nothing where one layer reads it, or the server does not tell.
export const sentTo = (value) => state.maps.sent[value] ?? [];

export const weightsOf = (layer) => state.maps.parameters[`${layer.name}.weight`];
export const gradientsOf = (layer) => state.maps.gradients[`${layer.name}.weight`];

// The image is drawn in grey, between its smallest and its largest pixel; other values are not.
export const rangeOf = (value) => (value === 0 ? extent(state.maps.outputs[0].values) : null);

// The weight after the one that is looked at, in row order.
export function nextWeight() {
  const [k, ...at] = state.weight;
  return [k, ...following(at, layerOf("conv").parameters.weight.slice(1))];
}

// The output, of the chosen map, whose window begins at a pixel of the input, or the nearest.
export const outputBeginning = (layer, at) =>
  [state.out[0], ...windowOf(layer).beginning(at, layer.shape.slice(1))];

// Whether a kernel is drawn turned: as an equation says, or as the layer itself lays it down; not
// if both.
export const turns = (layer) => state.flipped !== layer.settings.flip_kernel;

// The channel of a convolution's input that channel c of kernel k lies on.
export function channelOf(layer, k, c) {
  const [kernels, channels] = layer.parameters.weight;
  return Math.floor(k / (kernels / layer.settings.groups)) * channels + c;
}

// The channel of what a layer reads that channel k of its output has come from, if it is one.
export function channelBefore(layer, k) {
  if (layer.kind !== "channel_shuffle") return k;
  const { groups } = layer.settings;
  return (k % groups) * (layer.shape[0] / groups) + Math.floor(k / groups);
}

// The channel of a layer's output into which channel c of what it reads has gone.
export function channelIn(layer, c) {
  if (layer.kind === "channel_shuffle") {
    const inGroup = layer.shape[0] / layer.settings.groups;
    return (c % inGroup) * layer.settings.groups + Math.floor(c / inGroup);
  }
  if (layer.kind !== "concat") return c;
  return layer.reads.slice(0, state.of).reduce((first, value) => first + shapeOf(value)[0], c);
}

// What channel k of a layer's output is made of, if it joins values: they, and their channels.
export function partsOf(layer, k) {
  if (layer.kind !== "concat") return layer.reads.map((value) => [value, k]);
  let first = 0;
  for (const value of layer.reads) {
    const [channels] = shapeOf(value);
    if (k < first + channels) return [[value, k - first]];
    first += channels;
  }
  return [];
}
