// The network as a row of layers with their maps.

import { ask } from "./api.js";
import { centre, choice, el, labelled } from "./dom.js";
import { kernelOf, mapOf, short } from "./numbers.js";
import { Picture, framed } from "./picture.js";
import { NETWORK as SAID } from "./prose.js";
import { layerOf, now, rangeOf, readersOf, set, shapeOf, state } from "./state.js";

const MOST = 8;
const ALL = 64;
const MODES = [["output", "outputs"], ["delta", "deltas"], ["gradient", "weight gradients"]];

export function strip(root) {
  const mode = choice(MODES, state.mode, (value) => set({ mode: value }), { id: "mode" });
  const row = el("div", { class: "layers" });
  root.append(el("div", { class: "bar" }, labelled("Maps show", mode), legend()), row);
  let pictures = [];
  let chosen = null;

  function build() {
    const { input, layers: made } = state.network;
    const image = { name: "input", words: normalised() ?? "the image", shape: input, gives: 0 };
    for (const layer of [image, ...made]) {
      const maps = el("div", { class: "maps" });
      const column = el("button", {
        type: "button", class: "layer", title: layer.words, "data-layer": layer.name,
        onclick: (event) => set(pointedAt(event.target, layer)),
      }, el("b", {}, layer.name), el("span", {}, layer.shape.join("×")), maps);
      const count = layer.shape.length === 3 ? layer.shape[0] : 1;
      for (let c = 0; c < Math.min(count, ALL); c++) {
        const picture = new Picture({ label: `${layer.name} map ${c}`, small: true });
        picture.canvas.dataset.map = c;
        pictures.push({ picture, layer, c });
        maps.append(picture.canvas);
      }
      if (count > MOST) maps.append(el("span", { class: "more" }, `and ${count - MOST} more`));
      row.append(column);
    }
  }

  function draw(regions) {
    for (const { picture, layer, c } of pictures) {
      picture.canvas.hidden = c >= MOST && state.layer !== layer.name;
      if (picture.canvas.hidden) continue;
      if (state.mode === "gradient") {
        const gradient = state.maps.gradients[`${layer.name}.weight`];
        picture.canvas.hidden = !gradient || gradient.shape.length !== 4 || c >= gradient.shape[0];
        if (!picture.canvas.hidden) picture.show(kernelOf(gradient, c, 0));
        continue;
      }
      const value = layer.gives;
      const array = (state.mode === "delta" ? state.maps.deltas : state.maps.outputs)[value];
      const range = state.mode === "output" ? rangeOf(value) : null;
      const frames = layer.shape.length === 3 && regions ? hull(regions[value], "window") : [];
      picture.show(mapOf(array, c), { range, frames });
    }
  }

  return async () => {
    if (!pictures.length) build();
    mode.value = state.mode;
    for (const button of row.children) {
      const pressed = button.dataset.layer === state.layer;
      button.setAttribute("aria-pressed", pressed);
      const gradient = state.maps.gradients[`${button.dataset.layer}.weight`];
      const kernels = state.mode !== "gradient" || gradient;
      button.querySelector(".more")?.toggleAttribute("hidden", pressed || !kernels);
    }
    const asked = now();
    const regions = await fields(state.view).catch(() => null);
    if (asked !== now()) return;
    draw(regions);
    if (chosen !== state.layer) {
      chosen = state.layer;
      const column = row.querySelector("[aria-pressed=true]");
      centre(row, column);
    }
  };
}

// Which pixels of every map the pixel that a view looks at depends on, or goes into; null where it
// looks at none.
export async function fields(view) {
  const layer = layerOf();
  if (!["forward", "delta"].includes(view)) return null;
  const back = view === "delta";
  const value = back ? layer.reads[0] : layer.gives;
  const at = back ? state.input : state.out;
  const pixel = shapeOf(value).length < 3 ? [] : at.slice(1, 3);
  return (await ask("fields", { map: value, pixel })).regions;
}

// The frame round a region of rows and columns.
export function hull({ rows, columns }, kind) {
  if (!rows.length || !columns.length) return [];
  return [framed([[rows[0], columns[0]], [rows.at(-1), columns.at(-1)]], kind)];
}

// What happens to the image before the first layer, in words; null where nothing does.
export function normalised() {
  const { normalisation } = state.network;
  if (!normalisation) return null;
  const [offset, scale] = normalisation.map((channels) => channels.map(short).join(", "));
  const black = normalisation[0].every((value) => Number(value) > 0);
  return SAID.normalised(offset, scale, normalisation[0].length > 1, black);
}

// What a click on a layer, or on one of its maps, asks for.
function pointedAt(target, layer) {
  if (layer.gives === 0) return { layer: readersOf(0)[0].name };
  const pixel = layer.name === state.layer ? state.out.slice(1) : [];
  const { map } = target.dataset;
  const out = map === undefined ? {} : { out: [Number(map), ...pixel] };
  return { layer: layer.name, view: viewFor(layer.kind), ...out };
}

// The view that is open, if it can show such a layer.
function viewFor(kind) {
  const shown = { gradient: ["conv"], sharing: ["conv"], pooling: ["pool"] }[state.view];
  if (!shown || shown.includes(kind)) return state.view;
  return kind === "pool" ? "pooling" : "forward";
}

function legend() {
  return el("span", { class: "legend" },
    el("i", { class: "below" }), " below zero ", el("i", { class: "above" }), SAID.legend);
}
