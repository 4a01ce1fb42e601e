// A view as one file: a page that needs no server, or a picture. And the link that restores it.

import { asked, offline } from "./api.js";
import { button, failed, say } from "./dom.js";
import { middle } from "./picture.js";
import { state } from "./state.js";

export function save(root) {
  root.append(
    button("Copy link", () => navigator.clipboard.writeText(location.href).then(() => say("The link is copied"), failed), { id: "link" }),
    button("Save page", () => page().catch(failed), { id: "save-page", disabled: offline }),
    button("Save picture", () => picture(), { id: "save-picture" }),
  );
  return () => {};
}

function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

const encoded = (text) => {
  let bytes = "";
  for (const byte of new TextEncoder().encode(text)) bytes += String.fromCharCode(byte);
  return btoa(bytes);
};

// Every module becomes a data: address, those that it imports first.
async function modules(name, done = new Map()) {
  if (done.has(name)) return done.get(name);
  let text = await (await fetch(`page/${name}`)).text();
  for (const [, path] of [...text.matchAll(/from "\.\/([a-z]+\.js)"/g)]) {
    text = text.replaceAll(`"./${path}"`, `"${await modules(path, done)}"`);
  }
  const address = `data:text/javascript;base64,${encoded(text)}`;
  done.set(name, address);
  return address;
}

async function page() {
  const [html, style, script] = await Promise.all([
    fetch("./").then((answer) => answer.text()),
    fetch("page/style.css").then((answer) => answer.text()),
    modules("main.js"),
  ]);
  const answers = JSON.stringify([...asked]).replaceAll("<", "\\u003c");
  // Functions, since a "$" in a text that replaces another has a meaning.
  const whole = html
    .replace(/<link rel="icon"[^>]*>\n/, () => "")
    .replace(/<link rel="stylesheet"[^>]*>/, () => `<meta name="address" content="${location.hash.replaceAll("&", "&amp;")}">\n<style>\n${style}</style>`)
    .replace(/<script type="module"[^>]*>/, () => `<script type="application/json" id="answers">${answers}</script>\n<script type="module" src="${script}">`);
  download(new Blob([whole], { type: "text/html" }), `convprop-${state.view}.html`);
  say("The page is saved: it opens without convprop");
}

// All pictures of the view with their captions, side by side on white or black.
function picture() {
  const figures = [...document.querySelectorAll("#view figure")].filter((figure) => !figure.hidden && figure.querySelector("canvas"));
  const canvases = figures.length ? figures.map((figure) => [figure.querySelector("figcaption").textContent, figure.querySelector("canvas")])
    : [...document.querySelectorAll("#network canvas")].filter((canvas) => !canvas.hidden).map((canvas) => ["", canvas]);
  const gap = 24;
  const width = canvases.reduce((sum, [, canvas]) => sum + canvas.width + gap, gap);
  const height = Math.max(...canvases.map(([, canvas]) => canvas.height)) + 3 * gap;
  const sheet = Object.assign(document.createElement("canvas"), { width, height });
  const pen = sheet.getContext("2d");
  const ground = middle();
  pen.fillStyle = `rgb(${ground})`;
  pen.fillRect(0, 0, width, height);
  pen.fillStyle = ground[0] > 128 ? "#111" : "#eee";
  pen.font = "15px system-ui";
  let x = gap;
  for (const [caption, canvas] of canvases) {
    pen.fillText(caption, x, gap + 4, canvas.width + gap / 2);
    pen.drawImage(canvas, x, 2 * gap - 8);
    x += canvas.width + gap;
  }
  sheet.toBlob((blob) => download(blob, `convprop-${state.view}.png`));
  say("The picture is saved");
}
