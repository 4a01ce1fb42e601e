// The image: chosen from the data, uploaded, or drawn; and its label.

import { ask, offline, upload } from "./api.js";
import { integer } from "./controls.js";
import { button, choice, disable, el, failed, labelled, refill, say } from "./dom.js";
import { gallery } from "./gallery.js";
import { extent, mapOf, short, unpack } from "./numbers.js";
import { pad } from "./pad.js";
import { Picture } from "./picture.js";
import { IMAGE as SAID } from "./prose.js";
import { state } from "./state.js";

const FORMATS = "image/png,image/jpeg,image/webp,image/bmp";

export function image(root, take) {
  const picture = new Picture({ label: "the image", name: "pixel" });
  picture.cell = 4;
  const controls = el("div", { class: "bar" });
  const said = el("p", { class: "prediction" });
  const paper = pad((pixels) => change("draw", { pixels }));
  const choose = (index) => change("choose", { index });
  const shelf = gallery((index) => { close(); choose(index); });
  root.append(
    el("div", { class: "thumb" }, picture.canvas), el("div", {}, controls, said),
    paper, shelf.holder);

  function change(question, body) {
    return ask(question, body).then(take).catch(failed);
  }

  // Of the pad and the gallery one is open, or none.
  function open(holder) {
    const hidden = !holder.hidden;
    close();
    holder.hidden = hidden;
    if (!hidden && holder === shelf.holder) shelf.open();
  }

  function close() {
    paper.hidden = shelf.holder.hidden = true;
  }

  function uploaded([file]) {
    if (!file) return null;
    return upload(file).then((answer) => {
      say(SAID.taken);
      return take(answer);
    }).catch(failed);
  }

  return () => {
    const { network, maps } = state;
    const pixels = unpack(maps.pixels);
    picture.cell = Math.max(Math.floor(84 / Math.max(...pixels.shape.slice(1))), 1);
    picture.show(mapOf(pixels, 0), {
      range: extent(pixels.values), rgb: pixels.shape[0] === 3 ? pixels.values : null,
    });
    const file = el("input", { id: "file", type: "file", accept: FORMATS });
    file.addEventListener("change", () => uploaded(file.files));
    const label = (value) => change("label", { label: Number(value) });
    refill(controls,
      labelled("Image", integer("image-index", state.index ?? "", network.images, choose)),
      button("Choose", () => open(shelf.holder), { id: "choose" }),
      labelled("Target", choice(
        network.classes.map((name, n) => [n, name]), maps.label, label, { id: "target" })),
      button("Draw", () => open(paper), { id: "draw" }),
      el("label", { class: "upload" }, "Upload", file),
      maps.index === null && button("Invert", () => change("invert", {}),
        { id: "invert", title: SAID.invert }));
    if (offline) disable(controls);
    const best = maps.predicted;
    said.replaceChildren(
      "Prediction: ", el("b", { id: "prediction" }, network.classes[best] ?? String(best)),
      sure(network, maps, best), maps.fresh ? SAID.untrained : "",
      maps.index === null ? SAID.own(network.classes[maps.label]) : "");
  };
}

// How sure the network is of a class, as far as its loss gives probabilities.
function sure(network, maps, best) {
  const shares = maps.prediction.map(Number);
  const [exact] = maps.prediction.slice(Math.min(best, shares.length - 1));
  const said = (words) => el("span", { title: exact }, ` (${words})`);
  if (network.loss_kind === "squared_error") return said(`output ${short(exact)}`);
  const share = shares.length > 1 ? shares[best] : best ? shares[0] : 1 - shares[0];
  return said(`${(100 * share).toFixed(1)}%`);
}
