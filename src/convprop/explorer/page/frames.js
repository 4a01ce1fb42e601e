// Frames round the pixels of a map: { row, column, height, width, kind }, kind being the name of a
// colour.

// So many values of a row are drawn in a line.
export const LONG = 20;

// Where pixels that are given by their indices lie.
export const pixel = (row, column, kind) =>
  ({ row: Number(row), column: Number(column), height: 1, width: 1, kind });

// The frame from one pixel to another.
export function framed([[top, left], [bottom, right]], kind) {
  return { row: top, column: left, height: bottom - top + 1, width: right - left + 1, kind };
}

// The frames of what an output sees: one of all, or, with gaps between its pixels, one of each.
export function framesUnder(window, at, kind) {
  if (window.dilation.every((step) => step === 1)) return [framed(window.under(at), kind)];
  return window.taps.map(([m, n]) =>
    pixel(window.seen(0, at[0], m), window.seen(1, at[1], n), kind));
}

// The frame round value k of a row, which is drawn in lines.
export function place(k, array) {
  return [pixel(Math.floor(k / LONG), k % Math.min(array.values.length, LONG), "here")];
}
