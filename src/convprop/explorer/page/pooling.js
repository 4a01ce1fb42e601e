// Pooling: winners, and what max, average and L2 make of the same windows, forward and back.

import { ask } from "./api.js";
import { integer, layerChoice } from "./controls.js";
import { nextInput } from "./delta.js";
import { windowOf } from "./forward.js";
import { el, failed, labelled, refill } from "./dom.js";
import { full, largest, mapOf, short, unpack } from "./numbers.js";
import { Picture, captioned, pixel } from "./picture.js";
import { player } from "./player.js";
import { layerOf, now, paddingOf, set, state } from "./state.js";
import { terms, work } from "./terms.js";

const KINDS = [["max", "Max: all to the winner"], ["average", "Average: equal shares"], ["l2", "L2: in proportion to o"]];

export function pooling(root) {
  const words = el("p", { class: "lead" });
  const controls = el("div", { class: "bar" });
  const select = (i, j) => set({ input: [state.input[0], i, j] });
  const input = new Picture({ label: "input of the pool", name: "o", onpoint: select });
  const delta = new Picture({ label: "deltas of its output", name: "δ" });
  const kinds = KINDS.map(([kind, title]) => ({
    kind, title,
    output: new Picture({ label: `${kind} output`, name: "x" }),
    routed: new Picture({ label: `${kind} routing`, name: "∂E/∂o", onpoint: select }),
    said: el("p", { class: "routed" }),
  }));
  const detail = el("section", { class: "terms" });
  const { show } = terms(detail, (place) => mark(place));
  const play = player("unit", () => set({ input: nextInput() }));
  root.append(words, controls, work([
    captioned(input, "input o"), captioned(delta, "deltas δ of the windows"),
    el("div", { class: "kinds" }, kinds.map(({ title, output, routed, said }) =>
      el("div", { class: "kind" }, el("h3", {}, title), captioned(output, "forward"), captioned(routed, "back"), said))),
  ], detail));
  let found = null;

  // The windows over the unit, and one of them more strongly.
  function mark(place) {
    const layer = layerOf("pool");
    const { i, j } = found.columns;
    input.frames = i.map((row, at) => ({ ...windowOf(layer, Number(row), Number(j[at])), kind: at === place ? "winner" : "window" }));
    delta.frames = i.map((row, at) => pixel(row, j[at], at === place ? "winner" : "window"));
    input.draw();
    delta.draw();
  }

  return async () => {
    const layer = layerOf("pool");
    root.classList.toggle("empty", !layer);
    if (!layer) return words.replaceChildren("This network has no pooling layer.");
    if (layer.name !== state.layer) return set({ layer: layer.name });
    const [c, i, j] = state.input;
    refill(controls, layerChoice(layer, "pool"),
      labelled("channel c", integer("c", c, layer.shape[0], (value) => set({ input: [value, i, j] }))), ...play.buttons);
    words.replaceChildren("Point at a unit. A pool makes one value of each window. On the way back max gives the whole delta to the unit that won (framed under Max), average an equal share to each, L2 to each in proportion to it. The network itself uses the one marked; the others are computed from the same input and deltas.");
    let answer;
    let explained;
    const asked = now();
    try {
      [answer, explained] = await Promise.all([
        ask("routing", { layer: layer.name, channel: c }),
        ask("explain", { number: "delta", layer: layer.name, at: [c, i, j] }),
      ]);
    } catch (error) {
      return failed(error);
    }
    if (asked !== now()) return;
    found = explained;
    const map = mapOf(unpack(answer.input), 0);
    const deltas = mapOf(unpack(answer.delta), 0);
    const winners = answer.kinds.max.winner.map((place) => pixel(Math.floor(place / map.width), place % map.width, "winner"));
    input.show(map, { at: [i, j], text: true, margin: paddingOf(layer) });
    delta.show(deltas, { text: true });
    const over = found.columns.i.map((row, at) => [Number(row), Number(found.columns.j[at])]);
    const most = largest(deltas.values);
    for (const { kind, output, routed, said } of kinds) {
      const [made, came] = [answer.kinds[kind].output, answer.kinds[kind].delta].map((array) => mapOf(unpack(array), 0));
      output.canvas.closest(".kind").classList.toggle("own", kind === answer.kind);
      output.show(made, { text: true, frames: over.map(([row, column]) => pixel(row, column, "window")) });
      routed.show(came, { at: [i, j], most, text: true, frames: kind === "max" ? winners : [] });
      const number = (value, dtype) => el("b", { title: full(value, dtype) }, short(value));
      const values = over.flatMap(([row, column], at) => [at ? ", " : "", number(made.values[row * made.width + column], made.dtype)]);
      said.replaceChildren(over.length === 1 ? "The unit's window: " : "The unit's windows: ", ...(values.length ? values : ["none"]), ". The unit gets back ",
        number(came.values[i * came.width + j], came.dtype), ".");
    }
    mark(null);
    show(found);
  };
}
