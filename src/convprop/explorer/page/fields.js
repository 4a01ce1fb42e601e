// Receptive and projective fields: what a pixel is made of, and what it goes into.

import { ask } from "./api.js";
import { framed } from "./frames.js";
import { layerOf, readOf, shapeOf, state } from "./state.js";

// Which pixels of every map the pixel that a view looks at depends on, or goes into; null where it
// looks at none.
export async function fields(view) {
  const layer = layerOf();
  if (!["forward", "delta"].includes(view)) return null;
  const back = view === "delta";
  const value = back ? readOf(layer) : layer.gives;
  const at = back ? state.input : state.out;
  const pixel = shapeOf(value).length < 3 ? [] : at.slice(1, 3);
  return (await ask("fields", { map: value, pixel })).regions;
}

// The frame round a region of rows and columns.
export function hull({ rows, columns }, kind) {
  if (!rows.length || !columns.length) return [];
  return [framed([[rows[0], columns[0]], [rows.at(-1), columns.at(-1)]], kind)];
}
