// Numbers as people read them, and as the engine has them.

const ARRAYS = { float32: Float32Array, float64: Float64Array, uint8: Uint8Array, int64: BigInt64Array };

// An array that came as its shape and its bytes.
export function unpack({ shape, dtype, data }) {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  return { shape, dtype, values: new ARRAYS[dtype](bytes.buffer) };
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
export function mapOf(array, c) {
  if (array.shape.length < 3) return { height: 1, width: array.values.length, values: array.values, dtype: array.dtype, row: true };
  const [, height, width] = array.shape;
  return { height, width, values: array.values.subarray(c * height * width, (c + 1) * height * width), dtype: array.dtype };
}

// The window of weights that kernel k has for channel c.
export function kernelOf(weights, k, c) {
  const [, channels, height, width] = weights.shape;
  const first = (k * channels + c) * height * width;
  return { height, width, values: weights.values.subarray(first, first + height * width), dtype: weights.dtype };
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
  let most = 0;
  for (let at = 1; at < values.length; at++) if (Math.abs(Number(values[at])) > Math.abs(Number(values[most]))) most = at;
  return shape.map((_, axis) => Math.floor(most / shape.slice(axis + 1).reduce((product, size) => product * size, 1)) % shape[axis]);
}

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
