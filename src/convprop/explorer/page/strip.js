// The network as it is: its layers with their maps, in a row, or where they branch as a graph.

import { rangeOf } from "./arrays.js";
import { centre, choice, el, labelled } from "./dom.js";
import { edgesOf } from "./edges.js";
import { fields, hull } from "./fields.js";
import { layout } from "./layout.js";
import { kernelOf, mapOf, short } from "./numbers.js";
import { Picture } from "./picture.js";
import { NETWORK as SAID } from "./prose.js";
import { JOINS, layerOf, nameOf, now, readersOf, set, state } from "./state.js";

const MOST = 8;
const ALL = 64;
const MODES = [["output", "outputs"], ["delta", "deltas"], ["gradient", "weight gradients"]];

export function strip(root) {
  const mode = choice(MODES, state.mode, (value) => set({ mode: value }), { id: "mode" });
  const holder = el("div", { class: "layers" });
  root.append(el("div", { class: "bar" }, labelled("Maps show", mode), legend()), holder);
  const pictures = [];
  // By value, and in the order of the nodes, which the keyboard goes through.
  const cards = new Map();
  let graph = null;
  let chosen = null;

  function build() {
    const { input, layers } = state.network;
    const words = normalised() ?? "the image";
    const nodes = [{ name: "input", words, shape: input, gives: 0, reads: [] }, ...layers];
    graph = layout(nodes);
    for (const node of nodes) cards.set(node.gives, card(node));
    holder.append(...cards.values());
    if (!graph.chain) spread();
  }

  function card(node) {
    const maps = el("div", { class: "maps" });
    const count = node.shape.length === 3 ? node.shape[0] : 1;
    for (let c = 0; c < Math.min(count, ALL); c++) {
      const picture = new Picture({ label: `${node.name} map ${c}`, small: true });
      picture.canvas.dataset.map = c;
      pictures.push({ picture, node, c });
      maps.append(picture.canvas);
    }
    if (count > MOST) maps.append(el("span", { class: "more" }, `and ${count - MOST} more`));
    return el("button", {
      type: "button", class: "layer", title: graph.chain ? node.words : SAID.reads(node, nameOf),
      "data-layer": node.name, onclick: (event) => set(pointedAt(event.target, node)),
    }, ...heading(node), el("span", {}, node.shape.join("×")), maps);
  }

  // A node's name; of a join the operator, too, and what it joins.
  function heading({ name, kind, reads }) {
    const operator = JOINS[kind];
    if (!operator) return [el("b", {}, name)];
    return [
      el("b", {}, el("i", { class: "operator", "aria-hidden": "true" }, operator), name),
      el("span", { class: "joined" }, reads.map(nameOf).join(` ${operator} `)),
    ];
  }

  // Places the cards, and what keeps the ways of edges free that pass a column.
  function spread() {
    const lay = (element, row, column, columns = 1) => {
      element.style.gridArea = `${row + 1} / ${column + 1} / span 1 / span ${columns}`;
    };
    holder.classList.add("graph");
    for (const [value, { row, column }] of graph.cells) lay(cards.get(value), row, column);
    for (const edge of graph.edges.filter(({ lane }) => lane !== null)) {
      const [begin, end] = [edge.from, edge.to].map((value) => graph.cells.get(value).column);
      edge.way = el("div", { class: "way" });
      lay(edge.way, edge.lane, begin + 1, end - begin - 1);
      holder.append(edge.way);
    }
  }

  function drawEdges() {
    holder.querySelector(".edges")?.remove();
    holder.append(edgesOf(holder, cards, graph.edges, layerOf().gives));
  }

  function draw(regions) {
    for (const { picture, node, c } of pictures) {
      picture.canvas.hidden = c >= MOST && state.layer !== node.name;
      if (picture.canvas.hidden) continue;
      if (state.mode === "gradient") {
        const gradient = state.maps.gradients[`${node.name}.weight`];
        picture.canvas.hidden = !gradient || gradient.shape.length !== 4 || c >= gradient.shape[0];
        if (!picture.canvas.hidden) picture.show(kernelOf(gradient, c, 0));
        continue;
      }
      const value = node.gives;
      const array = (state.mode === "delta" ? state.maps.deltas : state.maps.outputs)[value];
      const range = state.mode === "output" ? rangeOf(value) : null;
      const frames = node.shape.length === 3 && regions ? hull(regions[value], "window") : [];
      picture.show(mapOf(array, c), { range, frames });
    }
  }

  function press() {
    for (const button of cards.values()) {
      const pressed = button.dataset.layer === state.layer;
      button.setAttribute("aria-pressed", pressed);
      const gradient = state.maps.gradients[`${button.dataset.layer}.weight`];
      const kernels = state.mode !== "gradient" || gradient;
      button.querySelector(".more")?.toggleAttribute("hidden", pressed || !kernels);
    }
  }

  return async () => {
    if (!graph) build();
    mode.value = state.mode;
    press();
    const asked = now();
    const regions = await fields(state.view).catch(() => null);
    if (asked !== now()) return;
    draw(regions);
    if (!graph.chain) drawEdges();
    if (chosen !== state.layer) {
      chosen = state.layer;
      centre(holder, cards.get(layerOf().gives));
    }
  };
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
