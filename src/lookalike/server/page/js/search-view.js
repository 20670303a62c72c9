// Search view: the start view, then the query image beside the results.
import { openCompare } from "./compare.js";
import { button, h } from "./dom.js";
import { dropZone } from "./drop-zone.js";
import { filterBar } from "./filters.js";
import { count, plural } from "./format.js";
import { put, rovingGrid } from "./grid.js";
import { hitCard } from "./hit.js";
import { infiniteScroll } from "./infinite-scroll.js";
import { announce } from "./live-region.js";
import { errorBox, resetRetries, skeletons, stateBox } from "./placeholders.js";
import { fromBlob, fromKey, fromRoute, fromUrl, showFetched } from "./query.js";
import { queryPanel, searchDetails } from "./query-panel.js";
import { ResultPager } from "./result-pager.js";
import { thresholdControl } from "./threshold.js";

/** `go(route)` navigates; `statusNow()` returns the last known status of the gallery. */
export function searchView(root, { go, statusNow }) {
  let pager = null;
  let cards = new Map();
  let similarShown = true;
  const pagers = new Map();
  const begin = (query) => {
    pagers.delete(query.route);
    if (location.hash === query.route) open(query);
    else go(query.route);
  };
  const startView = dropZone(begin);
  const panel = queryPanel(begin);
  const threshold = thresholdControl(() => arrange());
  const filters = filterBar(() => start(pager.query));
  const how = h("div.how-box");
  const title = h("h1.found-title", { tabIndex: -1 });
  const under = h("p.quiet.small.numbers");
  const warning = h("p.notice", { hidden: true });
  const matches = h("ul.hits.matches", { "aria-label": "Matches" });
  const similar = h("ul.hits.beyond", { "aria-label": "Similar, above the threshold" });
  const toggle = button("Hide", { look: "little plain", "aria-expanded": "true", onclick: () => {
    similarShown = !similarShown;
    arrange();
  } });
  const none = h("p.none-within.quiet", { hidden: true }, "No match within the threshold. The nearest images are shown below.");
  const beyondHead = h("div.beyond-head", {}, h("h2", {}, "Similar"), h("span.small.quiet.numbers"), toggle);
  const lists = h("div.found-lists", {}, none, matches, beyondHead, similar);
  const state = h("div.found-state");
  const end = infiniteScroll(more);
  const side = h("aside.search-side", { "aria-label": "Query image and search settings" }, panel.element, h("div.search-settings", {}, threshold.element, filters.element, how));
  const layout = h("div.search-layout", {}, side, h("div.found", {}, h("header.found-head", {}, title, under), warning, state, lists, end.element));
  const refresh = rovingGrid(lists);

  function start(query) {
    pager?.stop();
    pager = new ResultPager(query, filters.value);
    pagers.set(query.route, pager);
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

  async function first(mine) {
    try {
      await mine.next();
      if (mine !== pager) return;
      resetRetries();
      showQuery();
      show();
      announce(title.textContent);
    } catch (problem) {
      if (mine !== pager || problem.name === "AbortError") return;
      const permanent = Boolean(problem.reason) && !mine.query.url; // the same bytes would be rejected again
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

  /** Show the preview that came with the response to a query by URL. */
  function showQuery() {
    if (!pager.answer.preview) return;
    showFetched(pager.query, pager.answer.preview);
    panel.show(pager.query);
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
    under.textContent = `${among ? `${count(among)} images searched` : "Searched"} in ${total < 10 ? total.toFixed(1) : Math.round(total)} ms`;
  }

  function endText() {
    const text = !pager.more && pager.hits.length > 12 ? "End of results." : "";
    end.set({ more: pager.more, text });
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
    put(similar, similarShown ? sides[1] : []);
    matches.hidden = sides[0].length === 0;
    beyondHead.hidden = sides[1].length === 0;
    beyondHead.children[1].textContent = `${count(sides[1].length)}${pager.more ? " so far" : ""}, above the threshold`;
    toggle.textContent = similarShown ? "Hide" : "Show";
    toggle.setAttribute("aria-expanded", String(similarShown));
    none.hidden = sides[0].length > 0 || hits.length === 0;
    lists.hidden = hits.length === 0;
    if (hits.length === 0) showEmpty();
    title.textContent = headline(hits, sides[0].length);
    threshold.update(hits);
    refresh();
  }

  function headline(hits, within) {
    if (hits.length === 0) return "No results";
    if (threshold.chosen !== null) return `${plural(within, "image")} within the threshold`;
    const exact = hits.filter((hit) => hit.evidence === "exact").length;
    const copies = hits.filter((hit) => hit.evidence === "copy").length;
    const sure = hits.filter((hit) => hit.evidence === "copy" && hit.verified).length;
    const variants = hits.filter((hit) => hit.evidence === "variant").length;
    const parts = [
      exact && (exact === 1 ? "the same image" : `${count(exact)} identical images`),
      sure && plural(sure, "copy", "copies"),
      copies > sure && plural(copies - sure, "probable copy", "probable copies"),
      variants && plural(variants, "variant"),
    ].filter(Boolean);
    const last = parts.pop();
    if (!last) return "No copies; similar images";
    return `Found: ${parts.length ? `${parts.join(", ")} and ` : ""}${last}`;
  }

  function showEmpty() {
    const filtered = Object.keys(pager.filter).length > 0;
    const actions = [filtered && button("Remove the filters", { look: "primary", onclick: () => filters.clear() }), h("a.button", { href: "#/gallery" }, "Open the gallery")].filter(Boolean);
    const [reason] = Object.values(pager.answer.not_compared ?? {});
    const text = reason ? `Nothing was compared: ${reason}.` : filtered ? "No image in the gallery matches the filters." : "The gallery is empty.";
    state.replaceChildren(stateBox({ symbol: "search", title: "No results", text, actions }));
  }

  function compareWith(hit) {
    const order = pager.hits.filter((item) => cards.get(item.key)?.isConnected);
    const shown = [...order.filter(threshold.within), ...order.filter((item) => !threshold.within(item))];
    openCompare({ query: pager.query, hits: shown, at: shown.indexOf(hit), like: (item) => begin(fromKey(item.key)), focusOf: (item) => cards.get(item.key)?.querySelector("[data-main]") });
  }

  function open(query) {
    root.replaceChildren(layout);
    panel.show(query);
    const old = pagers.get(query.route);
    if (!old?.answer) return start(query);
    pager = old;
    pager.query = query;
    showQuery();
    cards = new Map();
    filters.value = pager.filter;
    lists.hidden = false;
    return show();
  }

  return {
    target: { title: "Drop to search", files: ([{ file, path }]) => begin(fromBlob(file, path)), url: (text) => begin(fromUrl(text)) },
    show(kind, value) {
      const query = kind && fromRoute(kind, value);
      if (query) {
        scrollTo(0, 0);
        open(query);
        return;
      }
      pager?.stop();
      pager = null;
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
      startView.reset();
    },
  };
}
