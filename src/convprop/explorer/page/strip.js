// The network as a row of layers with their maps.

import { choice, el, labelled } from "./dom.js";
import { kernelOf, mapOf } from "./numbers.js";
import { Picture } from "./picture.js";
import { set, state } from "./state.js";

const MOST = 8;
const ALL = 64;
const MODES = [["output", "outputs"], ["delta", "deltas"], ["gradient", "weight gradients"]];

export function strip(root) {
  const mode = choice(MODES, state.mode, (value) => set({ mode: value }), { id: "mode" });
  const row = el("div", { class: "layers" });
  root.append(el("div", { class: "bar" }, labelled("Maps show", mode), legend()), row);
  let pictures = [];

  function build() {
    row.replaceChildren();
    pictures = [];
    const layers = [{ name: "input", words: "the image", shape: state.network.input, parameters: {} }, ...state.network.layers];
    layers.forEach((layer, place) => {
      const maps = el("div", { class: "maps" });
      const column = el("button", {
        type: "button", class: "layer", title: layer.words, "data-layer": layer.name,
        onclick: (event) => set(chosen(event.target, layer, place)),
      }, el("b", {}, layer.name), el("span", {}, layer.shape.join("×")), maps);
      const count = layer.shape.length === 3 ? layer.shape[0] : 1;
      for (let c = 0; c < Math.min(count, ALL); c++) {
        const picture = new Picture({ label: `${layer.name} map ${c}`, small: true });
        picture.canvas.dataset.map = c;
        pictures.push({ picture, layer, place, c });
        maps.append(picture.canvas);
      }
      if (count > MOST) maps.append(el("span", { class: "more" }, `and ${count - MOST} more`));
      row.append(column);
    });
  }

  return () => {
    if (!pictures.length) build();
    mode.value = state.mode;
    for (const button of row.children) {
      const chosen = button.dataset.layer === state.layer;
      button.setAttribute("aria-pressed", chosen);
      button.querySelector(".more")?.toggleAttribute("hidden", chosen);
    }
    for (const { picture, layer, place, c } of pictures) {
      picture.canvas.hidden = c >= MOST && state.layer !== layer.name;
      if (picture.canvas.hidden) continue;
      if (state.mode === "gradient") {
        const gradient = state.maps.gradients[`${layer.name}.weight`];
        picture.canvas.hidden = !gradient || gradient.shape.length !== 4 || c >= gradient.shape[0];
        if (!picture.canvas.hidden) picture.show(kernelOf(gradient, c, 0));
        continue;
      }
      const array = (state.mode === "delta" ? state.maps.deltas : state.maps.outputs)[place];
      const range = state.mode === "output" && place === 0 ? extent(array.values) : null;
      picture.show(mapOf(array, c), { range });
    }
  };
}

// What a click on a layer, or on one of its maps, asks for.
function chosen(target, layer, place) {
  if (!place) return { layer: state.network.layers[0].name };
  const map = target.dataset.map === undefined ? {} : { out: [Number(target.dataset.map), state.out[1], state.out[2]] };
  return { layer: layer.name, view: viewFor(layer.kind), ...map };
}

// The view that is open, if it can show such a layer.
function viewFor(kind) {
  const shown = { gradient: ["conv"], pooling: ["pool"] }[state.view];
  if (!shown || shown.includes(kind)) return state.view;
  return kind === "pool" ? "pooling" : "forward";
}

function legend() {
  return el("span", { class: "legend" }, el("i", { class: "below" }), " below zero ", el("i", { class: "above" }),
    " above; every map has its own scale. Point at a number to see it in full.");
}

export function extent(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}
