// The delta of a value that several layers read: what each of them sends back, the last one first.

import { inputDeltaOf, sentTo } from "./arrays.js";
import { el } from "./dom.js";
import { several } from "./figures.js";
import { full, largest, mapOf, short } from "./numbers.js";
import { DELTA as SAID } from "./prose.js";
import { readOf, state } from "./state.js";

export function sent(onpoint) {
  const parts = several("deltas sent to the input", { name: "∂E/∂o", onpoint });

  // Draws the parts for a channel of what a layer reads, in the scale of the largest of them and of
  // their sum, which it returns; null where one layer alone reads it.
  function draw(layer, c, chosen) {
    const maps = sentTo(readOf(layer)).map(({ delta }) => mapOf(delta, c));
    const sum = mapOf(inputDeltaOf(layer), c);
    const most = Math.max(...[sum, ...maps].map(({ values }) => largest(values)));
    parts.show(sentTo(readOf(layer)).map(({ reader }, at) =>
      [`${at ? "+ " : ""}what ${reader} sends`, maps[at], { ...chosen, most }]));
    return maps.length ? most : null;
  }

  return { holder: parts.holder, draw };
}

// The parts of the chosen pixel's delta, in numbers.
export function told(layer) {
  const [c, i, j] = state.input;
  const all = sentTo(readOf(layer));
  if (!all.length) return [];
  const numbers = all.flatMap(({ reader, delta }, at) => {
    const map = mapOf(delta, c);
    const value = full(map.values[map.row ? c : i * map.width + j], map.dtype);
    return [at ? ", " : "", SAID.sends(reader), el("b", { title: value }, short(value))];
  });
  return [SAID.sent(all.length), ...numbers, SAID.sum(layer.name)];
}
