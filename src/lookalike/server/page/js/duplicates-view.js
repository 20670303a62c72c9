// Duplicates: clusters of images that are copies of one another, to be thinned out or told apart.
import { duplicates, notAMatch } from "./api.js";
import { say, toast } from "./announce.js";
import { clusterCard } from "./cluster.js";
import { openCompare } from "./compare.js";
import { h } from "./dom.js";
import { endless } from "./endless.js";
import { put } from "./grid.js";
import { fromKey } from "./query.js";
import { isGoing, removeWithUndo } from "./removal.js";
import { allWell, errorBox, skeletons, stateBox } from "./states.js";
import { count, nameOf, plural, told } from "./words.js";

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
  const end = endless(more, "Show more clusters");
  root.append(h("header.view-head", {}, h("div", {}, title, note),
  h("p.small.quiet.view-hint", {}, "Keep the best of each cluster, and delete the others; or say that they are no match, and they are not proposed again. Files outside the gallery are never touched.")), state, list, end.element);

  async function start() {
    control.abort();
    control = new AbortController();
    const mine = control;
    clusters = [];
    cursor = null;
    cards.clear();
    list.replaceChildren();
    end.set({ more: false });
    note.textContent = "Every image is searched for among the others …";
    state.replaceChildren(skeletons(4, "clusters waiting"));
    try {
      await fetchPage(mine);
      allWell();
      draw();
      say(note.textContent);
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

  /** Clusters with those images that are still there, where at least two are. */
  function standing() {
    const alive = clusters.map((cluster) => ({ cluster, images: cluster.images.filter((image) => !isGoing(image.key)) }));
    return alive.filter(({ cluster, images }) => images.length > 1 && !cluster.parted);
  }

  function cardOf({ cluster, images }) {
    const name = `${cluster.id} ${images.map((image) => image.key).join("\n")}`;
    if (!cards.has(name)) cards.set(name, clusterCard({ ...cluster, images, from: cluster }, { removeOthers, notAMatch: part, compare }));
    return cards.get(name);
  }

  function draw() {
    const wanted = standing().map(cardOf);
    put(list, wanted);
    state.replaceChildren(...(wanted.length || cursor ? [] : [stateBox({ symbol: "copies", title: "No duplicates", text: "No two images of the gallery are copies of each other, or you have sorted out all of them." })]));
    note.textContent = wanted.length ? `${plural(wanted.length, "cluster")}${cursor ? " so far" : ""}, ${count(standing().reduce((sum, { images }) => sum + images.length, 0))} images` : "";
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
    removeWithUndo(keys, {
      hide: () => {
        draw();
        focusNear(at);
      },
      back: draw,
      gone: () => {
        const gone = new Set(keys);
        for (const one of clusters ?? []) one.images = one.images.filter((image) => !gone.has(image.key));
        changed();
      },
    });
  }

  /** Parts one image from the others, or (null) all of them from one another; the server remembers it. */
  async function part(cluster, image) {
    const at = placeOf(cluster);
    const origin = cluster.from;
    const groups = image ? cluster.images.filter((one) => one !== image).map((one) => [image.key, one.key]) : [cluster.images.map((one) => one.key)];
    const before = origin.images;
    const put = (undo) => Promise.all(groups.map((keys) => notAMatch(keys, undo)));
    try {
      await put(false);
    } catch (problem) {
      toast(`Not remembered: ${told(problem).title}. ${told(problem).detail}`, { loud: true, seconds: 12 });
      return;
    }
    if (image) origin.images = origin.images.filter((one) => one !== image);
    else origin.parted = true;
    draw();
    focusNear(at);
    toast(image ? `${nameOf(image.key).name} will not be proposed with these again.` : "These will not be proposed together again.", { seconds: 8, action: { label: "Undo", symbol: "undo", run: async () => {
      try {
        await put(true);
        Object.assign(origin, { images: before, parted: false });
        draw();
      } catch (problem) {
        toast(`Not undone: ${told(problem).title}. ${told(problem).detail}`, { loud: true, seconds: 12 });
      }
    } } });
  }

  function compare(image, best) {
    const back = document.activeElement;
    openCompare({ query: fromKey(best.key), hits: [{ ...image, evidence: null }], at: 0, like: (one) => go(fromKey(one.key).route), chosen: () => back, labels: ["Kept", "Other"] });
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
