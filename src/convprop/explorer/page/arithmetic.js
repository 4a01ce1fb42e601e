// Convolution arithmetic: sizes, strides, padding and dilation, forward and back.

import { ask } from "./api.js";
import { el, equation, labelled, refill, tick } from "./dom.js";
import { captioned } from "./figures.js";
import { pixel } from "./frames.js";
import { mapOf, unpack } from "./numbers.js";
import { Picture } from "./picture.js";
import { following, player } from "./player.js";
import { ARITHMETIC as SAID } from "./prose.js";
import { now, set, state } from "./state.js";
import { Window } from "./window.js";

const FIELDS = [
  ["input", "input H", 1], ["kernel", "kernel k", 1], ["stride", "stride s", 1],
  ["padding", "padding p", 0], ["dilation", "dilation d", 1],
];
const LARGEST = 16;

// The window of these numbers, the same for rows and columns.
function moving() {
  const [, size, stride, padding, dilation] = state.geometry.map((number) => [number, number]);
  return new Window({ size, stride, dilation, padding: [...padding, ...padding] });
}

export function arithmetic(root) {
  const controls = el("div", { class: "bar" });
  const formula = el("div");
  const figures = el("div", { class: "figures" });
  const words = el("p", { class: "lead" });
  const input = new Picture({
    label: "input", onpoint: (i, j) => point(i, j, !state.transposed),
  });
  const kernel = new Picture({ label: "kernel", name: "w" });
  const output = new Picture({
    label: "output", onpoint: (i, j) => point(i, j, state.transposed),
  });
  const back = new Picture({ label: "what comes back where every delta is 1" });
  figures.append(
    captioned(input, "input"), captioned(kernel, "kernel"), captioned(output, "output"),
    captioned(back, "back: ∂E/∂input where every δ is 1"));
  root.append(words, controls, formula, figures);
  // The side of the smaller map, each pixel of which has a window in the larger one.
  let side = 1;
  const play = player("place",
    () => set({ place: following([0, ...state.place], [1, side, side]).slice(1) }));

  // A pixel of the larger map stands for the window that begins there.
  function point(i, j, larger) {
    return set({ place: larger ? moving().beginning([i, j], [side, side]) : [i, j] });
  }

  // The pixels of the larger map that one of the smaller has to do with.
  function taps([i, j]) {
    const over = moving();
    return over.taps.map(([m, n]) => pixel(over.seen(0, i, m), over.seen(1, j, n), "window"));
  }

  function draw(answer) {
    const { padding: margin } = moving();
    const [padding] = margin;
    const [before, after] = [answer.input, answer.output].map((array) => mapOf(unpack(array), 0));
    const [large, small] = answer.transposed ? [after, before] : [before, after];
    const [big, little] = answer.transposed ? [output, input] : [input, output];
    side = small.width;
    const place = state.place.map((index) => Math.min(index, side - 1));
    // Large enough for numbers, if there is room for them.
    const room = Math.floor(Math.min(innerWidth - 48, 380) / (large.width + 2 * padding));
    const cell = Math.max(Math.min(room, 32), 6);
    for (const picture of [input, kernel, output, back]) picture.cell = cell;
    big.show(large, { margin, frames: taps(place), text: true });
    little.show(small, { at: place, text: true });
    kernel.show(mapOf(unpack(answer.kernel), 0), { text: true });
    back.show(mapOf(unpack(answer.back), 0), { text: true, at: answer.transposed ? place : null });
    input.caption = padding && !answer.transposed ? SAID.padded : "input";
    output.caption = padding && answer.transposed ? SAID.cut : "output";
  }

  function field([name, title, least], at) {
    const value = state.geometry[at];
    const entry = el("input", { id: `a-${name}`, type: "number", min: least, max: LARGEST, value });
    entry.addEventListener("change", () =>
      set({ geometry: state.geometry.with(at, Number.parseInt(entry.value, 10) || 0) }));
    return labelled(title, entry);
  }

  return async () => {
    const asked = now();
    const { transposed } = state;
    refill(controls, ...FIELDS.map(field),
      tick("a-transposed", "transposed", transposed, (value) => set({ transposed: value })),
      ...play.buttons);
    words.replaceChildren(transposed ? SAID.transposed : SAID.plain);
    const numbers = Object.fromEntries(FIELDS.map(([name], at) => [name, state.geometry[at]]));
    let answer;
    try {
      answer = await ask("arithmetic", { ...numbers, transposed });
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
