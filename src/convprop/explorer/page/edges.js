// The edges of a network, drawn from card to card.

import { svg } from "./dom.js";

// Pixels between the edges that end at one card, and of an arrow's head.
const APART = 14;
const HEAD = 6;

// cards: elements by value. edges: as `layout` returns them, `way` being the element that holds
// their lane free. chosen: the value whose edges are marked. All lie in `holder`.
export function edgesOf(holder, cards, edges, chosen) {
  const boxes = new Map([...cards].map(([value, card]) => [value, boxOf(card)]));
  const middle = ({ top, height }) => top + height / 2;
  const heights = new Map(edges.map((edge) =>
    [edge, middle(edge.way ? boxOf(edge.way) : boxes.get(edge.from))]));
  const drawn = edges.map((edge) => {
    const [from, to] = [boxes.get(edge.from), boxes.get(edge.to)];
    // Edges reach their card in the order of the rows that they come from.
    const all = edges.filter((one) => one.to === edge.to)
      .sort((a, b) => heights.get(a) - heights.get(b) || a.part - b.part);
    const end = [to.left, middle(to) + (all.indexOf(edge) - (all.length - 1) / 2) * APART];
    const mine = edge.from === chosen || edge.to === chosen;
    return svg("path", {
      class: mine ? "edge mine" : "edge", "data-from": edge.from, "data-to": edge.to,
      d: path([from.left + from.width, middle(from)], end, edge.way && boxOf(edge.way)),
    });
  });
  // The marked ones lie on top.
  drawn.sort((a, b) => a.classList.contains("mine") - b.classList.contains("mine"));
  const size = { width: holder.scrollWidth, height: holder.scrollHeight };
  return svg("svg", { class: "edges", "aria-hidden": "true", ...size }, ...drawn);
}

// Where an element lies in what it can be scrolled in.
const boxOf = (element) => ({
  left: element.offsetLeft, top: element.offsetTop,
  width: element.offsetWidth, height: element.offsetHeight,
});

// From a card's side to another's, through the middle of what is kept free for it; with a head.
function path([left, top], [right, bottom], way) {
  const bend = (x1, y1, x2, y2) => {
    const half = (x1 + x2) / 2;
    return `C ${half} ${y1} ${half} ${y2} ${x2} ${y2}`;
  };
  const end = right - 2;
  const head = `M ${end - HEAD} ${bottom - 4} L ${end} ${bottom} L ${end - HEAD} ${bottom + 4}`;
  if (!way) return `M ${left} ${top} ${bend(left, top, end, bottom)} ${head}`;
  const middle = way.top + way.height / 2;
  const [begin, last] = [way.left, way.left + way.width];
  return `M ${left} ${top} ${bend(left, top, begin, middle)} L ${last} ${middle} ${
    bend(last, middle, end, bottom)} ${head}`;
}
