// Duplicates view: groups of copies, of which some images are kept and the others are removed, one by one or all at once.
import { duplicates } from "./api.js";
import { whyNoTrash } from "./cleanup-actions.js";
import { cleanupPanel } from "./cleanup-panel.js";
import { clusterCard } from "./cluster.js";
import { h } from "./dom.js";
import { csvOf, saveText } from "./duplicates-export.js";
import { duplicatesToolbar } from "./duplicates-toolbar.js";
import { bytes, count, countImages, plural } from "./format.js";
import { rovingGrid } from "./grid.js";
import { openGroupCompare } from "./group-compare.js";
import { groupKeys } from "./group-keys.js";
import { GroupModel } from "./group-model.js";
import { lazyChunks } from "./lazy-chunks.js";
import { announce } from "./live-region.js";
import { dismissal } from "./not-duplicates.js";
import { errorBox, resetRetries, skeletons, stateBox } from "./placeholders.js";
import { fromKey } from "./query.js";
import { openReview } from "./review.js";

const FIRST_PAGE = 20; // shown soon
const PAGE = 5000; // the server's maximum
const NEAR_TOP = 80; // pixels below the header within which a group counts as the current one

export function duplicatesView(root, { go, statusNow, mayWrite, changed }) {
  const model = new GroupModel();
  let control = null;
  let complete = false;
  let failed = null;
  let lastGroup = null;
  const sizes = new Map(); // the number of images of each group as it is shown
  const title = h("h1", { tabIndex: -1 }, "Duplicates");
  const note = h("p.small.quiet.numbers");
  const state = h("div");
  const list = h("div.clusters", { role: "group", "aria-label": "Groups of duplicates" });
  const refreshGrid = rovingGrid(list);
  const cards = lazyChunks(list, (id) => clusterCard(model.groups.get(id), actions), { look: "cluster-chunk", filled: refreshGrid });
  const trashWhy = (files = 1) => whyNoTrash(statusNow(), files);
  const panel = cleanupPanel({ model, drawn: draw, changed, restart: start });
  const toolbar = duplicatesToolbar({
    changed: ({ rule, scope }) => {
      Object.assign(model, { rule, scope });
      model.changed();
      cards.clear();
      draw();
      announce(note.textContent);
    },
    apply: () => review([...model.groups.values()].filter((group) => model.removedOf(group).length)),
    save: () => saveText("duplicates.csv", csvOf(model, [...model.groups.values()])),
  });
  const dismiss = dismissal({ model, drawn: draw, focusNear });
  const actions = {
    model,
    keep: (group, image, on) => toggle(group.id, image.key, on),
    compare,
    exclude: (group, image) => dismiss(group, image),
    notDuplicates: (group) => dismiss(group, null),
    remove: (group) => act(group, "gallery"),
    trash: (group) => act(group, "trash"),
    trashAllowed: () => trashWhy() === "",
  };
  root.append(h("header.view-head", {}, h("div", {}, title, note)), h("div.dup-top", {}, toolbar.element, panel.element), state, list);

  async function start() {
    control?.abort();
    const mine = new AbortController();
    control = mine;
    model.clear();
    cards.clear();
    sizes.clear();
    complete = false;
    failed = null;
    note.textContent = "Searching for duplicates …";
    state.replaceChildren(skeletons(4, "clusters waiting"));
    toolbar.element.hidden = true;
    try {
      await fetchAll(mine);
    } catch (problem) {
      if (problem.name === "AbortError") return;
      failed = problem;
      draw();
    }
  }

  async function fetchAll(mine) {
    let cursor = null;
    do {
      const answer = await duplicates({ limit: cursor ? PAGE : FIRST_PAGE, cursor, signal: mine.signal });
      model.add(answer.clusters);
      cursor = answer.next ?? null;
      complete = cursor === null;
      resetRetries();
      draw();
    } while (cursor);
    announce(note.textContent);
  }

  function draw() {
    const groups = model.groups;
    const total = model.totals();
    cards.set([...groups.keys()]);
    for (const [id, { images }] of groups) {
      if (sizes.has(id) && sizes.get(id) !== images.length) cards.update(id); // an image has gone, or come back
      sizes.set(id, images.length);
    }
    refreshGrid();
    const saved = panel.saved();
    const parts = [`${plural(groups.size, "group")}${complete ? "" : " so far"}, ${countImages(total.images)}`, `${bytes(total.bytes)} in images that are not kept`, saved && `${bytes(saved)} moved to the trash in this session`];
    note.textContent = groups.size || saved ? parts.filter(Boolean).join(" · ") : complete ? "" : "Searching for duplicates …";
    toolbar.show({ total, complete, files: trashWhy() === "", folders: complete ? model.folders() : [], any: model.clusters.length > 0 });
    if (failed) state.replaceChildren(errorBox(failed, start));
    else if (groups.size || !complete) state.replaceChildren();
    else state.replaceChildren(nothing());
  }

  function nothing() {
    const narrowed = model.scope.kind !== "all" && model.clusters.some((cluster) => !cluster.dismissed);
    if (narrowed) return stateBox({ symbol: "copies", title: "No groups in this scope", text: "Choose “All copies” above to see the other groups." });
    const empty = statusNow()?.images === 0;
    const text = empty ? "The gallery is empty." : model.clusters.length ? "All groups are resolved." : "No image of the gallery is a copy of another one.";
    const actions = [h("a.button", { class: empty ? "primary" : "", href: "#/gallery" }, empty ? "Add images" : "Open the gallery")];
    return stateBox({ symbol: "copies", title: "No duplicates", text, actions });
  }

  /** The group that has the focus, had it last, or is the first in the window. */
  function current() {
    const focused = document.activeElement?.closest?.(".cluster")?.dataset.id;
    if (focused) return focused;
    if (lastGroup && model.groups.has(lastGroup)) return lastGroup;
    const near = [...list.querySelectorAll(".cluster")].find((card) => card.getBoundingClientRect().bottom > NEAR_TOP + 60);
    return near?.dataset.id ?? null;
  }

  function focusGroup(id, key = null) {
    const card = cards.element(id);
    const members = [...(card?.querySelectorAll(".member") ?? [])];
    const member = members.find((item) => item.dataset.key === key) ?? members[0];
    lastGroup = id;
    const main = member?.querySelector("[data-main]") ?? title;
    main.focus({ preventScroll: true });
    main.scrollIntoView({ block: "nearest" });
  }

  /** Focus the group at a place of the list, after another one went from there. */
  function focusNear(at) {
    const ids = [...model.groups.keys()];
    if (ids.length) focusGroup(ids[Math.min(at, ids.length - 1)]);
    else title.focus({ preventScroll: true });
  }

  function step(id, by) {
    const ids = [...model.groups.keys()];
    const next = ids[ids.indexOf(id) + by];
    if (next) focusGroup(next);
  }

  function keep(id, keys) {
    const focused = document.activeElement?.closest?.(".member")?.dataset.key ?? null;
    const inside = document.activeElement?.type === "checkbox" ? "input" : "[data-main]";
    model.keep(id, keys);
    cards.update(id);
    const total = model.totals();
    toolbar.show({ total, complete, files: trashWhy() === "", folders: [], any: true });
    if (focused) [...(cards.element(id)?.querySelectorAll(".member") ?? [])].find((item) => item.dataset.key === focused)?.querySelector(inside)?.focus({ preventScroll: true });
    const group = model.groups.get(id);
    announce(`${count(group.kept.size)} of ${count(group.images.length)} kept.`);
  }

  function toggle(id, key, on = null) {
    const group = model.groups.get(id);
    const kept = new Set(group.kept);
    if (on ?? !kept.has(key)) kept.add(key);
    else kept.delete(key);
    if (kept.size) return keep(id, [...kept]);
    cards.update(id);
    return announce("One image of a group must be kept.");
  }

  function keepAt(id, at, also) {
    const image = model.groups.get(id).images[at];
    if (!image) return;
    if (also) toggle(id, image.key);
    else keep(id, [image.key]);
  }

  function act(group, way) {
    const total = model.totals([group]);
    if (!total.removed) return announce("All images of the group are kept.");
    if (way === "trash" && trashWhy(total.files)) return announce(trashWhy(total.files));
    const at = [...model.groups.keys()].indexOf(group.id);
    return panel.run(way, [group]).then(() => root.contains(document.activeElement) || document.activeElement === document.body ? focusNear(at) : null);
  }

  function review(groups) {
    if (!groups.length) return null;
    return openReview({ groups, model, why: trashWhy(model.totals(groups).files), apply: (way) => panel.run(way, groups) });
  }

  function compare(group, image) {
    openGroupCompare({
      model, id: group.id, key: image.key, keepAt, dismiss, mayWrite,
      like: (hit) => go(fromKey(hit.key).route),
      closed: (id, key) => focusGroup(id, key),
    });
  }

  groupKeys(() => !root.hidden, {
    current, keepAt, toggle, step, mayWrite,
    remove: (id) => act(model.groups.get(id), "gallery"),
    trash: (id) => act(model.groups.get(id), "trash"),
    notDuplicates: (id) => dismiss(model.groups.get(id), null),
  });
  list.addEventListener("focusin", (event) => (lastGroup = event.target.closest(".cluster")?.dataset.id ?? lastGroup));

  return {
    target: null,
    show() {
      if (control === null) start();
      else {
        model.changed();
        draw();
      }
    },
    statusChanged() {
      if (control !== null && !root.hidden && model.clusters.length) draw();
    },
    reset() {
      control?.abort();
      control = null;
      panel.reset();
    },
  };
}
