// Duplicates view: clusters of copies, to be pruned or marked as not a match.
import { duplicates, notAMatch } from "./api.js";
import { clusterCard } from "./cluster.js";
import { openCompare } from "./compare.js";
import { h } from "./dom.js";
import { count, describeProblem, plural, splitKey } from "./format.js";
import { put } from "./grid.js";
import { infiniteScroll } from "./infinite-scroll.js";
import { announce, toast } from "./live-region.js";
import { errorBox, resetRetries, skeletons, stateBox } from "./placeholders.js";
import { fromKey } from "./query.js";
import { deleteWithUndo, isPendingDelete } from "./undo-delete.js";

const PAGE = 20;

export function duplicatesView(root, { go, changed }) {
  let clusters = null;
  let cursor = null;
  let control = new AbortController();
  const cards = new Map();
  const title = h("h1", { tabIndex: -1 }, "Duplicates");
  const note = h("p.small.quiet.numbers");
  const state = h("div");
  const list = h("ul.clusters", { "aria-label": "Clusters of duplicates" });
  const end = infiniteScroll(more, "Show more clusters");
  root.append(h("header.view-head", {}, h("div", {}, title, note),
  h("p.small.quiet.view-hint", {}, "Keep the best image of each cluster and remove the others, or mark them as not a match. Original files are never deleted.")), state, list, end.element);

  async function start() {
    control.abort();
    control = new AbortController();
    const mine = control;
    clusters = [];
    cursor = null;
    cards.clear();
    list.replaceChildren();
    end.set({ more: false });
    note.textContent = "Searching for duplicates …";
    state.replaceChildren(skeletons(4, "clusters waiting"));
    try {
      await fetchPage(mine);
      resetRetries();
      draw();
      announce(note.textContent);
    } catch (problem) {
      if (problem.name === "AbortError") return;
      clusters = null;
      note.textContent = "";
      state.replaceChildren(errorBox(problem, start));
    }
  }

  async function fetchPage(mine) {
    const answer = await duplicates({ limit: PAGE, cursor, signal: mine.signal });
    clusters.push(...answer.clusters);
    cursor = answer.next ?? null;
  }

  async function more() {
    await fetchPage(control);
    draw();
  }

  /** Clusters without images pending deletion, if at least two remain. */
  function openClusters() {
    const remaining = clusters.map((cluster) => ({ cluster, images: cluster.images.filter((image) => !isPendingDelete(image.key)) }));
    return remaining.filter(({ cluster, images }) => images.length > 1 && !cluster.dismissed);
  }

  function cardOf({ cluster, images }) {
    const name = `${cluster.id} ${images.map((image) => image.key).join("\n")}`;
    if (!cards.has(name)) cards.set(name, clusterCard({ ...cluster, images, from: cluster }, { removeOthers, notAMatch: dismiss, compare }));
    return cards.get(name);
  }

  function draw() {
    const shown = openClusters().map(cardOf);
    put(list, shown);
    state.replaceChildren(...(shown.length || cursor ? [] : [stateBox({ symbol: "copies", title: "No duplicates", text: "The gallery has no duplicates, or all clusters are resolved." })]));
    note.textContent = shown.length ? `${plural(shown.length, "cluster")}${cursor ? " so far" : ""}, ${count(openClusters().reduce((sum, { images }) => sum + images.length, 0))} images` : "";
    end.set({ more: cursor !== null });
  }

  function focusNear(at) {
    const card = list.children[Math.min(at, list.children.length - 1)];
    (card?.querySelector("input:checked") ?? title).focus({ preventScroll: true });
  }

  const placeOf = (cluster) => [...list.children].findIndex((card) => card.dataset.id === String(cluster.id));

  function removeOthers(cluster, best) {
    const keys = cluster.images.filter((image) => image !== best).map((image) => image.key);
    const at = placeOf(cluster);
    deleteWithUndo(keys, {
      hide: () => {
        draw();
        focusNear(at);
      },
      back: draw,
      gone: () => {
        const deleted = new Set(keys);
        for (const item of clusters ?? []) item.images = item.images.filter((image) => !deleted.has(image.key));
        changed();
      },
    });
  }

  /** Mark one image, or (null) all images of a cluster, as not a match; the server stores it. */
  async function dismiss(cluster, image) {
    const at = placeOf(cluster);
    const origin = cluster.from;
    const groups = image ? cluster.images.filter((other) => other !== image).map((other) => [image.key, other.key]) : [cluster.images.map((member) => member.key)];
    const before = origin.images;
    const send = (undo) => Promise.all(groups.map((keys) => notAMatch(keys, undo)));
    try {
      await send(false);
    } catch (problem) {
      toast(`Not saved: ${describeProblem(problem).title}. ${describeProblem(problem).detail}`, { loud: true, seconds: 12 });
      return;
    }
    if (image) origin.images = origin.images.filter((other) => other !== image);
    else origin.dismissed = true;
    draw();
    focusNear(at);
    toast(image ? `${splitKey(image.key).name} will not be grouped with these again.` : "These will not be grouped again.", { seconds: 8, action: { label: "Undo", symbol: "undo", run: async () => {
      try {
        await send(true);
        Object.assign(origin, { images: before, dismissed: false });
        draw();
      } catch (problem) {
        toast(`Not undone: ${describeProblem(problem).title}. ${describeProblem(problem).detail}`, { loud: true, seconds: 12 });
      }
    } } });
  }

  function compare(image, best) {
    const back = document.activeElement;
    openCompare({ query: fromKey(best.key), hits: [{ ...image, evidence: null }], at: 0, like: (hit) => go(fromKey(hit.key).route), focusOf: () => back, labels: ["Kept", "Other"] });
  }

  return {
    target: null,
    show() {
      if (clusters === null) start();
      else draw();
    },
    statusChanged() {},
    reset() {
      control.abort();
      clusters = null;
    },
  };
}
