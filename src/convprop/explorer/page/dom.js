// Elements in one call, and what is said to all readers.

export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (value === true) element.setAttribute(name, "");
    else if (![false, null, undefined].includes(value)) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => ![null, undefined, false].includes(child)));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// An equation that the server has set in MathML.
export function equation(mathml) {
  const parsed = new DOMParser().parseFromString(mathml, "application/xml").documentElement;
  return el("div",
    { class: "equation", tabindex: "0", role: "region", "aria-label": "Equation" },
    document.importNode(parsed, true));
}

let silence = null;
let failures = 0;
// Counts the errors: what has gone well since then takes the last one's message away.
export const failed = (error) => {
  failures += 1;
  tell(error.message, true);
};
export const failuresSoFar = () => failures;
export function wentWell(since) {
  const said = document.getElementById("said");
  if (failures === since && said.classList.contains("wrong")) tell("", false);
}

function tell(words, wrong) {
  const said = document.getElementById("said");
  said.textContent = words;
  said.classList.toggle("wrong", wrong);
  clearTimeout(silence);
  if (!wrong) silence = setTimeout(() => { said.textContent = ""; }, 6000);
}

export const say = (words) => tell(words, false);

export function labelled(words, control) {
  return el("label", {}, words, " ", control);
}

export function choice(options, chosen, onchange, attributes = {}) {
  const option = ([value, words]) =>
    el("option", { value, selected: String(value) === String(chosen) }, words);
  const select = el("select",
    { ...attributes, onchange: () => onchange(select.value) }, options.map(option));
  return select;
}

// A box to tick.
export function tick(id, words, checked, onchange) {
  const changed = (event) => onchange(event.target.checked);
  return labelled(words, el("input", { id, type: "checkbox", checked, onchange: changed }));
}

export function button(words, onclick, attributes = {}) {
  return el("button", { type: "button", onclick, ...attributes }, words);
}

// New children; the control that had the focus keeps it, if one of its id is there again.
export function refill(holder, ...children) {
  const focused = holder.contains(document.activeElement) ? document.activeElement.id : "";
  holder.replaceChildren(...children.flat().filter(Boolean));
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
}

// What is scrolled shows this child in its middle.
export function centre(holder, child) {
  const [outer, inner] = [holder, child].map((element) => element.getBoundingClientRect());
  const [left, top] = [inner.left - outer.left, inner.top - outer.top].map(Math.round);
  holder.scrollTo({
    left: holder.scrollLeft + left - (holder.clientWidth - child.offsetWidth) / 2,
    top: holder.scrollTop + top - (holder.clientHeight - child.offsetHeight) / 2,
  });
}

// Controls that only a server could answer.
export function disable(holder) {
  for (const control of holder.querySelectorAll("input, select, button")) control.disabled = true;
}
