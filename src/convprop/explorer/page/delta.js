// The delta of an input pixel (Eq. 16-22): the region Q that saw it, and the rotated kernel.

import { ask } from "./api.js";
import { integer, layerChoice } from "./controls.js";
import { el, failed, labelled, refill } from "./dom.js";
import { kernelOf, mapOf, turned } from "./numbers.js";
import { Picture, captioned } from "./picture.js";
import { player } from "./player.js";
import { place } from "./forward.js";
import { deltaOf, inputDeltaOf, inputOf, layerOf, now, set, state } from "./state.js";
import { extent } from "./strip.js";
import { terms } from "./terms.js";

const WORDS = {
  pool: "What reaches a unit is what the windows over it pass on: all of it to a winner, or a share.",
  dense: "Every output has seen every input: the sum runs over all outputs, each one's delta times the weight between them.",
  activation: "The delta behind an activation is the one before it times the slope f′(x): the last factor of Eq. 20.",
  other: "This layer passes every delta on as it is.",
};

export function delta(root) {
  const input = new Picture({ label: "input map", name: "o", onpoint: (i, j) => select(i, j) });
  const deltas = new Picture({ label: "deltas of the output", name: "δ" });
  const kernel = new Picture({ label: "kernel", name: "w" });
  const result = new Picture({ label: "deltas of the input", name: "∂E/∂o", onpoint: (i, j) => select(i, j) });
  const controls = el("div", { class: "bar" });
  const words = el("p", { class: "lead" });
  const detail = el("section", { class: "terms" });
  let output = 0;
  let found = null;
  const show = terms(detail, (place) => mark(place));
  const play = player("pixel", () => {
    const [channels, height, width] = inputOf(layerOf()).shape;
    if (!width) return set({ input: [(state.input[0] + 1) % channels, 0, 0] });
    const next = (state.input[1] * width + state.input[2] + 1) % (height * width);
    return set({ input: [state.input[0], Math.floor(next / width), next % width] });
  });
  root.append(words, controls, el("div", { class: "figures" },
    captioned(input, "input o: point at a pixel"), captioned(deltas, "deltas δ, and the region Q"),
    captioned(kernel, "kernel w"), captioned(result, "∂E/∂o")), detail);

  const select = (i, j) => set({ input: inputOf(layerOf()).shape.length < 3 ? [j, 0, 0] : [state.input[0], i, j] });

  function frames(place) {
    const { k, i, j } = found.columns;
    if (!i) return [];
    if (!k) return i.map((_, at) => ({ row: Number(i[at]), column: Number(j[at]), height: 1, width: 1, kind: at === place ? "winner" : "region" }));
    const mine = k.map((_, at) => at).filter((at) => Number(k[at]) === output);
    const one = (at, kind) => ({ row: Number(i[at]) + margin[0], column: Number(j[at]) + margin[1], height: 1, width: 1, kind });
    return [...mine.map((at) => one(at, "region")), ...(place === null || Number(k[place]) !== output ? [] : [one(place, "winner")])];
  }

  // Where the rotated kernel lies on the padded deltas; with a stride it has gaps, and no frame.
  function sliding() {
    const layer = layerOf();
    const { kernel_size: size, stride, dilation, padding } = layer.settings;
    if (layer.kind !== "conv" || !state.flipped || stride.some((step) => step > 1)) return [];
    const [height, width] = [0, 1].map((axis) => (size[axis] - 1) * dilation[axis] + 1);
    const [, i, j] = state.input;
    return [{ row: i + padding[0] - height + 1 + margin[0], column: j + padding[2] - width + 1 + margin[1], height, width, kind: "window" }];
  }

  let margin = [0, 0];
  function mark(place) {
    deltas.frames = [...sliding(), ...frames(place)];
    deltas.draw();
    if (!kernel.map || kernel.canvas.parentElement.hidden) return;
    // The weights that the region Q has seen the pixel through.
    const { k, m, n } = found.columns;
    const weight = (at, kind) => {
      const [row, column] = [Number(m[at]), Number(n[at])];
      const turn = state.flipped && !layerOf().settings.flip_kernel;
      return { row: turn ? kernel.map.height - 1 - row : row, column: turn ? kernel.map.width - 1 - column : column, height: 1, width: 1, kind };
    };
    kernel.frames = k.map((_, at) => at).filter((at) => Number(k[at]) === output).map((at) => weight(at, at === place ? "winner" : "region"));
    kernel.draw();
  }

  // The deltas with as many zeros round them as the rotated kernel reaches beyond the map (Eq. 22).
  function padded(map, layer) {
    const { kernel_size: size, dilation, padding } = layer.settings;
    margin = [0, 1].map((axis) => Math.max((size[axis] - 1) * dilation[axis] - padding[2 * axis], 0));
    const [height, width] = [map.height + 2 * margin[0], map.width + 2 * margin[1]];
    const values = new Float64Array(height * width);
    for (let i = 0; i < map.height; i++)
      for (let j = 0; j < map.width; j++) values[(i + margin[0]) * width + j + margin[1]] = map.values[i * map.width + j];
    return { height, width, values, dtype: map.dtype };
  }

  return async () => {
    const layer = layerOf();
    const [c, i, j] = state.input;
    const [before, after] = [inputOf(layer), deltaOf(layer)];
    const [row, rowAfter] = [before.shape.length < 3, after.shape.length < 3];
    const convolves = layer.kind === "conv";
    const weights = state.maps.parameters[`${layer.name}.weight`];
    let window = null;
    let outputs = convolves ? layer.shape[0] : 1;
    if (convolves) {
      const each = weights.shape[1];
      const group = Math.floor(c / each);
      const perGroup = outputs / layer.settings.groups;
      output = Math.min(Math.max(output, group * perGroup), (group + 1) * perGroup - 1);
      window = kernelOf(weights, output, c - group * each);
      kernel.cell = Math.min(Math.floor(200 / Math.max(window.height, window.width)), 44);
      kernel.show(state.flipped ? turned(window) : window, { text: true });
    }
    kernel.canvas.parentElement.hidden = !convolves;
    refill(controls,
      layerChoice(layer),
      labelled(row ? "feature" : "channel c", integer("c", c, before.shape[0], (value) => set({ input: [value, i, j] }))),
      convolves && labelled("output k", integer("k", output, outputs, (value) => { output = value; return set({}); })),
      convolves && labelled("kernel rotated, δ padded (Eq. 22)", el("input", { id: "flipped", type: "checkbox", checked: state.flipped, onchange: (event) => set({ flipped: event.target.checked }) })),
      ...play.buttons,
    );
    words.replaceChildren(!convolves ? WORDS[layer.kind] ?? WORDS.other : state.flipped
      ? "Turn the kernel by 180° and put zeros round the deltas: then all input deltas at once are what the rotated kernel (the small squares) gives as it slides over the padded δ. That is Eq. 21 and 22."
      : "An input pixel has gone into every output whose window lay over it: the region Q. What it did to E is the sum, over Q and over all output maps, of each output's delta times the weight through which it saw the pixel (Eq. 16 to 20).");
    const chosen = row ? { frames: place(c, before) } : { at: [i, j] };
    input.show(mapOf(before, c), { ...chosen, range: layer.place === 0 ? extent(before.values) : null });
    result.show(mapOf(inputDeltaOf(layer), c), chosen);
    kernel.canvas.previousElementSibling.textContent = state.flipped ? "kernel w, rotated by 180°" : "kernel w";
    const asked = now();
    let answer;
    try {
      answer = await ask("explain", { number: "delta", layer: layer.name, at: row ? [c] : [c, i, j] });
    } catch (error) {
      return failed(error);
    }
    if (asked !== now()) return;
    found = answer;
    const map = mapOf(after, convolves ? output : rowAfter ? 0 : c);
    margin = [0, 0];
    deltas.show(convolves && state.flipped ? padded(map, layer) : map);
    const [over] = sliding();
    if (over) deltas.overlay = { map: turned(window), row: over.row, column: over.column, step: layer.settings.dilation };
    mark(null);
    show({ ...found, source: convolves && state.flipped ? `Eq. 22, the same sum as ${found.source}` : found.source });
  };
}
