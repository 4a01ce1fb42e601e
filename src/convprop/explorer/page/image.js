// The image: chosen from the data, uploaded, or drawn; and its label.

import { ask, offline, upload } from "./api.js";
import { button, choice, el, failed, labelled, refill, say } from "./dom.js";
import { integer } from "./controls.js";
import { gallery } from "./gallery.js";
import { extent, mapOf, short, unpack } from "./numbers.js";
import { Picture } from "./picture.js";
import { state } from "./state.js";

const SIDE = 28;

export function image(root, take) {
  const picture = new Picture({ label: "the image", name: "pixel" });
  picture.cell = 4;
  const controls = el("div", { class: "bar" });
  const said = el("p", { class: "prediction" });
  const pad = drawing((pixels) => change("draw", { pixels }));
  const choose = (index) => change("choose", { index });
  const shelf = gallery((index) => { close(); choose(index); });
  root.append(el("div", { class: "thumb" }, picture.canvas), el("div", {}, controls, said), pad, shelf.holder);

  function change(question, body) {
    return ask(question, body).then(take).catch(failed);
  }

  // Of the pad and the gallery one is open, or none.
  function open(holder) {
    const hidden = !holder.hidden;
    close();
    holder.hidden = hidden;
    if (!hidden && holder === shelf.holder) shelf.open();
  }

  function close() {
    pad.hidden = shelf.holder.hidden = true;
  }

  return () => {
    const { network, maps } = state;
    const pixels = unpack(maps.pixels);
    picture.cell = Math.max(Math.floor(84 / Math.max(...pixels.shape.slice(1))), 1);
    picture.show(mapOf(pixels, 0), { range: extent(pixels.values), rgb: pixels.shape[0] === 3 ? pixels.values : null });
    const file = el("input", { id: "file", type: "file", accept: "image/png,image/jpeg,image/webp,image/bmp" });
    file.addEventListener("change", () => file.files[0] && upload(file.files[0]).then((answer) => {
      say("The picture is taken");
      return take(answer);
    }).catch(failed));
    refill(controls,
      labelled("Image", integer("image-index", state.index ?? "", network.images, choose)),
      button("Choose", () => open(shelf.holder), { id: "choose" }),
      labelled("Target", choice(network.classes.map((name, n) => [n, name]), maps.label, (label) => change("label", { label: Number(label) }), { id: "target" })),
      button("Draw", () => open(pad), { id: "draw" }),
      el("label", { class: "upload" }, "Upload", file),
      maps.index === null && button("Invert", () => change("invert", {}), { id: "invert", title: "Light to dark: the data's images may be bright on dark" }));
    if (offline) for (const control of controls.querySelectorAll("input, select, button")) control.disabled = true;
    const best = maps.predicted;
    said.replaceChildren("Prediction: ", el("b", { id: "prediction" }, network.classes[best] ?? String(best)), sure(network, maps, best),
      maps.fresh ? " — the network has not been trained yet" : "",
      maps.index === null ? ` — your picture, against the target ${network.classes[maps.label]}` : "");
  };
}

// How sure the network is of a class, as far as its loss gives probabilities.
function sure(network, maps, best) {
  const shares = maps.prediction.map(Number);
  const [exact] = maps.prediction.slice(Math.min(best, shares.length - 1));
  if (network.loss_kind === "squared_error") return el("span", { title: exact }, ` (output ${short(exact)})`);
  const share = shares.length > 1 ? shares[best] : best ? shares[0] : 1 - shares[0];
  return el("span", { title: exact }, ` (${(100 * share).toFixed(1)}%)`);
}

// A pad to draw on, with mouse, finger, pen or keys.
function drawing(done) {
  const pixels = Array.from({ length: SIDE }, () => new Array(SIDE).fill(0));
  const canvas = el("canvas", { width: SIDE * 8, height: SIDE * 8, class: "pad", tabindex: "0", role: "application",
    "aria-label": "Drawing pad: arrow keys move, space draws" });
  const pen = canvas.getContext("2d");
  let cursor = [14, 14];
  let down = false;
  let last = null;

  function paint() {
    for (let i = 0; i < SIDE; i++)
      for (let j = 0; j < SIDE; j++) {
        const light = Math.round(255 * pixels[i][j]);
        pen.fillStyle = `rgb(${light},${light},${light})`;
        pen.fillRect(j * 8, i * 8, 8, 8);
      }
    if (document.activeElement === canvas) {
      pen.strokeStyle = "#d6600a";
      pen.strokeRect(cursor[1] * 8 + 0.5, cursor[0] * 8 + 0.5, 7, 7);
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
    const box = canvas.getBoundingClientRect();
    const to = [((event.clientY - box.top) / box.height) * SIDE, ((event.clientX - box.left) / box.width) * SIDE];
    const from = last ?? to;
    const steps = Math.ceil(Math.hypot(to[0] - from[0], to[1] - from[1]) * 2) || 1;
    for (let n = 0; n <= steps; n++) dab(from[0] + ((to[0] - from[0]) * n) / steps, from[1] + ((to[1] - from[1]) * n) / steps);
    last = to;
    paint();
  }

  canvas.addEventListener("pointerdown", (event) => { down = true; last = null; canvas.setPointerCapture(event.pointerId); stroke(event); });
  canvas.addEventListener("pointermove", (event) => down && stroke(event));
  canvas.addEventListener("pointerup", () => { down = false; done(pixels); });
  canvas.addEventListener("focus", paint);
  canvas.addEventListener("blur", paint);
  canvas.addEventListener("keydown", (event) => {
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    if (moves[event.key]) cursor = cursor.map((at, n) => Math.min(Math.max(at + moves[event.key][n], 0), SIDE - 1));
    else if (event.key === " ") { dab(cursor[0] + 0.5, cursor[1] + 0.5); done(pixels); }
    else return;
    event.preventDefault();
    paint();
  });
  const clear = button("Clear", () => { for (const row of pixels) row.fill(0); paint(); done(pixels); }, { id: "clear" });
  paint();
  return el("div", { class: "draw", hidden: true }, canvas, clear);
}
