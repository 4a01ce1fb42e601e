// Pooling: winners, and what max, average and L2 make of the same windows, forward and back.

import { ask } from "./api.js";
import { integer, layerChoice } from "./controls.js";
import { el, failed, labelled, refill } from "./dom.js";
import { mapOf, unpack } from "./numbers.js";
import { Picture, captioned } from "./picture.js";
import { layerOf, now, set, state } from "./state.js";
import { terms } from "./terms.js";

const KINDS = [["max", "Max: all to the winner"], ["average", "Average: equal shares"], ["l2", "L2: as o / x"]];

export function pooling(root) {
  const words = el("p", { class: "lead" });
  const controls = el("div", { class: "bar" });
  const input = new Picture({ label: "input of the pool", name: "o", onpoint: (i, j) => set({ input: [state.input[0], i, j] }) });
  const delta = new Picture({ label: "deltas of its output", name: "δ" });
  const pairs = KINDS.map(([kind, title]) => ({
    kind, title,
    output: new Picture({ label: `${kind} output`, name: "x" }),
    routed: new Picture({ label: `${kind} routing`, name: "∂E/∂o" }),
  }));
  const detail = el("section", { class: "terms" });
  const show = terms(detail);
  root.append(words, controls,
    el("div", { class: "figures" }, captioned(input, "input o: point at a unit"), captioned(delta, "deltas δ of the windows")),
    el("div", { class: "figures columns" }, pairs.map(({ title, output, routed }) =>
      el("div", { class: "kind" }, el("h3", {}, title), captioned(output, "forward"), captioned(routed, "back")))),
    detail);

  return async () => {
    const layer = layerOf("pool");
    root.classList.toggle("empty", !layer);
    if (!layer) return words.replaceChildren("This network has no pooling layer.");
    if (layer.name !== state.layer) return set({ layer: layer.name });
    const [c, i, j] = state.input;
    refill(controls, layerChoice(layer, "pool"),
      labelled("channel c", integer("c", c, layer.shape[0], (value) => set({ input: [value, i, j] }))));
    words.replaceChildren("A pool makes one value of each window. On the way back max gives the whole delta to the unit that won (framed), average an equal share to each, L2 to each in proportion to it. The network itself uses the one marked.");
    let answer;
    let found;
    const asked = now();
    try {
      [answer, found] = await Promise.all([
        ask("routing", { layer: layer.name, channel: c }),
        ask("explain", { number: "delta", layer: layer.name, at: [c, i, j] }),
      ]);
    } catch (error) {
      return failed(error);
    }
    if (asked !== now()) return;
    const map = mapOf(unpack(answer.input), 0);
    const winners = answer.kinds.max.winner.map((place) => ({
      row: Math.floor(place / map.width), column: place % map.width, height: 1, width: 1, kind: "winner" }));
    const { stride, padding, size } = layer.settings;
    const windows = found.columns.i.map((row, n) => ({
      row: Number(row) * stride[0] - padding[0], column: Number(found.columns.j[n]) * stride[1] - padding[2],
      height: size[0], width: size[1], kind: "window" }));
    input.show(map, { at: [i, j], frames: [...winners, ...windows] });
    delta.show(mapOf(unpack(answer.delta), 0), { frames: found.columns.i.map((row, n) => ({ row: Number(row), column: Number(found.columns.j[n]), height: 1, width: 1, kind: "window" })) });
    for (const { kind, output, routed } of pairs) {
      output.canvas.closest(".kind").classList.toggle("own", kind === answer.kind);
      output.show(mapOf(unpack(answer.kinds[kind].output), 0));
      routed.show(mapOf(unpack(answer.kinds[kind].delta), 0), { at: [i, j], most: Math.max(...delta.map.values.map(Math.abs)) || 1, frames: kind === "max" ? winners : [] });
    }
    show(found);
  };
}
