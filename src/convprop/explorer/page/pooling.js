// Pooling: winners, and what max, average and L2 make of the same windows, forward and back.

import { ask } from "./api.js";
import { inputOf } from "./arrays.js";
import { integer } from "./controls.js";
import { el, labelled } from "./dom.js";
import { captioned } from "./figures.js";
import { framed, pixel } from "./frames.js";
import { full, largest, mapOf, short, unpack } from "./numbers.js";
import { Picture } from "./picture.js";
import { following } from "./player.js";
import { POOLING as SAID } from "./prose.js";
import { layerOf, set, state } from "./state.js";
import { view } from "./view.js";

const KINDS = [
  ["max", "Max: all to the winner"], ["average", "Average: equal shares"],
  ["l2", "L2: in proportion to o"],
];

export const pooling = (root) => view(root, (here) => {
  const select = (i, j) => set({ input: [state.input[0], i, j] });
  const input = new Picture({ label: "input of the pool", name: "o", onpoint: select });
  const delta = new Picture({ label: "deltas of its output", name: "δ" });
  const kinds = KINDS.map(([kind, title]) => ({
    kind, title,
    output: new Picture({ label: `${kind} output`, name: "x" }),
    routed: new Picture({ label: `${kind} routing`, name: "∂E/∂o", onpoint: select }),
    said: el("p", { class: "routed" }),
  }));

  // The outputs whose windows lie over the unit.
  const over = () => here.found.columns.i.map(
    (row, at) => [Number(row), Number(here.found.columns.j[at])]);

  // The windows over the unit, and one of them more strongly.
  function mark(term) {
    const { window } = layerOf("pool");
    const kind = (at) => (at === term ? "winner" : "window");
    input.frames = over().map((output, at) => framed(window.under(output), kind(at)));
    delta.frames = over().map((output, at) => pixel(...output, kind(at)));
    input.draw();
    delta.draw();
  }

  // What a kind of pool makes of the unit's windows, and gives back to the unit.
  function told(made, came) {
    const [, i, j] = state.input;
    const number = (map, row, column) => {
      const value = map.values[row * map.width + column];
      return el("b", { title: full(value, map.dtype) }, short(value));
    };
    const values = over().flatMap((output, at) => [at ? ", " : "", number(made, ...output)]);
    return [
      SAID.windows(over().length), ...(values.length ? values : ["none"]),
      SAID.back, number(came, i, j), ".",
    ];
  }

  return {
    kinds: ["pool"],
    none: SAID.none,
    player: ["unit", () => set({ input: following(state.input, inputOf(layerOf()).shape) })],
    figures: [
      captioned(input, "input o"), captioned(delta, "deltas δ of the windows"),
      el("div", { class: "kinds" }, kinds.map(({ title, output, routed, said }) =>
        el("div", { class: "kind" }, el("h3", {}, title),
          captioned(output, "forward"), captioned(routed, "back"), said))),
    ],
    controls(layer) {
      const [c, i, j] = state.input;
      const choose = (value) => set({ input: [value, i, j] });
      return [labelled("channel c", integer("c", c, layer.shape[0], choose))];
    },
    lead: () => SAID.lead,
    questions: (layer) => [
      ask("explain", { number: "delta", layer: layer.name, at: state.input }),
      ask("routing", { layer: layer.name, channel: state.input[0] }),
    ],

    after(layer, [, answer]) {
      const at = state.input.slice(1);
      const map = mapOf(unpack(answer.input), 0);
      const deltas = mapOf(unpack(answer.delta), 0);
      const winners = answer.kinds.max.winner.map(
        (unit) => pixel(Math.floor(unit / map.width), unit % map.width, "winner"));
      input.show(map, { at, text: true, margin: layer.window.padding });
      delta.show(deltas, { text: true });
      const most = largest(deltas.values);
      for (const { kind, output, routed, said } of kinds) {
        const { output: made, delta: came } = answer.kinds[kind];
        const [forth, back] = [made, came].map((array) => mapOf(unpack(array), 0));
        output.canvas.closest(".kind").classList.toggle("own", kind === answer.kind);
        output.show(forth, { text: true, frames: over().map((one) => pixel(...one, "window")) });
        routed.show(back, { at, most, text: true, frames: kind === "max" ? winners : [] });
        said.replaceChildren(...told(forth, back));
      }
    },

    mark,
  };
});
