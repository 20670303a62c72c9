// Attribute filters as chips: {"year": {"gte": 2019}, "tag": {"in": ["a", "b"]}}; all conditions must hold.
import { button, h, iconButton, uniqueId } from "./dom.js";
import { announce } from "./live-region.js";

const OPS = [["eq", "is"], ["ne", "is not"], ["gt", "is greater than"], ["gte", "is at least"], ["lt", "is less than"], ["lte", "is at most"], ["in", "is one of"], ["exists", "exists"]];
const SIGNS = { eq: "=", ne: "≠", gt: ">", gte: "≥", lt: "<", lte: "≤", in: "in", exists: "exists" };

const seen = new Map();

/** Remember attribute names and values of responses as suggestions. */
export function suggestAttributes(attributes) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (!seen.has(name)) seen.set(name, new Set());
    const values = seen.get(name);
    if (values.size < 50 && value !== null && typeof value !== "object") values.add(String(value));
  }
}

/** What is known of an image's file and its EXIF data, by the names that filters take. */
export function builtInAttributes(image) {
  const slash = image.key.lastIndexOf("/");
  const file = { folder: slash < 0 ? "" : image.key.slice(0, slash), format: image.format, bytes: image.bytes, added: image.created?.slice(0, 10) };
  const named = (prefix, fields) => Object.entries(fields).map(([name, value]) => [`${prefix}.${name}`, value]);
  return Object.fromEntries([...named("file", file), ...named("exif", image.exif ?? {})].filter(([, value]) => value !== undefined));
}

/** The text parsed as JSON, or the text itself. */
function valueOf(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function parse(op, text) {
  if (op === "exists") return text.trim().toLowerCase() !== "no" && text.trim().toLowerCase() !== "false";
  if (op === "in") return text.split(",").map((part) => valueOf(part.trim()));
  return valueOf(text.trim());
}

function format(op, value) {
  if (op === "exists") return value ? "" : "not";
  return Array.isArray(value) ? value.join(", ") : String(value);
}

function options(list, values) {
  list.replaceChildren(...values.map((value) => h("option", { value })));
}

/** The filter bar; `changed(value)` is called for every change by the user. */
export function filterBar(changed) {
  let value = {};
  const chips = h("ul.chips", { "aria-label": "Active filters" });
  const names = h("datalist", { id: uniqueId("names") });
  const values = h("datalist", { id: uniqueId("values") });
  const name = h("input.input.little", { "aria-label": "Attribute", placeholder: "attribute", list: names.id, required: true, autocomplete: "off", spellcheck: false });
  const op = h("select.input.little", { "aria-label": "Comparison" }, OPS.map(([id, words]) => h("option", { value: id }, words)));
  const text = h("input.input.little", { "aria-label": "Value", placeholder: "value", list: values.id, autocomplete: "off", spellcheck: false });
  const form = h("form.filter-form", { hidden: true, onsubmit: submit }, name, op, text, button("Add filter", { type: "submit", look: "little primary" }), names, values);
  const opener = button("Filter", { look: "little", symbol: "filter", "aria-expanded": "false", onclick: () => open(form.hidden) });
  const element = h("div.filters", {}, h("div.filters-line", {}, opener, chips), form);

  function open(on) {
    form.hidden = !on;
    opener.setAttribute("aria-expanded", String(on));
    if (!on) return;
    options(names, [...seen.keys()].sort());
    name.focus();
  }
  name.addEventListener("input", () => options(values, [...(seen.get(name.value) ?? [])].sort()));
  op.addEventListener("change", () => (text.placeholder = { in: "a, b, c", exists: "yes or no" }[op.value] ?? "value"));
  form.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    open(false);
    opener.focus();
  });
  function submit(event) {
    event.preventDefault();
    const attribute = name.value.trim();
    if (!attribute) return;
    change({ ...value, [attribute]: { ...value[attribute], [op.value]: parse(op.value, text.value) } }, `Filter added: ${attribute}.`);
    name.value = "";
    text.value = "";
    open(false);
    opener.focus();
  }
  function change(next, words) {
    value = next;
    draw();
    announce(words);
    changed(value);
  }
  function drop(attribute, operator) {
    const { [operator]: _, ...rest } = value[attribute];
    const { [attribute]: __, ...others } = value;
    change(Object.keys(rest).length ? { ...others, [attribute]: rest } : others, `Filter removed: ${attribute}.`);
    opener.focus();
  }
  function draw() {
    const items = Object.entries(value).flatMap(([attribute, ops]) => Object.entries(ops).map(([id, operand]) => {
      const words = `${attribute} ${SIGNS[id]} ${format(id, operand)}`.trim();
      return h("li.chip", {}, h("span.cut", {}, words), iconButton(`Remove the filter ${words}`, "close", { look: "little", onclick: () => drop(attribute, id) }));
    }));
    chips.replaceChildren(...items);
    chips.hidden = items.length === 0;
  }
  draw();
  return {
    element,
    get value() {
      return value;
    },
    set value(next) {
      value = next;
      draw();
    },
    clear: () => change({}, "All filters removed."),
  };
}
