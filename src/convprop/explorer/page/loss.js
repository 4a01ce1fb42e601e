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
  const { show } = terms(detail);
  root.append(words, bars, detail);

  return async () => {
    const { network, maps } = state;
    const smoothed = network.smoothing
      ? ` Label smoothing takes ${short(network.smoothing)} of the target away from the label and shares it out among all ${network.classes.length} classes, so that the network is not driven to be certain: the marks are these targets. E cannot become 0 then, however good the network is.`
      : "";
    words.replaceChildren(`Here the way back begins. The loss, ${network.loss}, compares the last layer's outputs y with the targets t. Its derivative by each output is the first delta: ${MEANING[network.loss_kind]}.${smoothed}`);
    let found;
    const asked = now();
    try {
      found = await ask("explain", { number: "loss" });
    } catch (error) {
      return failed(error);
    }
    if (asked !== now()) return;
    const { delta, t } = found.columns;
    const part = (value) => `${Math.min(Math.max(Number(value), 0), 1) * 100}%`;
    const number = (letter, value) => el("span", { class: "number", title: value }, `${letter} ${short(value)}`);
    const letter = network.loss_kind === "squared_error" ? "y" : "p";
    bars.replaceChildren(...maps.prediction.map((value, k) => {
      const bar = el("span", { class: "bar-fill" });
      bar.style.width = part(value);
      const target = t ? el("span", { class: "bar-target" }) : null;
      if (t) target.style.left = part(t[k]);
      return el("div", { role: "listitem", class: k === maps.label ? "target" : "" },
        el("span", {}, network.classes[k] ?? String(k)), el("span", { class: "bar-room" }, bar, target),
        number(letter, value), t ? number("t", t[k]) : el("span"), number("δ", delta[k]));
    }));
    show(found);
  };
}
