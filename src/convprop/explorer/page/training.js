// Training: steps on the data, the loss curve, and the way back in time.

import { ask, offline } from "./api.js";
import { curve } from "./curve.js";
import { button, choice, disable, el, failed, labelled, say } from "./dom.js";
import { kernelOf, short } from "./numbers.js";
import { Picture } from "./picture.js";
import { player } from "./player.js";
import { TRAINING as SAID } from "./prose.js";
import { layerOf, state } from "./state.js";

export function training(root, take) {
  const controls = el("div", { class: "bar" });
  const words = el("p", { class: "lead" });
  const chart = el("div", { class: "chart" });
  const heading = el("h3");
  const kernels = el("div", { class: "maps large" });
  const time = el("input", {
    id: "time", type: "range", min: 0, max: 0, value: 0, disabled: offline,
    oninput: () => back(Number(time.value)),
  });
  const when = el("output", { for: "time" });
  let settings = null;
  let losses = [];
  const play = player("training", step, { delay: 60 });
  root.append(
    words, controls, chart, el("div", { class: "bar" }, labelled("Back in time", time), when),
    heading, kernels);

  async function step() {
    const { steps, optimizer, rate } = settings;
    const answer = await ask("train", { steps, optimizer, learning_rate: rate });
    const before = answer.step - answer.losses.length;
    losses = losses.filter(([at]) => at <= before);
    answer.losses.forEach((loss, n) => losses.push([before + n + 1, loss]));
    await take(answer);
    say(`Step ${answer.step}, loss ${short(answer.losses.at(-1))}`);
  }

  // The slider moves faster than the answers come: the last step that it was at is what counts.
  let wanted = null;
  async function back(to) {
    play.stop();
    const going = wanted !== null;
    wanted = to;
    if (going) return;
    try {
      for (let now = null; now !== wanted;) {
        now = wanted;
        const answer = await ask("back", { step: now });
        await take(answer);
        say(SAID.back(answer.step));
      }
    } catch (error) {
      failed(error);
    }
    wanted = null;
    time.value = state.maps.step;
  }

  function anew() {
    play.stop();
    losses = [];
    return ask("anew").then(take).then(() => say(SAID.fresh), failed);
  }

  // Once: while training plays, somebody may be typing here.
  function build(network) {
    settings = { optimizer: network.optimizer, rate: network.learning_rate, steps: 1 };
    const change = (name, as) => (value) => {
      settings[name] = as(value);
    };
    const named = (options, name, id, as) => choice(
      options.map((one) => [one, one]), settings[name], change(name, as), { id });
    const rate = change("rate", Number);
    controls.append(
      ...play.buttons,
      labelled("Steps at a time", named([1, 2, 5, 10, 20], "steps", "speed", Number)),
      labelled("Optimizer", named(network.optimizers, "optimizer", "optimizer", String)),
      labelled("Learning rate", el("input", {
        id: "rate", type: "number", step: "any", min: 0, value: settings.rate,
        onchange: (event) => rate(event.target.value),
      })),
      button("Fresh weights", anew, { id: "anew", title: SAID.start }),
    );
    if (offline) disable(controls);
  }

  return () => {
    const { network, maps } = state;
    if (!settings) build(network);
    words.replaceChildren(SAID.lead(maps.step, network.images, network.data),
      el("b", { title: maps.loss }, short(maps.loss)),
      maps.fresh || maps.step ? "." : SAID.trained);
    const [last] = maps.moments.at(-1);
    time.max = last;
    if (wanted === null) time.value = maps.step;
    time.setAttribute("aria-valuetext", `step ${maps.step}`);
    when.textContent = `step ${maps.step} of ${last}${maps.step < last ? SAID.replaces : ""}`;
    const moments = maps.moments.slice(1).map(([at, loss]) => [at, Number(loss)]);
    chart.replaceChildren(curve(losses.length ? losses : moments, maps.step));
    const layer = layerOf("conv");
    if (!layer) return;
    const weights = maps.parameters[`${layer.name}.weight`];
    const count = Math.min(weights.shape[0], 32);
    heading.textContent = SAID.kernels(layer.name, weights.shape[1]);
    while (kernels.children.length < count) {
      const picture = new Picture({ label: `kernel ${kernels.children.length}`, name: "w" });
      picture.cell = 12;
      kernels.append(picture.canvas);
    }
    [...kernels.children].forEach((canvas, k) => {
      canvas.hidden = k >= count;
      if (!canvas.hidden) canvas.picture.show(kernelOf(weights, k, 0));
    });
  };
}
