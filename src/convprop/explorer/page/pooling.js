// Pooling: winners, and what each kind makes of the same windows, forward and back.

import { ask } from "./api.js";
import { inputOf } from "./arrays.js";
import { integer } from "./controls.js";
import { el, labelled } from "./dom.js";
import { captioned } from "./figures.js";
import { framesUnder, pixel } from "./frames.js";
import { full, largest, mapOf, short, unpack } from "./numbers.js";
import { Picture } from "./picture.js";
import { following } from "./player.js";
import { POOLING as SAID } from "./prose.js";
import { layerOf, set, state } from "./state.js";
import { view } from "./view.js";

export const pooling = (root) => view(root, (here) => {
  const select = (i, j) => set({ input: [state.input[0], i, j] });
  const input = new Picture({ label: "input of the pool", name: "o", onpoint: select });
  const delta = new Picture({ label: "deltas of its output", name: "δ" });
  const list = el("div", { class: "kinds" });
  const kinds = new Map();

  // The pictures of a kind, made when the engine first names it.
  function figuresOf(kind, routing) {
    if (!kinds.has(kind)) {
      const output = new Picture({ label: `${kind} output`, name: "x" });
      const routed = new Picture({ label: `${kind} routing`, name: "∂E/∂o", onpoint: select });
      const said = el("p", { class: "routed" });
      const title = `${kind[0].toUpperCase()}${kind.slice(1)}: ${routing}`;
      const box = el("div", { class: "kind" }, el("h3", {}, title),
        captioned(output, "forward"), captioned(routed, "back"), said);
      list.append(box);
      kinds.set(kind, { box, output, routed, said });
    }
    return kinds.get(kind);
  }

  // The outputs whose windows lie over the unit.
  const over = () => here.found.columns.i.map(
    (row, at) => [Number(row), Number(here.found.columns.j[at])]);

  // The windows over the unit, and one of them more strongly.
  function mark(term) {
    const { window } = layerOf("pool");
    const kind = (at) => (at === term ? "winner" : "window");
    input.frames = over().flatMap((output, at) => framesUnder(window, output, kind(at)));
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
      captioned(input, "input o"), captioned(delta, "deltas δ of the windows"), list,
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
      const won = (unit) => pixel(Math.floor(unit / map.width), unit % map.width, "winner");
      input.show(map, { at, text: true, margin: layer.window.margin });
      delta.show(deltas, { text: true });
      const most = largest(deltas.values);
      for (const [kind, of] of Object.entries(answer.kinds)) {
        const { routing, output: made, delta: came, winner } = of;
        const { box, output, routed, said } = figuresOf(kind, routing);
        const [forth, back] = [made, came].map((array) => mapOf(unpack(array), 0));
        box.classList.toggle("own", kind === answer.kind);
        output.show(forth, { text: true, frames: over().map((one) => pixel(...one, "window")) });
        routed.show(back, { at, most, text: true, frames: (winner ?? []).map(won) });
        said.replaceChildren(...told(forth, back));
      }
    },

    mark,
  };
});
