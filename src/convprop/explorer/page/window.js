// What moves over the maps of a layer: the one place that says which output sees which input.

import { inside, turnedAt } from "./numbers.js";

// Sizes are (rows, columns), padding is (top, bottom, left, right), and overhang how far a
// pooling's last windows reach beyond it, in rows and columns. Axis 0 is that of rows, 1 that of
// columns; a tap is a position in the window on one of them.
export class Window {
  constructor({ size, stride, dilation, padding, overhang = [0, 0] }) {
    Object.assign(this, { size, stride, dilation, padding, overhang });
  }

  // All that windows reach round a map, on each side.
  get margin() {
    const [top, bottom, left, right] = this.padding;
    return [top, bottom + this.overhang[0], left, right + this.overhang[1]];
  }

  // The input that an output sees through a tap.
  seen(axis, output, tap) {
    return this.stride[axis] * output + this.dilation[axis] * tap - this.padding[2 * axis];
  }

  // The output that sees an input through a tap, and whether there is one, of so many outputs.
  seeing(axis, input, tap, outputs) {
    const reached = input - this.seen(axis, 0, tap);
    const output = Math.floor(reached / this.stride[axis]);
    return [output, reached % this.stride[axis] === 0 && output >= 0 && output < outputs];
  }

  // The taps that begin and end it.
  get corners() {
    return [[0, 0], this.size.map((length) => length - 1)];
  }

  // All that an output sees: from its first pixel to its last.
  under(at) {
    return this.corners.map((taps) => at.map(
      (output, axis) => this.seen(axis, output, taps[axis])));
  }

  // All that a tap meets while the window slides.
  met(taps, outputs) {
    const slid = (last) => taps.map(
      (tap, axis) => this.seen(axis, last ? outputs[axis] - 1 : 0, tap));
    return [slid(false), slid(true)];
  }

  // All outputs that see an input, where there are no gaps between them.
  over(at) {
    return this.corners.toReversed().map((taps) => at.map(
      (input, axis) => this.seeing(axis, input, taps[axis], Infinity)[0]));
  }

  // The output whose window begins at an input, or the nearest.
  beginning(at, outputs) {
    return at.map((input, axis) =>
      inside(this.seeing(axis, input, 0, outputs[axis])[0], outputs[axis]));
  }

  // How far it would reach beyond its outputs, if it moved over them, on each side of padding.
  get beyond() {
    return this.padding.map((side, at) => {
      const [axis, last] = [at >> 1, this.size[at >> 1] - 1];
      return Math.max(this.seen(axis, 0, last) - this.seen(axis, 0, 0) - side, 0);
    });
  }

  // Where a kernel's weight lies in it: on the other side, if the kernel is laid down flipped.
  laid(flips, weight) {
    const [height, width] = this.size;
    return turnedAt(flips, weight, { height, width });
  }

  // Its taps, row by row.
  get taps() {
    const [rows, columns] = this.size.map((length) => [...Array(length).keys()]);
    return rows.flatMap((row) => columns.map((column) => [row, column]));
  }
}

// What takes every value by itself sees one pixel.
const POINT = new Window({ size: [1, 1], stride: [1, 1], dilation: [1, 1], padding: [0, 0, 0, 0] });

export const windowOf = (layer) => layer.window ?? POINT;
