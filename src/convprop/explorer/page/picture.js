// A map drawn on a canvas: colours, frames round pixels, and a pixel to point at.

import { el, say } from "./dom.js";
import { LONG, pixel } from "./frames.js";
import { full, largest } from "./numbers.js";

// Blue below zero, orange above: told apart with every kind of colour vision, and by lightness
// from the middle, which is the page's own background.
const BELOW = [33, 102, 172];
const ABOVE = [214, 96, 10];

const dark = matchMedia("(prefers-color-scheme: dark)");
const middle = () => (dark.matches ? [28, 30, 34] : [250, 250, 248]);
export const onThemeChange = (redraw) => dark.addEventListener("change", redraw);

export function colour(value, most, ground = middle()) {
  if (Number.isNaN(value)) return [255, 0, 255];
  const part = Math.min(Math.abs(value) / most, 1) ** 0.75;
  const end = value < 0 ? BELOW : ABOVE;
  return ground.map((from, n) => Math.round(from + part * (end[n] - from)));
}

export function grey(value, low, high) {
  const part = Math.round(255 * Math.min(Math.max((value - low) / (high - low || 1), 0), 1));
  return [part, part, part];
}

// Pixels that a map may take across: on a phone two lie beside one another.
const room = () => (innerWidth < 640 ? Math.min(Math.floor((innerWidth - 44) / 2), 224) : 224);

// The side of a small map's pixels: its numbers are written in them.
export function cellOf({ height, width }) {
  const side = Math.floor(Math.min(room(), 160) / Math.max(height, width));
  return Math.max(Math.min(side, 44), 1);
}

// frames: { row, column, height, width, kind } in pixels of the map; kind is a class of style.css.
export class Picture {
  // onpoint(row, column): a pixel is chosen. onhover([row, column]): one is looked at; null when
  // none is any more.
  constructor({
    label, name = "", cell = null, small = false, onpoint = null, onhover = () => {},
  }) {
    Object.assign(this, { label, name, cell, small, onpoint, onhover });
    Object.assign(this, { frames: [], at: null, cursor: [0, 0] });
    this.canvas = el("canvas",
      { class: small ? "map small" : "map", role: "img", "aria-label": label });
    this.canvas.picture = this;
    if (!small) this.#listen();
  }

  #listen() {
    const { canvas } = this;
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "application");
    canvas.setAttribute("aria-roledescription", "map; arrow keys move");
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("pointermove", (event) => this.#hover(event));
    canvas.addEventListener("pointerleave", () => this.#leave());
    canvas.addEventListener("blur", () => this.#leave());
    if (this.onpoint) canvas.addEventListener("click", (event) => this.#point(event));
  }

  // most: the value of the strongest colour. range: from black to white, for what is grey.
  // text: whether numbers are written in the pixels. margin: padding, (top, bottom, left, right).
  // rgb: values of three channels. paints: a colour for each pixel, where it is not its value's.
  // overlay: { map, row, column, step }, another map to lay over this one.
  show(map, {
    frames = [], at = null, most = null, range = null, text = false, margin = [0, 0, 0, 0],
    rgb = null, overlay = null, paints = null,
  } = {}) {
    Object.assign(this, { map, frames, at, most, range, text, margin, rgb, overlay, paints });
    this.draw();
    return this;
  }

  // Of the figure that it stands in.
  set caption(words) {
    this.canvas.previousElementSibling.textContent = words;
  }

  set hidden(hidden) {
    this.canvas.parentElement.hidden = hidden;
  }

  draw() {
    const { map, canvas } = this;
    if (!map) return;
    const long = Boolean(map.row);
    const [top, bottom, left, right] = this.margin;
    const inner = long ? Math.min(map.width, LONG) : map.width;
    const across = inner + left + right;
    const rows = (long ? Math.ceil(map.width / inner) : map.height) + top + bottom;
    Object.assign(this, { across, inner });
    const least = this.small && long ? 4 : 1;
    const side = Math.floor((this.small ? 34 : room()) / Math.max(across, long ? 1 : rows));
    this.side = this.cell ?? Math.max(side, least);
    const sharp = devicePixelRatio || 1;
    canvas.width = across * this.side * sharp;
    canvas.height = rows * this.side * sharp;
    canvas.style.width = `${across * this.side}px`;
    canvas.style.height = `${rows * this.side}px`;
    const pen = canvas.getContext("2d", { willReadFrequently: true });
    pen.scale(sharp, sharp);
    const colours = this.#colours();
    this.#hatch(pen, across * this.side, rows * this.side);
    for (let n = 0; n < map.values.length; n++) {
      const paint = colours(n);
      pen.fillStyle = `rgb(${paint})`;
      const [row, column] = [Math.floor(n / inner) + top, (n % inner) + left];
      pen.fillRect(column * this.side, row * this.side, this.side, this.side);
      if (this.text && this.side >= 26) this.#write(pen, n, row, column, paint);
    }
    if (this.side >= 9) this.#grid(pen, across, rows);
    if (this.overlay) this.#lay(pen);
    for (const frame of this.frames) this.#frame(pen, frame);
    if (this.at && !long) this.#frame(pen, pixel(...this.at, "here"));
  }

  // What gives the colour of value n.
  #colours() {
    const { map: { values }, paints, rgb, range } = this;
    if (paints) return (n) => paints[n];
    const light = (value) => grey(Number(value), ...range);
    if (rgb) return (n) => [0, 1, 2].map((c) => light(rgb[c * values.length + n])[0]);
    if (range) return (n) => light(values[n]);
    const most = this.most ?? largest(values);
    const ground = middle();
    return (n) => colour(Number(values[n]), most, ground);
  }

  // Another map laid over this one: a square in the middle of each pixel that it meets.
  #lay(pen) {
    const { map, row, column, step } = this.overlay;
    const most = largest(map.values);
    const side = Math.max(this.side * 0.5, 2);
    for (let n = 0; n < map.values.length; n++) {
      // A product with 0 is nothing: let the pixel be seen.
      if (!map.values[n]) continue;
      const i = row + Math.floor(n / map.width) * step[0] + this.margin[0];
      const j = column + (n % map.width) * step[1] + this.margin[2];
      const [x, y] = [(j + 0.5) * this.side - side / 2, (i + 0.5) * this.side - side / 2];
      pen.fillStyle = `rgb(${colour(Number(map.values[n]), most)})`;
      pen.fillRect(x, y, side, side);
    }
  }

  // What lies round the map is padding.
  #hatch(pen, width, height) {
    if (!this.margin.some((side) => side)) return;
    pen.strokeStyle = dark.matches ? "rgba(255,255,255,.16)" : "rgba(0,0,0,.14)";
    pen.beginPath();
    for (let x = -height; x < width; x += 6) {
      pen.moveTo(x, height);
      pen.lineTo(x + height, 0);
    }
    pen.stroke();
  }

  #write(pen, n, row, column, paint) {
    const value = Number(this.map.values[n]);
    const size = Math.abs(value);
    const light = 0.3 * paint[0] + 0.59 * paint[1] + 0.11 * paint[2] > 128;
    pen.fillStyle = light ? "#111" : "#fff";
    pen.font = `${Math.min(this.side / 3.7, 13)}px system-ui`;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    const words = size >= 1000 || (value !== 0 && size < 0.001)
      ? value.toExponential(0) : String(Number(value.toPrecision(2)));
    pen.fillText(words, (column + 0.5) * this.side, (row + 0.5) * this.side, this.side - 2);
  }

  #grid(pen, across, rows) {
    pen.strokeStyle = dark.matches ? "rgba(255,255,255,.12)" : "rgba(0,0,0,.10)";
    pen.lineWidth = 1;
    const { side } = this;
    pen.beginPath();
    for (let column = 1; column < across; column++) {
      pen.moveTo(column * side, 0);
      pen.lineTo(column * side, rows * side);
    }
    for (let row = 1; row < rows; row++) {
      pen.moveTo(0, row * side);
      pen.lineTo(across * side, row * side);
    }
    pen.stroke();
  }

  #frame(pen, { row, column, height, width, kind }) {
    const { side } = this;
    const paints = {
      here: dark.matches ? "#fff" : "#000",
      window: "#0b8f5b", region: "#8a3ffc", winner: "#c4008f",
    };
    const [x, y] = [(column + this.margin[2]) * side, (row + this.margin[0]) * side];
    pen.lineWidth = this.small ? 1 : kind === "here" ? 2.5 : 2;
    pen.strokeStyle = paints[kind];
    pen.setLineDash(kind === "region" ? [4, 2] : []);
    const inset = pen.lineWidth / 2;
    pen.strokeRect(x + inset, y + inset, width * side - 2 * inset, height * side - 2 * inset);
    pen.setLineDash([]);
  }

  #place(event) {
    const box = this.canvas.getBoundingClientRect();
    const column = Math.floor(((event.clientX - box.left) / box.width) * this.across);
    const row = Math.floor((event.clientY - box.top) / (box.width / this.across));
    if (this.map.row) return [0, row * this.inner + column];
    return [row - this.margin[0], column - this.margin[2]];
  }

  value(row, column) {
    return full(Number(this.map.values[row * this.map.width + column]), this.map.dtype);
  }

  #inside(row, column) {
    return row >= 0 && column >= 0 && row < this.map.height && column < this.map.width;
  }

  words(row, column) {
    return `${this.name || this.label} [${row}, ${column}] = ${this.value(row, column)}`;
  }

  #hover(event) {
    const [row, column] = this.#place(event);
    if (!this.#inside(row, column)) return this.#leave();
    showTip(event, this.words(row, column));
    this.#look(row, column);
  }

  #look(row, column) {
    if (String(this.looked) === String([row, column])) return;
    this.looked = [row, column];
    this.onhover(this.looked);
  }

  #leave() {
    hideTip();
    if (this.looked) this.onhover(null);
    this.looked = null;
  }

  #point(event) {
    const [row, column] = this.#place(event);
    if (this.#inside(row, column)) this.onpoint(row, column);
  }

  #key(event) {
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    const [i, j] = this.at ?? this.cursor;
    // A row that is drawn in lines is gone through in lines.
    const [row, column] = this.map.row
      ? [0, j + move[1] + move[0] * this.inner] : [i + move[0], j + move[1]];
    if (!this.#inside(row, column)) return;
    this.cursor = [row, column];
    say(this.words(row, column));
    if (this.onpoint) this.onpoint(row, column);
    else this.#look(row, column);
  }
}

const tip = document.getElementById("tip");

export function showTip(event, words) {
  tip.textContent = words;
  tip.hidden = false;
  const left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
  tip.style.left = `${Math.max(left, 4)}px`;
  tip.style.top = `${event.clientY + 18}px`;
}

export function hideTip() {
  tip.hidden = true;
}
