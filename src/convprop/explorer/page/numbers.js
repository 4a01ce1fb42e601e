// Numbers as people read them, and as the engine has them.

import { fromBase64 } from "./api.js";

const ARRAYS = {
  float32: Float32Array, float64: Float64Array, uint8: Uint8Array, int64: BigInt64Array,
};

// An array that came as its shape and its bytes.
export function unpack({ shape, dtype, data }) {
  return { shape, dtype, values: new ARRAYS[dtype](fromBase64(data).buffer) };
}

// All digits that tell a number from every other one of its type, and no more.
export function full(value, dtype) {
  if (dtype !== "float32" || !Number.isFinite(value)) return String(value);
  for (let digits = 1; digits < 10; digits++) {
    const text = Number(value.toPrecision(digits));
    if (Math.fround(text) === value) return String(text);
  }
  return String(value);
}

// As many digits as a table has room for.
export function short(value) {
  const number = Number(value);
  if (number === 0) return "0";
  if (!Number.isFinite(number)) return String(number);
  const size = Math.abs(number);
  if (size >= 0.001 && size < 100000) return String(Number(number.toPrecision(4)));
  return number.toExponential(1);
}

// Map c of an array (C, H, W), or a row of values as one map, which is drawn in lines.
export function mapOf({ shape, values, dtype }, c) {
  if (shape.length < 3) return { height: 1, width: values.length, values, dtype, row: true };
  const [, height, width] = shape;
  const size = height * width;
  return { height, width, values: values.subarray(c * size, (c + 1) * size), dtype };
}

// The window of weights that kernel k has for channel c.
export function kernelOf({ shape: [, channels, height, width], values, dtype }, k, c) {
  return mapOf({ shape: [null, height, width], values, dtype }, k * channels + c);
}

export function turned(map) {
  return { ...map, values: map.values.slice().reverse() };
}

// Where (m, n) of a map lies once it is turned, if it is. As a turn undoes itself, also what lies
// at (m, n) then.
export function turnedAt(turns, [m, n], { height, width }) {
  return turns ? [height - 1 - m, width - 1 - n] : [Number(m), Number(n)];
}

// The indices of the number that is farthest from 0.
export function largestAt({ shape, values }) {
  const size = (at) => Math.abs(Number(values[at]));
  let most = 0;
  for (let at = 1; at < values.length; at++) if (size(at) > size(most)) most = at;
  const below = (axis) => shape.slice(axis + 1).reduce((product, length) => product * length, 1);
  return shape.map((length, axis) => Math.floor(most / below(axis)) % length);
}

// The nearest index that something of a length has.
export const inside = (index, length) => Math.min(Math.max(index, 0), length - 1);

// The smallest and the largest.
export function extent(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

export function largest(values) {
  let most = 0;
  for (const value of values) if (Math.abs(value) > most) most = Math.abs(value);
  return most || 1;
}
