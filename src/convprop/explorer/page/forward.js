// Forward (Eq. 6 and 7): an output pixel, the window that it sees, and the products that make it.

import { ask } from "./api.js";
import {
  channelBefore, channelOf, outputBeginning, outputOf, partsOf, rangeOf, turns, weightsOf,
} from "./arrays.js";
import { integer } from "./controls.js";
import { labelled, tick } from "./dom.js";
import { fields, hull } from "./fields.js";
import { captioned, several, stacked } from "./figures.js";
import { framed, framesUnder, pixel, place } from "./frames.js";
import { extent, kernelOf, mapOf, turned, turnedAt } from "./numbers.js";
import { Picture, cellOf } from "./picture.js";
import { following } from "./player.js";
import { FORWARD as SAID } from "./prose.js";
import { JOINS, layerOf, nameOf, set, state } from "./state.js";
import { normalised } from "./strip.js";
import { view } from "./view.js";
import { windowOf } from "./window.js";

const convolves = (layer) => layer.kind === "conv";
const isRow = (layer) => layer.shape.length < 3;

export const forward = (root) => view(root, (here) => {
  // The input channel that is shown: the kernel's own, and that of the input, which differ in
  // groups.
  let c = 0;
  let channel = 0;
  const flips = () => layerOf().settings.flip_kernel;

  const choose = (...at) => isRow(layerOf()) || set({ out: outputBeginning(layerOf(), at) });
  const input = new Picture({
    label: "input map", name: "o", onpoint: choose,
    onhover: (at) => here.look(
      at && { row: at[0], column: at[1], ...(convolves(layerOf()) ? { c: channel } : {}) }),
  });
  // What a join reads besides.
  const others = several("input map", { name: "o", onpoint: choose });
  const kernel = new Picture({
    label: "kernel", name: "w", onhover: (at) => here.look(weightAt(at, turns(layerOf()))),
  });
  const products = new Picture({
    label: "products under the window", name: "w·o",
    onhover: (at) => here.look(weightAt(at, flips())),
  });
  const output = new Picture({
    label: "output map", name: "x",
    onpoint: (i, j) => set({ out: isRow(layerOf()) ? [j, 0, 0] : [state.out[0], i, j] }),
  });
  const field = new Picture({ label: "the image, and what the output sees of it", name: "o" });

  // The indices of the weight that is drawn at a place, and of the shown channel.
  function weightAt(at, isTurned) {
    if (!at) return null;
    const [m, n] = turnedAt(isTurned, at, kernel.map);
    return { m, n, c: channel };
  }

  function windows() {
    const layer = layerOf();
    if (layer.kind === "dense" || isRow(layer)) return [];
    if (layer.kind === "pool") return framesUnder(layer.window, state.out.slice(1), "window");
    return [framed(windowOf(layer).under(state.out.slice(1)), "window")];
  }

  function mark(term) {
    const { row, column, wins, m, n, c: channels } = here.found.columns;
    const chosen = term ?? wins?.indexOf("1") ?? -1;
    input.frames = windows();
    if (chosen >= 0 && row) input.frames.push(pixel(row[chosen], column[chosen], "winner"));
    input.draw();
    if (!m) return;
    const mine = term !== null && Number(channels[term]) === channel;
    const winner = (isTurned) =>
      (mine ? [pixel(...turnedAt(isTurned, [m[term], n[term]], kernel.map), "winner")] : []);
    kernel.frames = winner(turns(layerOf()));
    // The products lie as the window does.
    products.frames = winner(flips());
    kernel.draw();
    products.draw();
  }

  function drawInput(layer, window) {
    const [over] = windows();
    const joined = JOINS[layer.kind] ? partsOf(layer, state.out[0]) : [];
    const [[value, c], ...rest] = joined.length ? joined : [[layer.reads[0], channel]];
    others.show(rest.map(([other, at]) => [
      `and ${nameOf(other)}`, mapOf(state.maps.outputs[other], at),
      { frames: windows(), range: rangeOf(other) },
    ]));
    input.caption = joined.length ? `input o: ${nameOf(value)}` : "input o, and the window";
    input.show(mapOf(state.maps.outputs[value], c), {
      frames: windows(), margin: windowOf(layer).margin, range: rangeOf(value),
      overlay: window && {
        map: flips() ? turned(window) : window,
        row: over.row, column: over.column, step: layer.window.dilation,
      },
    });
  }

  function drawProducts(window) {
    kernel.cell = products.cell = cellOf(window);
    kernel.show(turns(layerOf()) ? turned(window) : window, { text: true });
    kernel.caption = state.flipped ? "w, turned by 180°" : "kernel w";
    const size = window.height * window.width;
    const values = here.found.columns.value.slice(c * size, (c + 1) * size);
    products.show(
      { ...window, values: Float64Array.from(values, Number), dtype: "float64" }, { text: true });
  }

  function drawField(layer, regions) {
    // What reads the image alone shows it already.
    const more = layer.reads.some((value) => value > 0);
    field.hidden = !more;
    if (!more) return;
    const seen = state.maps.outputs[0];
    field.show(mapOf(seen, 0), {
      frames: hull(regions[0], "window"), range: extent(seen.values),
      rgb: seen.shape[0] === 3 ? seen.values : null,
    });
  }

  return {
    player: ["window", () => set({ out: following(state.out, layerOf().shape) })],
    figures: [
      captioned(input, ""), others.holder, captioned(output, ""),
      stacked(captioned(kernel, ""), captioned(products, "products w·o")),
      captioned(field, "receptive field in the image"),
    ],

    controls(layer) {
      const [k, i, j] = state.out;
      const channels = convolves(layer) ? weightsOf(layer).shape[1] : 1;
      c = Math.min(state.channel, channels - 1);
      const of = convolves(layer) ? "kernel k" : isRow(layer) ? "output k" : "channel";
      return [
        labelled(of, integer("k", k, layer.shape[0], (value) => set({ out: [value, i, j] }))),
        convolves(layer) && labelled("channel c",
          integer("c", c, channels, (value) => set({ channel: value }))),
        convolves(layer) && tick("flipped", "kernel flipped (Eq. 6)", state.flipped,
          (flipped) => set({ flipped })),
      ];
    },

    lead(layer) {
      const words = convolves(layer) && state.flipped
        ? SAID.flipped : SAID[layer.kind] ?? SAID.other;
      return [words, layer.reads.includes(0) ? normalised() : null].filter(Boolean).join(" ");
    },

    before(layer) {
      const [k, i, j] = state.out;
      channel = convolves(layer) ? channelOf(layer, k, c)
        : isRow(layer) ? 0 : channelBefore(layer, k);
      drawInput(layer, convolves(layer) ? kernelOf(weightsOf(layer), k, c) : null);
      output.caption = convolves(layer) || layer.kind === "dense" ? "output x" : "output";
      output.show(mapOf(outputOf(layer), k), isRow(layer)
        ? { frames: place(k, outputOf(layer)) } : { at: [i, j] });
      for (const picture of [kernel, products]) picture.hidden = !convolves(layer);
    },

    questions: (layer) => [
      ask("explain", {
        number: "output", layer: layer.name, at: isRow(layer) ? state.out.slice(0, 1) : state.out,
      }),
      fields("forward"),
    ],

    after(layer, [, regions]) {
      if (convolves(layer)) drawProducts(kernelOf(weightsOf(layer), state.out[0], c));
      drawField(layer, regions);
    },

    mark,
    source: (layer) => (convolves(layer) && state.flipped ? SAID.source : null),
    first: (layer) => convolves(layer) && c * kernel.map.height * kernel.map.width,
  };
});
