// The article, section by section, each beside the live figure it speaks of.

import { ask } from "./api.js";
import { button, el, equation, failed } from "./dom.js";
import { ARTICLE } from "./prose.js";
import { SECTIONS } from "./sections.js";
import { activationBefore, layersOf, set, state } from "./state.js";

// The layers that sections speak of: the first convolution, one of several channels, and what an
// activation comes before.
const LAYERS = {
  first: () => layersOf("conv")[0],
  deep: () =>
    layersOf("conv").find((layer) => layer.parameters.weight[1] > 1) ?? layersOf("conv")[0],
  behind: () => {
    const first = (...kinds) => layersOf(...kinds).find(activationBefore);
    return first("conv") ?? first("pool") ?? first();
  },
};

// What a section's figure is set to.
export function settingsOf(section) {
  const [, , , [, { flipped, back = false, at }]] = SECTIONS[section];
  return { section, flipped: flipped ?? false, back, layer: LAYERS[at]?.()?.name ?? state.layer };
}

export const COUNT = SECTIONS.length;

// `views` builds any other view; the one that the section in sight speaks of is shown beside it.
export function article(root, take, views) {
  const text = el("div", { class: "text" });
  const panel = el("aside", { class: "live", "aria-label": "The live figure" });
  const built = new Map();
  const open = (section) => set(settingsOf(section));
  const sectionAt = (place) => text.querySelector(`#section-${place + 1}`);

  function section([title, paragraphs, numbers, [words]], place) {
    const turn = (words, to, name) =>
      SECTIONS[to] && button(words, () => goTo(to), { id: `${name}-${place + 1}` });
    const live = () => open(place).then(() => panel.scrollIntoView({ block: "nearest" }), failed);
    return el("article", { id: `section-${place + 1}` },
      el("h2", {}, `${place + 1}. ${title}`),
      ...(Array.isArray(paragraphs[0]) ? [letters(paragraphs)] : paragraphs.map(
        (paragraph) => el("p", {}, paragraph))),
      ...numbers.map((number) => numbered(number, equations[number])),
      button(words, live, { class: "go", id: `show-${place + 1}` }),
      el("div", { class: "bar turn" },
        turn("Previous section", place - 1, "previous"),
        turn("Next section", place + 1, "next")));
  }

  const goTo = (place) => open(place).then(() => sectionAt(place).scrollIntoView(), failed);

  let equations = null;
  async function build() {
    equations = await ask("equations");
    const titles = SECTIONS.map(
      ([title], place) => button(`${place + 1}. ${title}`, () => goTo(place)));
    text.append(
      el("p", { class: "lead" }, ARTICLE),
      el("details", { open: wide.matches }, el("summary", {}, "Sections"),
        el("nav", { class: "contents", "aria-label": "Sections" }, titles)),
      ...SECTIONS.map(section),
    );
    root.append(el("div", { class: "reading" }, text, panel));
    // The section that is read has its figure beside it; where there is no room for that, on
    // demand.
    const watch = new IntersectionObserver((seen) => {
      const entered = seen.filter((entry) => entry.isIntersecting).map(
        (entry) => Number(entry.target.id.split("-")[1]) - 1);
      const read = entered.length && panel.isConnected && wide.matches;
      if (read && !entered.includes(state.section)) open(Math.min(...entered)).catch(failed);
    }, { rootMargin: "-30% 0px -60% 0px" });
    for (const one of text.querySelectorAll("article")) watch.observe(one);
    if (state.section > 0) sectionAt(state.section).scrollIntoView();
  }

  let building = null;
  return async () => {
    if (!SECTIONS[state.section]) return open(0);
    building ??= build().catch((error) => {
      building = null;
      failed(error);
    });
    await building;
    if (!building) return;
    const [, , , [words, { view }]] = SECTIONS[state.section];
    if (!built.has(view)) {
      const holder = el("div", { "data-live": view });
      built.set(view, [holder, views[view](holder, take)]);
    }
    const [holder, update] = built.get(view);
    for (const one of text.querySelectorAll("article")) {
      one.classList.toggle("shown", one === sectionAt(state.section));
    }
    if (holder.parentElement !== panel) panel.replaceChildren(el("h2", {}), holder);
    panel.firstChild.textContent = words;
    // Where text and figure have no room beside one another, the figure follows its section.
    if (wide.matches) root.querySelector(".reading").append(panel);
    else sectionAt(state.section).querySelector(".turn").before(panel);
    await update(state);
  };
}

// Where they have.
const wide = matchMedia("(min-width: 1000px)");

function letters(pairs) {
  return el("dl", {}, pairs.flatMap(
    ([letter, meaning]) => [el("dt", {}, letter), el("dd", {}, meaning)]));
}

function numbered(number, { equation: mathml, sentence }) {
  return el("div", { class: "numbered", "data-equation": number },
    equation(mathml), el("p", { class: "source" }, sentence),
    el("span", { class: "eq-number" }, typeof number === "number" ? `(${number})` : ""));
}
