// The page put together.

import { ask, offline, open } from "./api.js";
import { arithmetic } from "./arithmetic.js";
import { article, settingsOf } from "./article.js";
import { delta } from "./delta.js";
import { centre, el, failed, failuresSoFar, wentWell } from "./dom.js";
import { forward } from "./forward.js";
import { gradient } from "./gradient.js";
import { image } from "./image.js";
import { loss } from "./loss.js";
import { inside, unpack } from "./numbers.js";
import { onThemeChange } from "./picture.js";
import { pooling } from "./pooling.js";
import { save } from "./save.js";
import { sharing } from "./sharing.js";
import { know, onChange, readAddress, set, state } from "./state.js";
import { strip } from "./strip.js";
import { training } from "./training.js";

const VIEWS = [
  ["forward", "Forward", forward],
  ["sharing", "Shared weights", sharing],
  ["gradient", "Weight gradient", gradient],
  ["delta", "Delta", delta],
  ["pooling", "Pooling", pooling],
  ["loss", "Loss", loss],
  ["training", "Training", training],
  ["arithmetic", "Arithmetic", arithmetic],
  ["article", "The article", article],
];

const BUILDERS = Object.fromEntries(VIEWS.map(([name, , build]) => [name, build]));

// The target that the address names: -1 where it is the image's own label.
const targetOf = (answer) => (answer.relabelled ? answer.label : -1);

// What came as shapes and bytes, as arrays.
async function take(answer, more = {}, visit = true) {
  const each = (named, one) =>
    Object.fromEntries(Object.entries(named).map(([name, value]) => [name, one(value)]));
  const arrays = (named) => each(named, unpack);
  const parts = (sent) =>
    sent?.map((part) => ({ reader: part.reader, delta: unpack(part.delta) }));
  await set({
    ...more,
    index: answer.index,
    target: targetOf(answer),
    maps: {
      ...answer,
      outputs: answer.outputs.map(unpack), deltas: answer.deltas.map(unpack),
      parameters: arrays(answer.parameters), gradients: arrays(answer.gradients),
      sent: each(answer.sent ?? {}, parts),
    },
  }, visit);
}

// Look at what the address names; `answer` is of the present moment, if it has not been taken yet.
async function restore(answer = null) {
  const before = answer ?? state.maps;
  const wanted = readAddress();
  const { images, classes } = state.network;
  const index = wanted.index === null ? before.index : inside(wanted.index, images);
  const label = wanted.target < 0 ? null : inside(wanted.target, classes.length);
  // A picture of one's own, which a reload finds again, is in no address.
  const same = index === null || (index === before.index && targetOf(before) === wanted.target);
  if (!same) await take(await ask("choose", { index, label }), wanted, false);
  else if (answer) await take(answer, wanted, false);
  else await set({ ...wanted, index, target: state.target }, false);
}

function views(tabs, root) {
  const built = new Map();
  const open = (name) => set({
    view: name, flipped: false,
    ...(name === "article" ? settingsOf(Math.max(state.section, 0)) : {}),
  });
  for (const [name, title] of VIEWS) {
    tabs.append(el("button", {
      type: "button", role: "tab", id: `tab-${name}`, "data-view": name, "aria-controls": "view",
      onclick: () => open(name),
    }, title));
  }
  tabs.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const at = VIEWS.findIndex(([name]) => name === state.view);
    const [next] = VIEWS[(at + step + VIEWS.length) % VIEWS.length];
    open(next).then(() => document.getElementById(`tab-${next}`).focus());
  });
  return async () => {
    const [name, , build] = VIEWS.find(([one]) => one === state.view) ?? VIEWS[0];
    for (const tab of tabs.children) {
      const chosen = tab.dataset.view === name;
      tab.setAttribute("aria-selected", chosen);
      tab.tabIndex = chosen ? 0 : -1;
      if (chosen) centre(tabs, tab);
    }
    if (!built.has(name)) {
      const holder = el("div",
        { role: "tabpanel", "aria-labelledby": `tab-${name}`, "data-view": name });
      built.set(name, [holder, build(holder, take, BUILDERS)]);
    }
    const [holder, update] = built.get(name);
    if (root.firstChild !== holder) root.replaceChildren(holder);
    await update(state);
  };
}

async function start() {
  try {
    know(await open());
    document.body.classList.toggle("offline", offline);
    const parts = [
      image(document.getElementById("image"), take),
      strip(document.getElementById("network")),
      views(document.getElementById("views"), document.getElementById("view")),
      save(document.getElementById("save"), VIEWS.map(([name]) => name)),
    ];
    onChange(async () => {
      const before = failuresSoFar();
      await Promise.all(parts.map((part) => part(state)));
      wentWell(before);
      document.body.dataset.ready = state.view;
    });
    await restore(await ask("maps"));
    addEventListener("hashchange", () => restore().catch(failed));
    onThemeChange(() => set({}).catch(failed));
    addEventListener("resize", redrawn);
  } catch (error) {
    failed(error);
  }
}

// Maps are as large as the window lets them be.
let resized = null;
function redrawn() {
  clearTimeout(resized);
  resized = setTimeout(() => set({}).catch(failed), 200);
}

start();
