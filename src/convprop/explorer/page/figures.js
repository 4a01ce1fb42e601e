// Pictures with their captions.

import { el } from "./dom.js";
import { Picture } from "./picture.js";

// A picture with its caption.
export function captioned(picture, words) {
  return el("figure", {}, el("figcaption", {}, words), picture.canvas);
}

// Figures one below the other, where they are small.
export const stacked = (...figures) => el("div", { class: "stacked" }, figures);

// Figures among others, as many as `show` is given: each a caption, a map, and what else
// `Picture.show` takes.
export function several(label, options) {
  const holder = el("div", { class: "several" });
  function show(all) {
    holder.hidden = !all.length;
    while (holder.children.length < all.length) {
      const picture = new Picture({ label: `${label} ${holder.children.length + 1}`, ...options });
      holder.append(captioned(picture, ""));
    }
    [...holder.children].forEach((figure, n) => {
      figure.hidden = n >= all.length;
      if (figure.hidden) return;
      const [caption, map, look] = all[n];
      const { picture } = figure.lastChild;
      picture.caption = caption;
      picture.show(map, look);
    });
  }
  return { holder, show };
}
