// Comparison of the images of a group of duplicates: the kept image with each of the others.
import { openCompare } from "./compare.js";
import { button, h, iconButton } from "./dom.js";
import { bytes, count, sizeOf, splitKey } from "./format.js";
import { digitOf } from "./group-keys.js";
import { fromKey } from "./query.js";

const FACTS = [
  ["Pixels", sizeOf], ["File", (image) => bytes(image.bytes)], ["Format", (image) => image.format],
  ["Taken", (image) => image.exif?.captured?.replace("T", " ") ?? "–"], ["Folder", (image) => splitKey(image.key).folder || "–"], ["Name", (image) => splitKey(image.key).name],
];

/** Both images' facts; those that differ stand out. */
function factTable(kept, other) {
  const rows = FACTS.map(([name, of]) => {
    const [a, b] = [of(kept), of(other)];
    return h("tr", { class: a === b ? "" : "differs" }, h("th", { scope: "row" }, name), h("td", {}, a), h("td", {}, b));
  });
  return h("table.facts-table.pair", {}, h("thead", {}, h("tr", {}, h("td"), h("th", { scope: "col" }, "Kept"), h("th", { scope: "col" }, "Other"))), h("tbody", {}, rows));
}

/** The kept image to compare with, and the others; of an image that is kept as well, another kept one. */
function pairOf(group, key) {
  const kept = group.images.find((image) => group.kept.has(image.key) && image.key !== key) ?? group.images.find((image) => image.key !== key);
  const others = group.images.filter((image) => image !== kept);
  return { query: fromKey(kept.key), size: kept, hits: others.map((image) => ({ ...image, evidence: null })), at: Math.max(0, others.findIndex((image) => image.key === key)), kept };
}

/** Open the comparison in a group, at an image; `keepAt(id, place, also)` and `dismiss(group, image)` change the group. */
export function openGroupCompare({ model, id, key, keepAt, dismiss, mayWrite, like, closed }) {
  let group = model.groups.get(id);
  let pair = pairOf(group, key);
  const groupPlace = h("span.small.quiet.numbers");
  const foot = h("div.group-foot", {}, iconButton("Previous group", "up", { onclick: () => step(-1) }), groupPlace, iconButton("Next group", "down", { onclick: () => step(1) }));
  const view = openCompare({
    ...pair, labels: ["Kept", "Other"], originals: true, like, foot: [foot],
    lead: (hit) => side(hit),
    key: (event, hit) => onKey(event, hit),
    focusOf: (hit) => {
      queueMicrotask(() => closed(group.id, hit.key));
      return null;
    },
  });
  showPlace();

  function side(hit) {
    const at = group.images.findIndex((image) => image.key === hit.key);
    const isKept = group.kept.has(hit.key);
    return [factTable(pair.kept, hit), h("div.side-actions.needs-write", {},
      button("Keep only this one", { look: "little", onclick: () => choose(at, false, pair.kept.key) }),
      button(isKept ? "Do not keep this one" : "Keep this one, too", { look: "little", "aria-pressed": String(isKept), onclick: () => choose(at, true, hit.key) }),
      button("Not a duplicate", { look: "little", symbol: "unequal", onclick: () => drop(hit) }))];
  }
  function set(key) {
    pair = pairOf(group, key);
    view.set(pair);
    showPlace();
  }
  function choose(at, also, key) {
    if (at < 0 || at >= group.images.length) return;
    keepAt(group.id, at, also);
    group = model.groups.get(group.id);
    set(key);
  }
  function step(by) {
    const ids = [...model.groups.keys()];
    const next = ids[ids.indexOf(group.id) + by];
    if (!next) return;
    group = model.groups.get(next);
    set(group.images.find((image) => !group.kept.has(image.key))?.key ?? group.images[0].key);
  }
  async function drop(hit) {
    const { id: mine } = group;
    await dismiss(group, group.images.find((image) => image.key === hit.key));
    group = model.groups.get(mine);
    if (group) return set(group.images.find((image) => !group.kept.has(image.key))?.key ?? group.images[0].key);
    const first = model.groups.keys().next().value;
    if (!first) return view.dialog.close("");
    group = model.groups.get(first);
    return set(group.images[0].key);
  }
  function showPlace() {
    const ids = [...model.groups.keys()];
    groupPlace.textContent = `Group ${count(ids.indexOf(group.id) + 1)} of ${count(ids.length)}`;
  }
  function onKey(event, hit) {
    const digit = digitOf(event);
    const name = event.key.toLowerCase();
    if (name === "j" || name === "k") step(name === "j" ? 1 : -1);
    else if (digit && mayWrite()) choose(digit - 1, event.shiftKey, hit.key);
    else if (name === "n" && mayWrite()) drop(hit);
  }
}
