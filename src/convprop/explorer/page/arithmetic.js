// Convolution arithmetic: sizes, strides, padding and dilation, forward and back.

import { ask } from "./api.js";
import { el, equation, failed, labelled, refill } from "./dom.js";
import { mapOf, unpack } from "./numbers.js";
import { Picture, captioned } from "./picture.js";
import { player } from "./player.js";

const FIELDS = [["input", "input H", 1], ["kernel", "kernel k", 1], ["stride", "stride s", 1], ["padding", "padding p", 0], ["dilation", "dilation d", 1]];

export function arithmetic(root) {
  const asked = { input: 7, kernel: 3, stride: 1, padding: 0, dilation: 1, transposed: false };
  const controls = el("div", { class: "bar" });
  const formula = el("div");
  const words = el("p", { class: "lead" });
  const input = new Picture({ label: "input", onpoint: () => {} });
  const kernel = new Picture({ label: "kernel", name: "w" });
  const output = new Picture({ label: "output", onpoint: (i, j) => at([i, j]) });
  const back = new Picture({ label: "what comes back where every delta is 1" });
  for (const picture of [input, kernel, output, back]) picture.cell = 24;
  root.append(words, controls, formula, el("div", { class: "figures" },
    captioned(input, "input, with its padding"), captioned(kernel, "kernel"), captioned(output, "output"),
    captioned(back, "back: the input's deltas where every δ is 1")));
  let place = [0, 0];
  let answer = null;
  const play = player("place", () => {
    const side = answer.transposed ? asked.input : answer.size;
    const next = (place[0] * side + place[1] + 1) % (side * side);
    return at([Math.floor(next / side), next % side]);
  });

  function at(where) {
    place = where;
    draw();
  }

  // The map with a border of padding, drawn as zeros.
  function bordered(map, border) {
    const side = map.width + 2 * border;
    const values = new Float64Array(side * side);
    for (let i = 0; i < map.height; i++)
      for (let j = 0; j < map.width; j++) values[(i + border) * side + j + border] = map.values[i * map.width + j];
    return { height: side, width: side, values, dtype: map.dtype };
  }

  function draw() {
    const [large, small] = answer.transposed ? [unpack(answer.output), unpack(answer.input)] : [unpack(answer.input), unpack(answer.output)];
    const side = mapOf(small, 0).width;
    place = place.map((index) => Math.min(index, side - 1));
    const taps = [];
    for (let m = 0; m < asked.kernel; m++)
      for (let n = 0; n < asked.kernel; n++)
        taps.push({ row: place[0] * asked.stride + m * asked.dilation, column: place[1] * asked.stride + n * asked.dilation, height: 1, width: 1, kind: "window" });
    const [big, little] = answer.transposed ? [output, input] : [input, output];
    const inner = mapOf(large, 0).width;
    const frame = { row: asked.padding, column: asked.padding, height: inner, width: inner, kind: "region" };
    big.show(bordered(mapOf(large, 0), asked.padding), { frames: [frame, ...taps], text: true });
    little.show(mapOf(small, 0), { at: place, text: true });
    kernel.show(mapOf(unpack(answer.kernel), 0), { text: true });
    back.show(mapOf(unpack(answer.back), 0), { text: true });
  }

  return async () => {
    refill(controls, ...FIELDS.map(([name, title, least]) => {
      const field = el("input", { id: `a-${name}`, type: "number", min: least, max: 16, value: asked[name] });
      field.addEventListener("change", () => { asked[name] = Number.parseInt(field.value, 10); update(); });
      return labelled(title, field);
    }), labelled("transposed", el("input", { id: "a-transposed", type: "checkbox", checked: asked.transposed, onchange: (event) => { asked.transposed = event.target.checked; update(); } })), ...play.buttons);
    await update();
  };

  async function update() {
    words.replaceChildren(asked.transposed
      ? "A transposed convolution is the way back of a convolution, used forward: every input pixel puts the whole kernel, times itself, down in the output. Its own way back is the convolution."
      : "How large is the output, and which pixels does it see? Change the numbers, or point at an output pixel.");
    const wanted = JSON.stringify(asked);
    let found;
    try {
      found = await ask("arithmetic", { ...asked });
    } catch (error) {
      return failed(error);
    }
    if (wanted !== JSON.stringify(asked)) return;
    answer = found;
    formula.replaceChildren(equation(answer.equation));
    draw();
  }
}
