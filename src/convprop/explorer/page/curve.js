// The loss curve.

import { el, svg } from "./dom.js";
import { short } from "./numbers.js";
import { hideTip, showTip } from "./picture.js";
import { TRAINING as SAID } from "./prose.js";

// Round numbers up to one that is not below `most`: the distance between them, and the last.
function scale(most) {
  const size = 10 ** Math.floor(Math.log10(most || 1));
  const marks = [0.2, 0.5, 1, 2, 5].map((part) => part * size);
  const mark = marks.find((one) => most / one <= 5) ?? size;
  return [mark, Math.max(Math.ceil(most / mark), 1) * mark];
}

// points: steps with the losses of their batches. step: the present one.
export function curve(points, step) {
  const [width, height, left, below] = [640, 200, 52, 24];
  const words = `Loss by step: ${points.length} values`;
  const drawing = svg("svg",
    { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": words });
  if (!points.length) return el("p", {}, SAID.none);
  const last = Math.max(points.at(-1)[0], 1);
  const [mark, most] = scale(Math.max(...points.map(([, loss]) => loss)));
  const x = (at) => left + ((width - left - 8) * at) / last;
  const y = (loss) => 8 + (height - below - 8) * (1 - loss / most);
  for (let at = 0; at <= most * 1.001; at += mark) {
    drawing.append(
      svg("line", { x1: left, x2: width - 8, y1: y(at), y2: y(at), class: "rule" }),
      svg("text", { x: left - 6, y: y(at) + 4, "text-anchor": "end" }, short(at)));
  }
  const along = points.map(([at, loss]) => `${x(at)},${y(loss)}`).join(" ");
  drawing.append(
    svg("polyline", { points: along, class: "line" }),
    svg("line", { x1: x(step), x2: x(step), y1: 8, y2: height - below, class: "now" }),
    svg("text", { x: left, y: height - 6 }, "the loss of each batch"),
    svg("text", { x: width - 8, y: height - 6, "text-anchor": "end" }, `step ${last}`));
  drawing.addEventListener("pointermove", (event) => {
    const box = drawing.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * width;
    const away = ([one]) => Math.abs(x(one) - at);
    const [nearest, loss] = points.reduce(
      (best, point) => (away(point) < away(best) ? point : best));
    showTip(event, `step ${nearest}: loss ${loss}`);
  });
  drawing.addEventListener("pointerleave", hideTip);
  return drawing;
}
