// Training: steps on the data, the loss curve, and the way back in time.

import { ask, offline } from "./api.js";
import { button, choice, el, failed, labelled, say, svg } from "./dom.js";
import { kernelOf, short } from "./numbers.js";
import { Picture, hideTip, showTip } from "./picture.js";
import { player } from "./player.js";
import { layerOf, state } from "./state.js";

export function training(root, take) {
  const controls = el("div", { class: "bar" });
  const words = el("p", { class: "lead" });
  const chart = el("div", { class: "chart" });
  const heading = el("h3");
  const kernels = el("div", { class: "maps large" });
  const time = el("input", { id: "time", type: "range", min: 0, max: 0, value: 0, disabled: offline, oninput: () => back(Number(time.value)) });
  const when = el("output", { for: "time" });
  let settings = null;
  let losses = [];
  const play = player("training", step, { delay: 60 });
  root.append(words, controls, chart, el("div", { class: "bar" }, labelled("Back in time", time), when), heading, kernels);

  async function step() {
    const answer = await ask("train", { steps: settings.steps, optimizer: settings.optimizer, learning_rate: settings.rate });
    losses = losses.filter(([at]) => at <= answer.step - answer.losses.length);
    answer.losses.forEach((loss, n) => losses.push([answer.step - answer.losses.length + n + 1, loss]));
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
        say(`The network as it was after step ${answer.step}`);
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
    return ask("anew").then(take).then(() => say("The weights are fresh"), failed);
  }

  // Once: while training plays, somebody may be typing here.
  function build(network) {
    settings = { optimizer: network.optimizer, rate: network.learning_rate, steps: 1 };
    controls.append(
      ...play.buttons,
      labelled("Steps at a time", choice([1, 2, 5, 10, 20].map((n) => [n, n]), settings.steps, (value) => { settings.steps = Number(value); }, { id: "speed" })),
      labelled("Optimizer", choice(network.optimizers.map((name) => [name, name]), settings.optimizer, (value) => { settings.optimizer = value; }, { id: "optimizer" })),
      labelled("Learning rate", el("input", { id: "rate", type: "number", step: "any", min: 0, value: settings.rate, onchange: (event) => { settings.rate = Number(event.target.value); } })),
    );
    controls.append(button("Fresh weights", anew, { id: "anew", title: "Start over from weights that nothing has trained" }));
    if (offline) for (const control of controls.querySelectorAll("input, select, button")) control.disabled = true;
  }

  return () => {
    const { network, maps } = state;
    if (!settings) build(network);
    words.replaceChildren(`Step ${maps.step} on ${network.images} images of ${network.data}. The image above has E = `, el("b", { title: maps.loss }, short(maps.loss)),
      maps.fresh || maps.step ? "." : ". The network has been trained before: see it learn from fresh weights.");
    const [last] = maps.moments.at(-1);
    time.max = last;
    if (wanted === null) time.value = maps.step;
    time.setAttribute("aria-valuetext", `step ${maps.step}`);
    when.textContent = `step ${maps.step} of ${last}${maps.step < last ? "; a step from here replaces the later ones" : ""}`;
    chart.replaceChildren(curve(losses.length ? losses : maps.moments.slice(1).map(([at, loss]) => [at, Number(loss)]), maps.step));
    const layer = layerOf("conv");
    if (!layer) return;
    const weights = maps.parameters[`${layer.name}.weight`];
    const count = Math.min(weights.shape[0], 32);
    heading.textContent = `The kernels of ${layer.name}${weights.shape[1] > 1 ? ", for channel 0" : ""}`;
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

// Round numbers up to one that is not below `most`: the distance between them, and the last.
function scale(most) {
  const size = 10 ** Math.floor(Math.log10(most || 1));
  const mark = [0.2, 0.5, 1, 2, 5].map((part) => part * size).find((one) => most / one <= 5) ?? size;
  return [mark, Math.max(Math.ceil(most / mark), 1) * mark];
}

function curve(points, step) {
  const [width, height, left, below] = [640, 200, 52, 24];
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `Loss by step: ${points.length} values` });
  if (!points.length) return el("p", {}, "Take a step: the loss of every batch appears here.");
  const last = Math.max(points.at(-1)[0], 1);
  const [mark, most] = scale(Math.max(...points.map(([, loss]) => loss)));
  const x = (at) => left + ((width - left - 8) * at) / last;
  const y = (loss) => 8 + (height - below - 8) * (1 - loss / most);
  for (let at = 0; at <= most * 1.001; at += mark) {
    drawing.append(
      svg("line", { x1: left, x2: width - 8, y1: y(at), y2: y(at), class: "rule" }),
      svg("text", { x: left - 6, y: y(at) + 4, "text-anchor": "end" }, short(at)));
  }
  drawing.append(
    svg("polyline", { points: points.map(([at, loss]) => `${x(at)},${y(loss)}`).join(" "), class: "line" }),
    svg("line", { x1: x(step), x2: x(step), y1: 8, y2: height - below, class: "now" }),
    svg("text", { x: left, y: height - 6 }, "the loss of each batch"),
    svg("text", { x: width - 8, y: height - 6, "text-anchor": "end" }, `step ${last}`));
  drawing.addEventListener("pointermove", (event) => {
    const box = drawing.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * width;
    const [nearest, loss] = points.reduce((best, point) => (Math.abs(x(point[0]) - at) < Math.abs(x(best[0]) - at) ? point : best));
    showTip(event, `step ${nearest}: loss ${loss}`);
  });
  drawing.addEventListener("pointerleave", hideTip);
  return drawing;
}
