// Convolution arithmetic: sizes, strides, padding and dilation, forward and back.

import { ask } from "./api.js";
import { el, equation, labelled, refill, tick } from "./dom.js";
import { mapOf, unpack } from "./numbers.js";
import { Picture, captioned, pixel } from "./picture.js";
import { player } from "./player.js";
import { now, set, state } from "./state.js";

const FIELDS = [["input", "input H", 1], ["kernel", "kernel k", 1], ["stride", "stride s", 1], ["padding", "padding p", 0], ["dilation", "dilation d", 1]];
const LARGEST = 16;

export function arithmetic(root) {
  const controls = el("div", { class: "bar" });
  const formula = el("div");
  const figures = el("div", { class: "figures" });
  const words = el("p", { class: "lead" });
  const input = new Picture({ label: "input", onpoint: (i, j) => point(i, j, !state.transposed) });
  const kernel = new Picture({ label: "kernel", name: "w" });
  const output = new Picture({ label: "output", onpoint: (i, j) => point(i, j, state.transposed) });
  const back = new Picture({ label: "what comes back where every delta is 1" });
  figures.append(captioned(input, "input"), captioned(kernel, "kernel"), captioned(output, "output"), captioned(back, "back: ∂E/∂input where every δ is 1"));
  root.append(words, controls, formula, figures);
  // The side of the smaller map, each pixel of which has a window in the larger one.
  let side = 1;
  const play = player("place", () => {
    const next = (state.place[0] * side + state.place[1] + 1) % (side * side);
    return set({ place: [Math.floor(next / side), next % side] });
  });

  // A pixel of the larger map stands for the window that begins there.
  function point(i, j, larger) {
    const [, , stride, padding] = state.geometry;
    return set({ place: [i, j].map((at) => Math.min(larger ? Math.floor((at + padding) / stride) : at, side - 1)) });
  }

  function draw(answer) {
    const [, size, stride, padding, dilation] = state.geometry;
    const [large, small] = (answer.transposed ? [answer.output, answer.input] : [answer.input, answer.output]).map((array) => mapOf(unpack(array), 0));
    side = small.width;
    const place = state.place.map((index) => Math.min(index, side - 1));
    const taps = [];
    for (let m = 0; m < size; m++)
      for (let n = 0; n < size; n++) taps.push(pixel(place[0] * stride + m * dilation - padding, place[1] * stride + n * dilation - padding, "window"));
    const [big, little] = answer.transposed ? [output, input] : [input, output];
    // Large enough for numbers, if there is room for them.
    const cell = Math.max(Math.min(Math.floor(Math.min(innerWidth - 48, 380) / (large.width + 2 * padding)), 32), 6);
    for (const picture of [input, kernel, output, back]) picture.cell = cell;
    big.show(large, { margin: [padding, padding, padding, padding], frames: taps, text: true });
    little.show(small, { at: place, text: true });
    kernel.show(mapOf(unpack(answer.kernel), 0), { text: true });
    back.show(mapOf(unpack(answer.back), 0), { text: true, at: answer.transposed ? place : null });
    input.canvas.previousElementSibling.textContent = padding && !answer.transposed ? "input, in its padding (hatched)" : "input";
    output.canvas.previousElementSibling.textContent = padding && answer.transposed ? "output; what is hatched is cut off" : "output";
  }

  return async () => {
    const asked = now();
    refill(controls, ...FIELDS.map(([name, title, least], at) => {
      const field = el("input", { id: `a-${name}`, type: "number", min: least, max: LARGEST, value: state.geometry[at] });
      field.addEventListener("change", () => set({ geometry: state.geometry.with(at, Number.parseInt(field.value, 10) || 0) }));
      return labelled(title, field);
    }), tick("a-transposed", "transposed", state.transposed, (transposed) => set({ transposed })), ...play.buttons);
    words.replaceChildren(state.transposed
      ? "A transposed convolution is the way back of a convolution, used forward: every input pixel puts the whole kernel, times itself, down in the output. Its own way back is the convolution."
      : "How large is the output, and which pixels does it see? Change the numbers, or point at a pixel. On the way back every input pixel collects the weights through which outputs have seen it: at the edges fewer, with a stride not everywhere the same.");
    let answer;
    try {
      answer = await ask("arithmetic", { ...Object.fromEntries(FIELDS.map(([name], at) => [name, state.geometry[at]])), transposed: state.transposed });
    } catch (error) {
      // No figure belongs to these numbers.
      figures.hidden = true;
      return formula.replaceChildren(el("p", { class: "refused", role: "alert" }, error.message));
    }
    if (asked !== now()) return;
    figures.hidden = false;
    formula.replaceChildren(equation(answer.equation));
    draw(answer);
  };
}
