// The loss layer: predictions, targets, E and the first delta.

import { ask } from "./api.js";
import { el, failed } from "./dom.js";
import { short } from "./numbers.js";
import { LOSS as SAID } from "./prose.js";
import { now, state } from "./state.js";
import { terms } from "./terms.js";

export function loss(root) {
  const words = el("p", { class: "lead" });
  const bars = el("div", { class: "bars", role: "list" });
  const detail = el("section", { class: "terms" });
  const { show } = terms(detail);
  root.append(words, bars, detail);

  return async () => {
    const { network, maps } = state;
    const smoothed = network.smoothing
      && SAID.smoothed(short(network.smoothing), network.classes.length);
    const lead = SAID.lead(network.loss, SAID[network.loss_kind]);
    words.replaceChildren([lead, smoothed].filter(Boolean).join(" "));
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
    const number = (name, value) =>
      el("span", { class: "number", title: value }, `${name} ${short(value)}`);
    const letter = network.loss_kind === "squared_error" ? "y" : "p";
    bars.replaceChildren(...maps.prediction.map((value, k) => {
      const bar = el("span", { class: "bar-fill" });
      bar.style.width = part(value);
      const target = t ? el("span", { class: "bar-target" }) : null;
      if (t) target.style.left = part(t[k]);
      return el("div", { role: "listitem", class: k === maps.label ? "target" : "" },
        el("span", {}, network.classes[k] ?? String(k)),
        el("span", { class: "bar-room" }, bar, target),
        number(letter, value), t ? number("t", t[k]) : el("span"), number("δ", delta[k]));
    }));
    show(found);
  };
}
