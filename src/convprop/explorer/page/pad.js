// A pad to draw on, with mouse, finger, pen or keys.

import { button, el } from "./dom.js";
import { IMAGE as SAID } from "./prose.js";

const SIDE = 28;
// Of a pixel, on the screen.
const CELL = 8;

export function pad(done) {
  const pixels = Array.from({ length: SIDE }, () => new Array(SIDE).fill(0));
  const canvas = el("canvas", {
    width: SIDE * CELL, height: SIDE * CELL, class: "pad", tabindex: "0", role: "application",
    "aria-label": SAID.pad,
  });
  const pen = canvas.getContext("2d");
  let cursor = [14, 14];
  let down = false;
  let last = null;

  function paint() {
    for (let i = 0; i < SIDE; i++)
      for (let j = 0; j < SIDE; j++) {
        const light = Math.round(255 * pixels[i][j]);
        pen.fillStyle = `rgb(${light},${light},${light})`;
        pen.fillRect(j * CELL, i * CELL, CELL, CELL);
      }
    if (document.activeElement === canvas) {
      pen.strokeStyle = "#d6600a";
      pen.strokeRect(cursor[1] * CELL + 0.5, cursor[0] * CELL + 0.5, CELL - 1, CELL - 1);
    }
  }

  // A round brush: what lies within its radius, and half of what lies at its edge.
  function dab(row, column) {
    for (let i = 0; i < SIDE; i++)
      for (let j = 0; j < SIDE; j++) {
        const light = Math.min(Math.max(1.9 - Math.hypot(i + 0.5 - row, j + 0.5 - column), 0), 1);
        pixels[i][j] = Math.max(pixels[i][j], light);
      }
  }

  function stroke(event) {
    const { top, left, width, height } = canvas.getBoundingClientRect();
    const [row, column] = [(event.clientY - top) / height, (event.clientX - left) / width];
    const to = [row * SIDE, column * SIDE];
    const from = last ?? to;
    const steps = Math.ceil(Math.hypot(to[0] - from[0], to[1] - from[1]) * 2) || 1;
    for (let n = 0; n <= steps; n++) {
      dab(...from.map((start, axis) => start + ((to[axis] - start) * n) / steps));
    }
    last = to;
    paint();
  }

  canvas.addEventListener("pointerdown", (event) => {
    down = true;
    last = null;
    canvas.setPointerCapture(event.pointerId);
    stroke(event);
  });
  canvas.addEventListener("pointermove", (event) => down && stroke(event));
  canvas.addEventListener("pointerup", () => {
    down = false;
    done(pixels);
  });
  canvas.addEventListener("focus", paint);
  canvas.addEventListener("blur", paint);
  canvas.addEventListener("keydown", (event) => {
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const move = moves[event.key];
    if (!move && event.key !== " ") return;
    if (move) cursor = cursor.map((at, n) => Math.min(Math.max(at + move[n], 0), SIDE - 1));
    else {
      dab(cursor[0] + 0.5, cursor[1] + 0.5);
      done(pixels);
    }
    event.preventDefault();
    paint();
  });
  const clear = button("Clear", () => {
    for (const row of pixels) row.fill(0);
    paint();
    done(pixels);
  }, { id: "clear" });
  paint();
  return el("div", { class: "draw", hidden: true }, canvas, clear);
}
