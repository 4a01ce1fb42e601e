// The loss layer: predictions, targets, E and the first delta.

import { ask } from "./api.js";
import { el, failed } from "./dom.js";
import { short } from "./numbers.js";
import { now, state } from "./state.js";
import { terms } from "./terms.js";

const MEANING = {
  squared_error: "what was predicted less what was wanted, y − t",
  softmax_cross_entropy: "the probability less the target, p − t",
  binary_cross_entropy: "the probability less the target, p − t",
};

export function loss(root) {
  const words = el("p", { class: "lead" });
  const bars = el("div", { class: "bars", role: "list" });
  const detail = el("section", { class: "terms" });
  const show = terms(detail);
  root.append(words, bars, detail);

  return async () => {
    words.replaceChildren(`Here the way back begins. The loss, ${state.network.loss}, compares the last layer's outputs y with the targets t. Its derivative by each output is the first delta: ${MEANING[state.network.loss_kind]}.`);
    let found;
    const asked = now();
    try {
      found = await ask("explain", { number: "loss" });
    } catch (error) {
      return failed(error);
    }
    if (asked !== now()) return;
    bars.replaceChildren(...state.maps.prediction.map((value, k) => {
      const bar = el("span", { class: "bar-fill" });
      bar.style.width = `${Math.min(Math.max(Number(value), 0), 1) * 100}%`;
      return el("div", { role: "listitem", class: k === state.maps.label ? "target" : "" },
        el("span", {}, state.network.classes[k] ?? String(k)), el("span", { class: "bar-room" }, bar),
        el("span", { class: "number", title: value }, short(value)),
        el("span", { class: "number", title: found.columns.delta[k] }, `δ ${short(found.columns.delta[k])}`));
    }));
    show(found);
  };
}
