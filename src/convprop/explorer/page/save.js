// A view as one file: a page that needs no server, or a picture. And the link that restores it.

import { ask, base64, offline, packedAnswers } from "./api.js";
import { gradientsOf, inputOf, ofRead } from "./arrays.js";
import { COUNT, settingsOf } from "./article.js";
import { button, failed, say } from "./dom.js";
import { painted } from "./paint.js";
import { SAVE as SAID } from "./prose.js";
import { address, layerOf, layersOf, movedTo, set, state, turnedTo } from "./state.js";

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
  if (!navigator.clipboard) throw new Error(SAID.clipboard);
  await navigator.clipboard.writeText(location.href);
  say(`${SAID.copied}${unsaid()}`);
}

// What no link restores.
function unsaid() {
  const { index, step } = state.maps;
  const missing = [index === null && "your picture", step > 0 && "the training"].filter(Boolean);
  return missing.length ? SAID.missing(missing) : "";
}

// What a view is about; and which layers it shows, if not only the one that is looked at.
const LOOKED_AT = [
  "view", "layer", "out", "weight", "input", "map", "of", "flipped", "back", "section",
];
const KINDS = {
  forward: [], delta: [], sharing: ["conv"], gradient: ["conv"], pooling: ["pool"],
};

// Around what is looked at: each view, each layer in it, each section, and the pixels of a map that
// is not too large.
async function lookAround(views) {
  const here = Object.fromEntries(LOOKED_AT.map((name) => [name, state[name]]));
  const anew = { out: null, input: null, weight: null, map: null };
  const moves = layersOf().flatMap(({ name }) => [movedTo(name), { layer: name, ...anew }]);
  const go = (...changes) => set(Object.assign({}, here, ...changes), false);
  for (const view of views.filter((name) => name !== "article")) {
    const layers = view in KINDS ? layersOf(...KINDS[view]) : [layerOf()];
    const ways = view === "sharing" ? [false, true] : [here.back];
    for (const move of moves.filter((one) => layers.some(({ name }) => name === one.layer))) {
      for (const back of ways) await go(move, { view, back });
      // Every value that a join reads, from the first one.
      for (let of = 1; view === "delta" && of < layerOf().reads.length; of++) {
        await go(move, { view, of: 0 });
        await set(turnedTo(of), false);
      }
    }
  }
  for (let section = 0; section < COUNT; section++) {
    const { layer, ...settings } = settingsOf(section);
    for (const move of moves.filter((one) => one.layer === layer)) {
      await go(move, settings, { view: "article" });
    }
  }
  await go();
  await askPixels(layerOf());
}

const PIXELS = 100;
async function askPixels(layer) {
  const every = (rows, columns) => (rows * columns > PIXELS ? [] : Array.from(
    { length: rows * columns }, (_, at) => [Math.floor(at / columns), at % columns]));
  const weight = gradientsOf(layer)?.shape ?? [];
  const [number, pixels, first] = {
    forward: ["output", layer.shape.slice(1), state.out.slice(0, 1)],
    gradient: ["weight_gradient", weight.slice(2), state.weight.slice(0, 2)],
    delta: ["delta", inputOf(layer).shape.slice(1), state.input.slice(0, 1)],
  }[state.view] ?? [null, [], []];
  await Promise.all(every(...pixels).map((pixel) =>
    ask("explain", {
      number, layer: layer.name, at: [...first, ...pixel], ...(number === "delta" && ofRead(layer)),
    })));
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
  const code = base64(new TextEncoder().encode(text.replace(imports, 'from "page/$1"')));
  found[path] = `data:text/javascript;base64,${code}`;
  return found;
}

async function page(views) {
  const main = document.querySelector("main");
  const [saved, top] = [address(), scrollY];
  say(SAID.saving);
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
  const head = [
    `<meta name="address" content="${saved.replaceAll("&", "&amp;")}">`,
    `<style>\n${style}</style>`,
  ];
  const scripts = [
    `<script type="text/plain" id="answers">${answers}</script>`,
    `<script type="importmap">${JSON.stringify({ imports })}</script>`,
    '<script type="module">import "page/main.js";',
  ];
  // Functions, since a "$" in a text that replaces another has a meaning.
  const whole = html
    .replace(/<link rel="icon"[^>]*>\n/, () => "")
    .replace(/<link rel="stylesheet"[^>]*>/, () => head.join("\n"))
    .replace(/<script type="module"[^>]*>/, () => scripts.join("\n"));
  download(new Blob([whole], { type: "text/html" }), `convprop-${state.view}.html`);
  say(SAID.page);
}

// The figures of the view, under the name and the value of what they explain.
const FIGURES = "figure:not(.kind figure), .kind, .bars > div, .chart > svg, .maps.large canvas";
function picture() {
  const shown = [...document.querySelectorAll(`#view :is(${FIGURES})`)];
  const title = document.querySelector("#view .terms > h3")?.textContent ?? "";
  painted(shown.filter((element) => !element.hidden), title)
    .toBlob((blob) => download(blob, `convprop-${state.view}.png`));
  say(SAID.picture);
}
