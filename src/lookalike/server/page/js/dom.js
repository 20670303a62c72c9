// DOM helpers. Strings become text nodes; nothing here parses HTML.

const SVG = "http://www.w3.org/2000/svg";

/** h("button.primary", {type: "button", onclick: f}, "Text", child): null, false and undefined are skipped. */
export function h(spec, props = {}, ...children) {
  const [tag, ...classes] = spec.split(".");
  const element = document.createElement(tag || "div");
  if (classes.length) element.classList.add(...classes);
  for (const [name, value] of Object.entries(props ?? {})) set(element, name, value);
  add(element, children);
  return element;
}

function set(element, name, value) {
  if (value === undefined || value === null) return;
  if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
  else if (name === "class") element.classList.add(...value.split(" ").filter(Boolean));
  else if (name === "data") Object.assign(element.dataset, value);
  else if (name in element && !name.startsWith("aria") && name !== "list" && name !== "form") element[name] = value;
  else if (typeof value === "boolean" && !name.startsWith("aria")) element.toggleAttribute(name, value);
  else element.setAttribute(name, value);
}

function add(element, children) {
  element.append(...children.flat(2).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const SPRITE = "/page/icons/icons.svg";
let inlined = false;

/** Inline the icons, so that they are shown even when the server is down. */
export async function loadIcons() {
  const response = await fetch(SPRITE);
  if (!response.ok) return;
  const sprite = document.importNode(new DOMParser().parseFromString(await response.text(), "image/svg+xml").documentElement, true);
  for (const symbol of sprite.querySelectorAll("symbol")) symbol.id = `icon-${symbol.id}`;
  sprite.setAttribute("hidden", "");
  sprite.setAttribute("aria-hidden", "true");
  document.body.append(sprite);
  inlined = true;
}

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", inlined ? `#icon-${name}` : `${SPRITE}#${name}`);
  svg.append(use);
  return svg;
}

export function button(label, { look = "", symbol = null, ...props } = {}) {
  return h("button.button", { type: "button", class: look, ...props }, symbol && icon(symbol), label);
}

/** A button with an icon; the label is its accessible name and its tooltip. */
export function iconButton(label, symbol, { look = "", ...props } = {}) {
  return h("button.icon-button", { type: "button", class: look, "aria-label": label, "data-tip": label, ...props }, icon(symbol));
}

const END = 11; // characters of a name that stay readable: a number, and the suffix

const RIGHT_TO_LEFT = /\p{Script=Hebrew}|\p{Script=Arabic}|\p{Script=Syriac}|\p{Script=Thaana}|\p{Script=Nko}/u;

/** A text that is cut in its middle where it does not fit, so that both of its ends stay readable. Text that is written from
 * right to left stays in one piece, for its order depends on all of it. */
export function middleCut(text, { look = "", title = text } = {}) {
  const letters = [...text];
  const at = letters.length - (RIGHT_TO_LEFT.test(text) ? 0 : Math.min(END, Math.floor(letters.length / 2)));
  return h("span.middle", { class: look, title }, h("span.middle-start", {}, letters.slice(0, at).join("")), h("span.middle-end", {}, letters.slice(at).join("")));
}

/** Throttle to one call per animation frame, with the latest arguments. */
export function eachFrame(work) {
  let latest = null;
  return (...args) => {
    if (latest === null) requestAnimationFrame(() => {
      const now = latest;
      latest = null;
      work(...now);
    });
    latest = args;
  };
}

let serial = 0;

export function uniqueId(prefix) {
  serial += 1;
  return `${prefix}-${serial}`;
}

/** Whether the target of a key press is a text field. */
export function isTyping(target) {
  return target instanceof Element && target.closest("input:not([type=range],[type=checkbox],[type=radio]),textarea,select,[contenteditable=true]") !== null;
}
