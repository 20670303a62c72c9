// Search view: the start view, then the query image beside the results.
import { openCompare } from "./compare.js";
import { button, h } from "./dom.js";
import { dropZone } from "./drop-zone.js";
import { filterBar } from "./filters.js";
import { mayBeImage } from "./file-input.js";
import { count, plural } from "./format.js";
import { put, rovingGrid } from "./grid.js";
import { hitCard } from "./hit.js";
import { infiniteScroll } from "./infinite-scroll.js";
import { lateFacts } from "./image-facts.js";
import { announce, toast } from "./live-region.js";
import { errorBox, resetRetries, skeletons, stateBox } from "./placeholders.js";
import { fromBlob, fromKey, fromRoute, fromUrl } from "./query.js";
import { QueryBatch } from "./query-batch.js";
import { queryPanel, searchDetails } from "./query-panel.js";
import { ResultPager } from "./result-pager.js";
import { thresholdControl } from "./threshold.js";
import { doubts, headline, similarShown } from "./verdict.js";

/** `go(route)` navigates; `statusNow()` returns the last known status of the gallery. */
export function searchView(root, { go, statusNow }) {
  let pager = null;
  let cards = new Map();
  let expanded = false;
  let batch = null;
  const pagers = new Map();
  const begin = (query) => {
    pagers.delete(query.route);
    if (location.hash === query.route) open(query);
    else go(query.route);
  };
  const startView = dropZone(begin, searchFiles);
  const panel = queryPanel(begin);
  const threshold = thresholdControl(() => arrange());
  const filters = filterBar(() => start(pager.query));
  const how = h("div.how-box");
  const title = h("h1.found-title", { tabIndex: -1 });
  const under = h("p.quiet.small.numbers");
  const warning = h("p.notice", { hidden: true });
  const matches = h("ul.hits.matches", { "aria-label": "Matches" });
  const similar = h("ul.hits.beyond", { "aria-label": "Similar, above the threshold" });
  const fewer = button("Show fewer", { look: "little plain", onclick: () => expand(false) });
  const further = button("Show more", { "aria-expanded": "false", onclick: () => expand(true) });
  const none = h("p.none-within.quiet", { hidden: true });
  const beyondHead = h("div.beyond-head", {}, h("h2", {}, "Similar"), h("span.small.quiet.numbers"), fewer);
  const furtherBox = h("div.further", {}, further);
  const lists = h("div.found-lists", {}, none, matches, beyondHead, similar, furtherBox);
  const batchBox = h("div.batch-box");
  const state = h("div.found-state");
  const end = infiniteScroll(more);
  const side = h("aside.search-side", { "aria-label": "Query image and search settings" }, panel.element, h("div.search-settings", {}, threshold.element, filters.element, how));
  const layout = h("div.search-page", {}, batchBox, h("div.search-layout", {}, side, h("div.found", {}, h("header.found-head", {}, title, under), warning, state, lists, end.element)));
  const refresh = rovingGrid(lists);

  /** Search with each of several files; those that are no images are skipped and counted. */
  function searchFiles(files) {
    const images = files.length > 1 ? files.filter(({ file }) => mayBeImage(file)) : files;
    const skipped = files.length - images.length;
    if (skipped) toast(`Skipped ${plural(skipped, "file that is not an image", "files that are not images")}.`);
    if (images.length === 1) return begin(fromBlob(images[0].file, images[0].path));
    if (!images.length) return null;
    batch?.stop();
    batch = new QueryBatch(images.map(({ file, path }) => fromBlob(file, path, null, { held: true })), { filter: filters.value, pagers });
    batchBox.replaceChildren(batch.element);
    return go(batch.queries[0].route);
  }

  function start(query) {
    leave();
    const begun = pagers.get(query.route); // by the batch
    pager = query.batch && begun && !begun.answer && begun.filter === filters.value ? begun : new ResultPager(query, filters.value);
    pagers.set(query.route, pager);
    expanded = false;
    cards = new Map();
    title.textContent = "Searching …";
    under.textContent = "";
    warning.hidden = true;
    how.replaceChildren();
    threshold.update([]);
    matches.replaceChildren();
    similar.replaceChildren();
    lists.hidden = true;
    end.set({ more: false });
    state.replaceChildren(skeletons(12));
    return first(pager);
  }

  /** Stop the search that is shown, unless it is one of a batch. */
  function leave() {
    if (!pager?.query.batch) pager?.stop();
    pager = null;
  }

  async function first(mine) {
    try {
      await mine.load();
      if (mine !== pager) return;
      resetRetries();
      showQuery();
      show();
      announce(title.textContent);
    } catch (problem) {
      if (mine !== pager || problem.name === "AbortError") return;
      pagers.delete(mine.query.route);
      const permanent = problem.isPermanent && !mine.query.url; // what is at a URL may change
      const invalidUrl = mine.query.url && problem.status === 400;
      title.textContent = problem.isRetryable ? "No response" : "Search failed";
      const whole = mine.query.parent ? [button("Back to the whole image", { onclick: () => begin(mine.query.parent) })] : [];
      state.replaceChildren(errorBox(problem, permanent ? null : () => start(mine.query), [...whole, button("New search", { onclick: () => go("#/") })], invalidUrl ? "Invalid address" : null));
    }
  }

  async function more() {
    const mine = pager;
    await mine.next();
    if (mine !== pager) return;
    const before = cards.size;
    arrange();
    announce(`${cards.size - before} more images.`);
    endText();
  }

  /** Show the server's preview, and what is only known of a query that was read. */
  function showQuery() {
    panel.show(pager.query, pager.answer);
  }

  function show() {
    state.replaceChildren();
    how.replaceChildren(searchDetails(pager.answer));
    const failed = Object.entries(pager.answer.failed ?? {});
    warning.hidden = failed.length === 0;
    warning.textContent = failed.map(([pipeline, why]) => `${pipeline} is unavailable, so hits may be missing: ${why}`).join(" ");
    arrange();
    endText();
    const total = Object.values(pager.answer.took_ms ?? {}).reduce((sum, ms) => sum + Number(ms), 0);
    const among = statusNow()?.images;
    under.textContent = `${among ? `${count(among)} images searched` : "Searched"} in ${total < 10 ? `${total.toFixed(1)} ms` : total < 1000 ? `${Math.round(total)} ms` : `${(total / 1000).toFixed(1)} s`}`;
  }

  function endText() {
    const open = expanded || threshold.chosen !== null;
    const text = open && !pager.more && pager.hits.length > 12 ? "End of results." : "";
    end.set({ more: open && pager.more, text });
  }

  /** Place every hit on its side of the threshold; cards are created once and moved. */
  function arrange() {
    if (!pager?.answer) return;
    const hits = pager.hits;
    const sides = [[], []];
    for (const hit of hits) {
      if (!cards.has(hit.key)) cards.set(hit.key, hitCard(hit, { open: compareWith, queryFrames: pager.answer.frames ?? 1, like: (item) => begin(fromKey(item.key)) }));
      sides[threshold.within(hit) ? 0 : 1].push(cards.get(hit.key));
    }
    put(matches, sides[0]);
    matches.hidden = sides[0].length === 0;
    showSimilar(hits, sides[1]);
    none.hidden = sides[0].length > 0 || hits.length === 0;
    none.textContent = noneText();
    lists.hidden = hits.length === 0;
    if (hits.length === 0) showEmpty();
    title.textContent = threshold.chosen === null || hits.length === 0 ? headline(hits, pager.answer) : `${plural(sides[0].length, "image")} within the threshold`;
    threshold.update(hits);
    refresh();
  }

  /** Show the similar images that are clearly nearer than most; the others when asked for. */
  function showSimilar(hits, beyond) {
    const few = expanded ? beyond.length : similarShown(hits.filter((hit) => !threshold.within(hit)));
    const left = beyond.length - few;
    put(similar, beyond.slice(0, few));
    beyondHead.hidden = beyond.length === 0;
    beyondHead.children[1].textContent = expanded ? `${count(beyond.length)}${pager.more ? " so far" : ""}` : left || pager.more ? `the nearest ${count(few)}` : count(few);
    fewer.hidden = !expanded;
    furtherBox.hidden = expanded || !(left || pager.more);
    further.textContent = left ? `Show ${count(left)}${pager.more ? "+" : ""} more, less similar` : "Show more, less similar";
  }

  function expand(on) {
    expanded = on;
    arrange();
    endText();
    if (on) similar.children[0]?.querySelector("[data-main]")?.focus({ preventScroll: true });
  }

  function noneText() {
    if (threshold.chosen !== null) return "No image within the threshold. The nearest ones are below.";
    const why = doubts(pager.answer);
    return why ? `No copy was found, but some may have been missed. ${why}` : "The nearest images were compared pixel by pixel: none of them is a copy. They are below.";
  }

  function showEmpty() {
    const filtered = Object.keys(pager.filter).length > 0;
    const [reason] = Object.values(pager.answer.not_compared ?? {});
    const empty = !reason && !filtered;
    const actions = [filtered && button("Remove the filters", { look: "primary", onclick: () => filters.clear() }), button("Search with another image", { look: reason ? "primary" : "", onclick: () => go("#/") }), h("a.button", { class: empty ? "primary" : "", href: "#/gallery" }, empty ? "Add images" : "Open the gallery")].filter(Boolean);
    const text = reason ? `Nothing was compared: ${reason}.` : filtered ? "No image in the gallery matches the filters." : "The gallery is empty.";
    state.replaceChildren(stateBox({ symbol: "search", title: "No results", text, actions }));
  }

  function compareWith(hit) {
    const order = pager.hits.filter((item) => cards.get(item.key)?.isConnected);
    const shown = [...order.filter(threshold.within), ...order.filter((item) => !threshold.within(item))];
    const originals = statusNow()?.features?.includes("local_files") ?? false;
    const { dialog } = openCompare({
      query: pager.query, hits: shown, at: shown.indexOf(hit), originals,
      like: (item) => begin(fromKey(item.key)),
      more: (item, signal) => lateFacts(item.key, { signal, search: begin, leave: () => dialog.close(""), box: cropOf(item) }),
      focusOf: (item) => cards.get(item.key)?.querySelector("[data-main]"),
    });
  }

  /** The part of a hit that the query shows, where it is a part. */
  function cropOf(hit) {
    const crop = hit.verified && hit.evidence !== "similar" ? hit.verification?.transform?.crop : null;
    return crop && (crop.right - crop.left) * (crop.bottom - crop.top) < 0.97 ? crop : null;
  }

  function open(query) {
    root.replaceChildren(layout);
    panel.show(query);
    batchBox.hidden = !query.batch;
    if (query.batch) {
      batchBox.replaceChildren(query.batch.element);
      query.batch.select(query);
    }
    const old = pagers.get(query.route);
    if (!old?.answer) return start(query);
    pager = old;
    pager.query = query;
    expanded = false;
    showQuery();
    cards = new Map();
    filters.value = pager.filter;
    lists.hidden = false;
    return show();
  }

  return {
    target: { title: "Drop to search", files: searchFiles, url: (text) => begin(fromUrl(text)) },
    show(kind, value) {
      const query = kind && fromRoute(kind, value);
      if (query) {
        scrollTo(0, 0);
        open(query);
        return;
      }
      leave();
      if (kind) go("#/");
      startView.update(statusNow());
      root.replaceChildren(startView.element);
    },
    /** The gallery's status has changed. */
    statusChanged() {
      startView.update(statusNow());
    },
    /** The API key or the tenant has changed. */
    reset() {
      pager?.stop();
      pager = null;
      pagers.clear();
      batch?.stop();
      startView.reset();
    },
  };
}
