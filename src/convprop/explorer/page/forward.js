// Forward (Eq. 6 and 7): an output pixel, the window that it sees, and the products that make it.

import { ask } from "./api.js";
import { el, failed, labelled, refill } from "./dom.js";
import { integer, layerChoice } from "./controls.js";
import { kernelOf, mapOf, turned } from "./numbers.js";
import { LONG, Picture, captioned } from "./picture.js";
import { inputOf, layerOf, outputOf, paddingOf, now, set, state } from "./state.js";
import { extent } from "./strip.js";
import { player } from "./player.js";
import { terms } from "./terms.js";

const WORDS = {
  pool: "Point at an output pixel: a pool makes one value of its window's units.",
  dense: "Every output of a dense layer is a sum over all of its input: Eq. 7 with a window as large as the map.",
  activation: "An activation takes every value by itself: o = f(x), Eq. 8.",
  other: "This layer passes every value on as it is.",
};

// The frame round value k of a row, which is drawn in lines.
export const place = (k, array) => [{ row: Math.floor(k / LONG), column: k % Math.min(array.values.length, LONG), height: 1, width: 1, kind: "here" }];

export function forward(root) {
  const input = new Picture({ label: "input map", onpoint: (row, column) => point(row, column) });
  const kernel = new Picture({ label: "kernel", name: "w" });
  const products = new Picture({ label: "products under the window", name: "w·o" });
  const output = new Picture({ label: "output map", name: "x", onpoint: (i, j) => set({ out: layerOf().shape.length < 3 ? [j, 0, 0] : [state.out[0], i, j] }) });
  const controls = el("div", { class: "bar" });
  const words = el("p", { class: "lead" });
  const detail = el("section", { class: "terms" });
  const show = terms(detail, (place) => mark(place));
  let channel = 0;
  let found = null;

  root.append(
    words, controls,
    el("div", { class: "figures" },
      captioned(input, "input o, and the window"), captioned(kernel, "kernel w"),
      captioned(products, "products w·o"), captioned(output, "output x")),
    detail,
  );
  const play = player("window", () => {
    const { shape: [channels, height, width] } = layerOf();
    if (!width) return set({ out: [(state.out[0] + 1) % channels, 0, 0] });
    const next = (state.out[1] * width + state.out[2] + 1) % (height * width);
    return set({ out: [state.out[0], Math.floor(next / width), next % width] });
  });

  function point(row, column) {
    const layer = layerOf();
    const { stride = [1, 1], padding = [0, 0, 0, 0] } = layer.settings;
    const [, height, width] = layer.shape;
    if (!width) return;
    const fit = (at, axis, most) => Math.min(Math.max(Math.floor((at + padding[2 * axis]) / stride[axis]), 0), most - 1);
    return set({ out: [state.out[0], fit(row, 0, height), fit(column, 1, width)] });
  }

  function mark(place) {
    if (!found || !found.columns.row) return;
    const frames = window_(layerOf());
    if (place !== null) frames.push({ row: +found.columns.row[place], column: +found.columns.column[place], height: 1, width: 1, kind: "winner" });
    input.frames = frames;
    input.draw();
  }

  function window_(layer) {
    const [, i, j] = state.out;
    if (layer.kind === "dense" || layer.shape.length < 3) return [];
    const { stride = [1, 1], padding = [0, 0, 0, 0], dilation = [1, 1] } = layer.settings;
    const size = layer.settings.kernel_size ?? layer.settings.size ?? [1, 1];
    return [{
      row: i * stride[0] - padding[0], column: j * stride[1] - padding[2],
      height: (size[0] - 1) * dilation[0] + 1, width: (size[1] - 1) * dilation[1] + 1, kind: "window",
    }];
  }

  return async () => {
    const layer = layerOf();
    const [k, i, j] = state.out;
    const row = layer.shape.length < 3;
    const convolves = layer.kind === "conv";
    const weights = state.maps.parameters[`${layer.name}.weight`];
    const channels = convolves ? weights.shape[1] : 1;
    channel = Math.min(channel, channels - 1);
    const first = convolves ? Math.floor(k / (layer.shape[0] / layer.settings.groups)) * channels : row ? 0 : k;

    refill(controls,
      layerChoice(layer),
      labelled(convolves ? "kernel k" : row ? "output k" : "channel", integer("k", k, layer.shape[0], (value) => set({ out: [value, i, j] }))),
      convolves && labelled("channel c", integer("c", channel, channels, (value) => { channel = value; return set({}); })),
      convolves && labelled("kernel flipped (Eq. 6)", el("input", { id: "flipped", type: "checkbox", checked: state.flipped, onchange: (event) => set({ flipped: event.target.checked }) })),
      ...play.buttons,
    );
    words.replaceChildren(convolves
      ? state.flipped
        ? "Eq. 6 says convolution: the kernel is turned by 180°, and a convolution turns it once more while it slides. The two turns undo each other, so the products are the same."
        : "Point at an output pixel. Its window lies over the input; each weight meets the pixel under it, and the products are added up, channel by channel, to the bias."
      : WORDS[layer.kind] ?? WORDS.other);
    input.show(mapOf(inputOf(layer), first + channel), { frames: window_(layer), margin: paddingOf(layer), range: layer.place === 0 ? extent(inputOf(layer).values) : null });
    output.show(mapOf(outputOf(layer), k), { at: row ? null : [i, j], frames: row ? place(k, outputOf(layer)) : [] });
    kernel.canvas.parentElement.hidden = products.canvas.parentElement.hidden = !convolves;
    const asked = now();
    let answer;
    try {
      answer = await ask("explain", { number: "output", layer: layer.name, at: row ? [k] : [k, i, j] });
    } catch (error) {
      return failed(error);
    }
    if (asked !== now()) return;
    found = answer;
    if (convolves) {
      const window = kernelOf(weights, k, channel);
      kernel.cell = products.cell = Math.min(Math.floor(200 / Math.max(window.height, window.width)), 44);
      kernel.show(state.flipped ? turned(window) : window, { text: true });
      const size = window.height * window.width;
      const values = Float64Array.from(found.columns.value.slice(channel * size, (channel + 1) * size), Number);
      products.show({ height: window.height, width: window.width, values, dtype: "float64" }, { text: true });
    }
    show({ ...found, source: convolves && state.flipped ? "Eq. 6, the same sum as Eq. 7" : found.source });
  };
}
