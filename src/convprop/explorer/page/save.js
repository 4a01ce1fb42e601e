// A view as one file: a page that needs no server, or a picture. And the link that restores it.

import { ask, base64, offline, packedAnswers } from "./api.js";
import { COUNT, settingsOf } from "./article.js";
import { button, failed, say } from "./dom.js";
import { painted } from "./paint.js";
import { address, inputOf, layerOf, layersOf, movedTo, set, state } from "./state.js";

// views: the names of all of them.
export function save(root, views) {
  root.append(
    button("Copy link", () => copy().catch(failed), { id: "link" }),
    button("Save page", () => page(views).catch(failed), { id: "save-page", disabled: offline }),
    button("Save picture", () => picture(), { id: "save-picture" }),
  );
  return () => {};
}

async function copy() {
  // Browsers lend the clipboard to pages of this machine, and to encrypted ones.
  if (!navigator.clipboard) throw new Error("This browser does not let the page copy: take the address from its bar.");
  await navigator.clipboard.writeText(location.href);
  say(`The link is copied${unsaid()}`);
}

// What no link restores.
function unsaid() {
  const missing = [state.maps.index === null && "your picture", state.maps.step > 0 && "the training"].filter(Boolean);
  return missing.length ? `; it does not hold ${missing.join(" and ")}` : "";
}

// Around what is looked at: each view, each layer in it, each section, and the pixels of a map that is not too large.
const PIXELS = 100;
async function lookAround(views) {
  const here = Object.fromEntries(["view", "layer", "out", "weight", "input", "map", "flipped", "back", "section"].map((name) => [name, state[name]]));
  const kinds = { forward: [], delta: [], sharing: ["conv"], gradient: ["conv"], pooling: ["pool"] };
  const moves = layersOf().flatMap(({ name }) => [movedTo(name), { layer: name, out: null, input: null, weight: null, map: null }]);
  for (const view of views.filter((name) => name !== "article")) {
    const shown = (view in kinds ? layersOf(...kinds[view]) : [layerOf()]).map((layer) => layer.name);
    for (const move of moves.filter(({ layer }) => shown.includes(layer)))
      for (const back of view === "sharing" ? [false, true] : [here.back]) await set({ ...here, ...move, view, back }, false);
  }
  for (let section = 0; section < COUNT; section++) {
    const { layer, ...settings } = settingsOf(section);
    for (const move of moves.filter((one) => one.layer === layer)) await set({ ...here, ...move, ...settings, view: "article" }, false);
  }
  await set(here, false);
  const layer = layerOf();
  const every = (rows, columns) => (rows * columns > PIXELS ? [] : Array.from({ length: rows * columns }, (_, at) => [Math.floor(at / columns), at % columns]));
  const [number, pixels, first] = {
    forward: ["output", every(...layer.shape.slice(1)), [state.out[0]]],
    gradient: ["weight_gradient", every(...(layer.settings.kernel_size ?? [])), state.weight.slice(0, 2)],
    delta: ["delta", every(...inputOf(layer).shape.slice(1)), [state.input[0]]],
  }[state.view] ?? [null, [], []];
  await Promise.all(pixels.map((pixel) => ask("explain", { number, layer: layer.name, at: [...first, ...pixel] })));
}

function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// Every module by its name, as a data: address: a map of imports leads from one to the other.
async function modules(name, found = {}) {
  const path = `page/${name}`;
  if (path in found) return found;
  found[path] = null;
  const text = await (await fetch(path)).text();
  const imports = /from "\.\/([a-z]+\.js)"/g;
  for (const [, other] of text.matchAll(imports)) await modules(other, found);
  found[path] = `data:text/javascript;base64,${base64(new TextEncoder().encode(text.replace(imports, 'from "page/$1"')))}`;
  return found;
}

async function page(views) {
  const main = document.querySelector("main");
  const [saved, top] = [address(), scrollY];
  say("Saving…");
  main.inert = true;
  try {
    await lookAround(views);
  } finally {
    main.inert = false;
    scrollTo(0, top);
  }
  const [html, style, imports, answers] = await Promise.all([
    fetch("./").then((answer) => answer.text()),
    fetch("page/style.css").then((answer) => answer.text()),
    modules("main.js"),
    packedAnswers(),
  ]);
  // Functions, since a "$" in a text that replaces another has a meaning.
  const whole = html
    .replace(/<link rel="icon"[^>]*>\n/, () => "")
    .replace(/<link rel="stylesheet"[^>]*>/, () => `<meta name="address" content="${saved.replaceAll("&", "&amp;")}">\n<style>\n${style}</style>`)
    .replace(/<script type="module"[^>]*>/, () => `<script type="text/plain" id="answers">${answers}</script>\n<script type="importmap">${JSON.stringify({ imports })}</script>\n<script type="module">import "page/main.js";`);
  download(new Blob([whole], { type: "text/html" }), `convprop-${state.view}.html`);
  say("The page is saved: it opens without convprop");
}

// The figures of the view, under the name and the value of what they explain.
function picture() {
  const shown = [...document.querySelectorAll("#view :is(figure:not(.kind figure), .kind, .bars > div, .chart > svg, .maps.large canvas)")];
  painted(shown.filter((element) => !element.hidden), document.querySelector("#view .terms > h3")?.textContent ?? "").toBlob((blob) => download(blob, `convprop-${state.view}.png`));
  say("The picture is saved");
}
