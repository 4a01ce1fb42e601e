// What the views of a layer's numbers have in common: a layer to choose, a player, figures, and
// the terms of the number that is looked at.

import { layerChoice } from "./controls.js";
import { el, failed, refill } from "./dom.js";
import { player } from "./player.js";
import { layerOf, now, set } from "./state.js";
import { terms, work } from "./terms.js";

// `describe` is given what its figures need: `look(indices)` marks the term that has them, `found`
// is the explanation that is shown, `detail` where its terms are. It returns the view:
//
//   kinds, none       the kinds of layers that it is about (of any, if left out), and what is said
//                     of a network that has none of them
//   player            the name of its step, and what a step does
//   figures           its elements
//   instead(layer)    what is looked at instead of what the address says, if anything
//   controls(layer)   those between the choice of a layer and the player's
//   lead(layer)       the sentences above all, or a list of them and of elements
//   late              whether these two can be told only with the answers
//   before(layer)     draws what needs no answer
//   questions(layer)  what is asked; the first answer is the explanation
//   after(layer, answers)  draws the rest
//   mark(place)       frames what a term is made of, or all where `place` is null; a view without
//                     shows no terms
//   source(layer)     the equation, where it is another than the explanation says
//   first(layer)      the term that is brought into sight
export function view(root, describe) {
  const controls = el("div", { class: "bar" });
  const words = el("p", { class: "lead" });
  const detail = el("section", { class: "terms" });
  const { show, look, goTo } = terms(detail, (place) => own.mark(place));
  const here = { look, detail, found: null };
  const own = { kinds: [], ...describe(here) };
  const play = player(...own.player);
  root.append(words, controls, work(own.figures, detail));

  function head(layer) {
    refill(controls,
      layerChoice(layer, ...own.kinds), ...own.controls(layer), ...play.buttons);
    words.replaceChildren(...[own.lead(layer)].flat());
  }

  function mark(layer) {
    own.mark(null);
    show({ ...here.found, source: own.source?.(layer) ?? here.found.source });
    const first = own.first?.(layer);
    if (first) goTo(first);
  }

  return async () => {
    const layer = layerOf(...own.kinds);
    root.classList.toggle("empty", !layer);
    if (!layer) return words.replaceChildren(own.none);
    const instead = layer.name === layerOf().name ? own.instead?.(layer) : { layer: layer.name };
    if (instead) return set(instead);
    if (!own.late) head(layer);
    own.before?.(layer);
    const asked = now();
    let answers;
    try {
      answers = await Promise.all(own.questions(layer));
    } catch (error) {
      return failed(error);
    }
    if (asked !== now()) return;
    [here.found] = answers;
    own.after(layer, answers);
    if (own.late) head(layer);
    if (own.mark) mark(layer);
  };
}
