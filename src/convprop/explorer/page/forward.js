// Forward (Eq. 6 and 7): an output pixel, the window that it sees, and the products that make it.

import { ask } from "./api.js";
import { el, failed, labelled, refill, tick } from "./dom.js";
import { integer, layerChoice } from "./controls.js";
import { extent, kernelOf, mapOf, turned } from "./numbers.js";
import { LONG, Picture, captioned, cellOf, pixel, stacked } from "./picture.js";
import { channelOf, inputOf, layerOf, outputOf, paddingOf, now, set, state } from "./state.js";
import { fields, framed, normalised } from "./strip.js";
import { player } from "./player.js";
import { terms, work } from "./terms.js";

const WORDS = {
  pool: "Point at an output pixel: a pool makes one value of its window's units.",
  dense: "Every output of a dense layer is a sum over all of its input: Eq. 7 with a window as large as the map.",
  activation: "An activation takes every value by itself: o = f(x), Eq. 8.",
  other: "This layer passes every value on as it is.",
};

// The frame round value k of a row, which is drawn in lines.
export const place = (k, array) => [pixel(Math.floor(k / LONG), k % Math.min(array.values.length, LONG), "here")];

// The rows and columns that the window of output (i, j) covers.
export function windowOf(layer, i, j) {
  const { stride = [1, 1], padding = [0, 0, 0, 0], dilation = [1, 1] } = layer.settings;
  const size = layer.settings.kernel_size ?? layer.settings.size ?? [1, 1];
  return {
    row: i * stride[0] - padding[0], column: j * stride[1] - padding[2], kind: "window",
    height: (size[0] - 1) * dilation[0] + 1, width: (size[1] - 1) * dilation[1] + 1,
  };
}

// The output whose window begins at a pixel, or the nearest.
export function outputAt(layer, row, column) {
  const { stride = [1, 1], padding = [0, 0, 0, 0] } = layer.settings;
  const fit = (at, axis) => Math.min(Math.max(Math.floor((at + padding[2 * axis]) / stride[axis]), 0), layer.shape[1 + axis] - 1);
  return [state.out[0], fit(row, 0), fit(column, 1)];
}

// The output after the one that is looked at, in row order; after the last one the first.
function nextOutput() {
  const { shape: [channels, height, width] } = layerOf();
  if (!width) return [(state.out[0] + 1) % channels, 0, 0];
  const next = (state.out[1] * width + state.out[2] + 1) % (height * width);
  return [state.out[0], Math.floor(next / width), next % width];
}

export function forward(root) {
  const input = new Picture({
    label: "input map", name: "o", onpoint: (row, column) => layerOf().shape.length > 2 && set({ out: outputAt(layerOf(), row, column) }),
    onhover: (at) => look(at && { row: at[0], column: at[1], ...(layerOf().kind === "conv" ? { c: channel } : {}) }),
  });
  const kernel = new Picture({ label: "kernel", name: "w", onhover: (at) => look(weightAt(at, turns())) });
  const products = new Picture({ label: "products under the window", name: "w·o", onhover: (at) => look(weightAt(at, layerOf().settings.flip_kernel)) });
  const output = new Picture({ label: "output map", name: "x", onpoint: (i, j) => set({ out: layerOf().shape.length < 3 ? [j, 0, 0] : [state.out[0], i, j] }) });
  const field = new Picture({ label: "the image, and what the output sees of it", name: "o" });
  const controls = el("div", { class: "bar" });
  const words = el("p", { class: "lead" });
  const detail = el("section", { class: "terms" });
  const { show, look, goTo } = terms(detail, (place) => mark(place));
  const [outputCaption, kernelCaption] = [el("span"), el("span")];
  let found = null;
  // The input channel that is shown: the kernel's own, and that of the input, which differ in groups.
  let c = 0;
  let channel = 0;

  root.append(words, controls, work([
    captioned(input, "input o, and the window"), captioned(output, outputCaption),
    stacked(captioned(kernel, kernelCaption), captioned(products, "products w·o")),
    captioned(field, "receptive field in the image"),
  ], detail));
  const play = player("window", () => set({ out: nextOutput() }));

  // Whether the kernel is drawn turned: for Eq. 6, or one that the layer itself lays down flipped; not if both.
  const turns = () => state.flipped !== layerOf().settings.flip_kernel;

  // Where weight (m, n) is drawn, if turned; and, as a turn undoes itself, which weight is drawn there.
  function turn(turned, [m, n]) {
    const { height, width } = kernel.map;
    return turned ? [height - 1 - m, width - 1 - n] : [Number(m), Number(n)];
  }

  // The indices of the weight that is drawn at a place, and of the shown channel.
  function weightAt(place, turned) {
    if (!place) return null;
    const [m, n] = turn(turned, place);
    return { m, n, c: channel };
  }

  function mark(place) {
    const { row, column, wins, m, n, c: channels } = found.columns;
    const chosen = place ?? wins?.indexOf("1") ?? -1;
    input.frames = chosen < 0 || !row ? window_() : [...window_(), pixel(row[chosen], column[chosen], "winner")];
    input.draw();
    if (!m) return;
    const mine = place !== null && Number(channels[place]) === channel;
    kernel.frames = mine ? [pixel(...turn(turns(), [m[place], n[place]]), "winner")] : [];
    // The products lie as the window does.
    products.frames = mine ? [pixel(...turn(layerOf().settings.flip_kernel, [m[place], n[place]]), "winner")] : [];
    kernel.draw();
    products.draw();
  }

  function window_() {
    const layer = layerOf();
    return layer.kind === "dense" || layer.shape.length < 3 ? [] : [windowOf(layer, ...state.out.slice(1, 3))];
  }

  function lead(layer) {
    if (layer.kind !== "conv") return WORDS[layer.kind] ?? WORDS.other;
    return state.flipped
      ? "Eq. 6 says convolution: first the kernel is turned by 180° (beside the output); then a convolution, while it slides, turns it once more (the small squares over the input). The two turns undo each other: each weight lies where it lay before, and the products are the same."
      : "Point at an output pixel. Its window lies over the input; each weight (a small square) meets the pixel under it, and the products are added up, channel by channel, to the bias.";
  }

  return async () => {
    const layer = layerOf();
    const [k, i, j] = state.out;
    const row = layer.shape.length < 3;
    const convolves = layer.kind === "conv";
    const weights = state.maps.parameters[`${layer.name}.weight`];
    const channels = convolves ? weights.shape[1] : 1;
    c = Math.min(state.channel, channels - 1);
    channel = convolves ? channelOf(layer, k, c) : row ? 0 : k;
    const window = convolves ? kernelOf(weights, k, c) : null;

    refill(controls,
      layerChoice(layer),
      labelled(convolves ? "kernel k" : row ? "output k" : "channel", integer("k", k, layer.shape[0], (value) => set({ out: [value, i, j] }))),
      convolves && labelled("channel c", integer("c", c, channels, (value) => set({ channel: value }))),
      convolves && tick("flipped", "kernel flipped (Eq. 6)", state.flipped, (flipped) => set({ flipped })),
      ...play.buttons,
    );
    words.replaceChildren([lead(layer), layer.place ? null : normalised()].filter(Boolean).join(" "));
    const { dilation, flip_kernel: flips } = layer.settings;
    const [over] = window_();
    input.show(mapOf(inputOf(layer), channel), {
      frames: window_(), margin: paddingOf(layer), range: layer.place === 0 ? extent(inputOf(layer).values) : null,
      overlay: window && { map: flips ? turned(window) : window, row: over.row, column: over.column, step: dilation },
    });
    outputCaption.textContent = convolves || layer.kind === "dense" ? "output x" : "output";
    output.show(mapOf(outputOf(layer), k), { at: row ? null : [i, j], frames: row ? place(k, outputOf(layer)) : [] });
    for (const picture of [kernel, products]) picture.canvas.parentElement.hidden = !convolves;
    const asked = now();
    let answer;
    let regions;
    try {
      [answer, regions] = await Promise.all([ask("explain", { number: "output", layer: layer.name, at: row ? [k] : [k, i, j] }), fields("forward")]);
    } catch (error) {
      return failed(error);
    }
    if (asked !== now()) return;
    found = answer;
    if (convolves) {
      kernel.cell = products.cell = cellOf(window);
      kernel.show(turns() ? turned(window) : window, { text: true });
      kernelCaption.textContent = state.flipped ? "w, turned by 180°" : "kernel w";
      const size = window.height * window.width;
      const values = Float64Array.from(found.columns.value.slice(c * size, (c + 1) * size), Number);
      products.show({ ...window, values, dtype: "float64" }, { text: true });
    }
    field.canvas.parentElement.hidden = !layer.place;
    const seen = state.maps.outputs[0];
    if (layer.place) field.show(mapOf(seen, 0), { frames: framed(regions[0], "window"), range: extent(seen.values), rgb: seen.shape[0] === 3 ? seen.values : null });
    mark(null);
    show({ ...found, source: convolves && state.flipped ? "Eq. 6, the same sum as Eq. 7" : found.source });
    if (convolves && c) goTo(c * window.height * window.width);
  };
}
