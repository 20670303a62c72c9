// Elements made in one line. Text is always text: nothing here parses HTML.

const SVG = "http://www.w3.org/2000/svg";

/** h("button.primary", {type: "button", onclick: f}, "Text", child): null, false and undefined are passed over. */
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

export function add(element, children) {
  element.append(...children.flat(2).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const SPRITE = "/page/icons/icons.svg";
let drawnHere = false;

/** Takes the icons into the page, so that they are drawn also when the server has gone. */
export async function loadIcons() {
  const response = await fetch(SPRITE);
  if (!response.ok) return;
  const sprite = document.importNode(new DOMParser().parseFromString(await response.text(), "image/svg+xml").documentElement, true);
  for (const symbol of sprite.querySelectorAll("symbol")) symbol.id = `icon-${symbol.id}`;
  sprite.setAttribute("hidden", "");
  sprite.setAttribute("aria-hidden", "true");
  document.body.append(sprite);
  drawnHere = true;
}

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", drawnHere ? `#icon-${name}` : `${SPRITE}#${name}`);
  svg.append(use);
  return svg;
}

export function button(label, { look = "", symbol = null, ...props } = {}) {
  return h("button.button", { type: "button", class: look, ...props }, symbol && icon(symbol), label);
}

/** A button that shows only an icon; its name is read out and shown as a tip. */
export function iconButton(label, symbol, { look = "", ...props } = {}) {
  return h("button.icon-button", { type: "button", class: look, "aria-label": label, "data-tip": label, ...props }, icon(symbol));
}

/** Runs at most once a frame, with the newest arguments. */
export function eachFrame(work) {
  let newest = null;
  return (...args) => {
    if (newest === null) requestAnimationFrame(() => {
      const now = newest;
      newest = null;
      work(...now);
    });
    newest = args;
  };
}

let serial = 0;

export function uniqueId(prefix) {
  serial += 1;
  return `${prefix}-${serial}`;
}

/** Whether a key pressed here is meant for a text field. */
export function isTyping(target) {
  return target instanceof Element && target.closest("input:not([type=range],[type=checkbox],[type=radio]),textarea,select,[contenteditable=true]") !== null;
}
