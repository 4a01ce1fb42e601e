// The data's images, to choose one from.

import { ask } from "./api.js";
import { button, choice, el, failed, labelled, refill } from "./dom.js";
import { extent, mapOf, unpack } from "./numbers.js";
import { Picture } from "./picture.js";
import { state } from "./state.js";

export function gallery(choose) {
  const grid = el("div", { class: "grid" });
  const bar = el("div", { class: "bar" });
  const holder = el("div",
    { class: "gallery", hidden: true, role: "group", "aria-label": "Images of the data" },
    bar, grid);
  let first = 0;
  let label = null;

  let asked = 0;
  async function show() {
    const mine = ++asked;
    const { rows, labels, images, count } = await ask("gallery", { first, label });
    if (mine !== asked) return;
    const { classes } = state.network;
    const pixels = unpack(images);
    const [, channels, height, width] = pixels.shape;
    const each = channels * height * width;
    const range = extent(pixels.values);
    grid.replaceChildren(...rows.map((row, place) => {
      const values = pixels.values.subarray(place * each, (place + 1) * each);
      const picture = new Picture({ label: `image ${row}`, small: true });
      picture.cell = Math.max(Math.floor(48 / Math.max(height, width)), 1);
      picture.show(mapOf({ shape: [channels, height, width], dtype: pixels.dtype, values }, 0),
        { range, rgb: channels === 3 ? values : null });
      const name = classes[labels[place]];
      return el("button", {
        type: "button", "data-image": row, "aria-label": `image ${row}, ${name}`,
        onclick: () => choose(row),
      }, picture.canvas, el("span", {}, name));
    }));
    const turn = (to) => { first = to; show().catch(failed); };
    const last = first + rows.length;
    const of = (value) => {
      label = value === "" ? null : Number(value);
      turn(0);
    };
    const options = [["", "all"], ...classes.map((name, n) => [n, name])];
    refill(bar,
      labelled("Only", choice(options, label ?? "", of, { id: "only" })),
      button("Previous", () => turn(Math.max(first - rows.length, 0)),
        { id: "previous", disabled: first === 0 }),
      button("More", () => turn(last), { id: "more", disabled: last >= count }),
      el("span", { class: "legend" },
        count ? `${first + 1} to ${last} of ${count}` : "there are none"),
    );
  }

  return { holder, open: () => show().catch(failed) };
}
