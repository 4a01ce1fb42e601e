// The page put together.

import { ask, open } from "./api.js";
import { el, failed } from "./dom.js";
import { arithmetic } from "./arithmetic.js";
import { article } from "./article.js";
import { delta } from "./delta.js";
import { forward } from "./forward.js";
import { gradient } from "./gradient.js";
import { image } from "./image.js";
import { loss } from "./loss.js";
import { unpack } from "./numbers.js";
import { onThemeChange } from "./picture.js";
import { pooling } from "./pooling.js";
import { save } from "./save.js";
import { onChange, readAddress, set, state } from "./state.js";
import { strip } from "./strip.js";
import { training } from "./training.js";

const VIEWS = [
  ["forward", "Forward", forward], ["gradient", "Weight gradient", gradient], ["delta", "Delta", delta],
  ["pooling", "Pooling", pooling], ["loss", "Loss", loss], ["training", "Training", training],
  ["arithmetic", "Arithmetic", arithmetic], ["article", "The article", article],
];

const BUILDERS = Object.fromEntries(VIEWS.map(([name, , build]) => [name, build]));

// What came as shapes and bytes, as arrays.
export async function take(answer) {
  const arrays = (named) => Object.fromEntries(Object.entries(named).map(([name, array]) => [name, unpack(array)]));
  await set({
    maps: {
      ...answer,
      outputs: answer.outputs.map(unpack), deltas: answer.deltas.map(unpack),
      parameters: arrays(answer.parameters), gradients: arrays(answer.gradients),
    },
  });
}

function views(tabs, root) {
  const built = new Map();
  for (const [name, title] of VIEWS) {
    tabs.append(el("button", { type: "button", role: "tab", id: `tab-${name}`, "data-view": name, "aria-controls": "view", onclick: () => set({ view: name, flipped: false }) }, title));
  }
  tabs.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const at = VIEWS.findIndex(([name]) => name === state.view);
    const next = VIEWS[(at + step + VIEWS.length) % VIEWS.length][0];
    set({ view: next, flipped: false }).then(() => document.getElementById(`tab-${next}`).focus());
  });
  return async () => {
    const [name, , build] = VIEWS.find(([one]) => one === state.view) ?? VIEWS[0];
    for (const tab of tabs.children) {
      const chosen = tab.dataset.view === name;
      tab.setAttribute("aria-selected", chosen);
      tab.tabIndex = chosen ? 0 : -1;
    }
    if (!built.has(name)) {
      const holder = el("div", { role: "tabpanel", "aria-labelledby": `tab-${name}`, "data-view": name });
      built.set(name, [holder, build(holder, take, BUILDERS)]);
    }
    const [holder, update] = built.get(name);
    if (root.firstChild !== holder) root.replaceChildren(holder);
    await update(state);
  };
}

async function start() {
  try {
    state.network = await open();
    Object.assign(state, readAddress());
    const middle = ([, height = 1, width = 1]) => [0, height >> 1, width >> 1];
    if (!location.hash.includes("out=")) state.out = middle(state.network.layers[0].shape);
    if (!location.hash.includes("input=")) state.input = middle(state.network.input);
    state.index = Math.min(Math.max(state.index, 0), state.network.images - 1);
    const parts = [
      image(document.getElementById("image"), take),
      strip(document.getElementById("network")),
      views(document.getElementById("views"), document.getElementById("view")),
      save(document.getElementById("save")),
    ];
    onChange(async () => {
      for (const part of parts) await part(state);
      document.body.dataset.ready = state.view;
    });
    await take(await (state.index ? ask("choose", { index: state.index }) : ask("maps")));
    addEventListener("hashchange", () => set(readAddress()).catch(failed));
    onThemeChange(() => set({}).catch(failed));
  } catch (error) {
    failed(error);
  }
}

start();
