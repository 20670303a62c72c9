// The search: the beginning, then the image on one side and what was found on the other.
import { say } from "./announce.js";
import { openCompare } from "./compare.js";
import { button, h } from "./dom.js";
import { endless } from "./endless.js";
import { filterBar } from "./filters.js";
import { put, rovingGrid } from "./grid.js";
import { hero } from "./hero.js";
import { hitCard } from "./hit.js";
import { howFound, queryPanel } from "./query-panel.js";
import { fromBlob, fromKey, fromRoute, fromUrl, showFetched } from "./query.js";
import { SearchRun } from "./search-run.js";
import { allWell, errorBox, skeletons, stateBox } from "./states.js";
import { thresholdControl } from "./threshold.js";
import { count, plural } from "./words.js";

/** `go(route)` changes the address; `statusNow()` gives the last known status of the gallery. */
export function searchView(root, { go, statusNow }) {
  let run = null;
  let cards = new Map();
  let beyondShown = true;
  const runs = new Map();
  const begin = (query) => {
    runs.delete(query.route);
    if (location.hash === query.route) open(query);
    else go(query.route);
  };
  const beginning = hero(begin);
  const panel = queryPanel(begin);
  const threshold = thresholdControl(() => arrange());
  const filters = filterBar(() => start(run.query));
  const how = h("div.how-box");
  const title = h("h1.found-title", { tabIndex: -1 });
  const under = h("p.quiet.small.numbers");
  const warning = h("p.notice", { hidden: true });
  const matches = h("ul.hits.matches", { "aria-label": "Matches" });
  const similar = h("ul.hits.beyond", { "aria-label": "Similar, beyond the threshold" });
  const toggle = button("Hide", { look: "little plain", "aria-expanded": "true", onclick: () => {
    beyondShown = !beyondShown;
    arrange();
  } });
  const none = h("p.none-within.quiet", { hidden: true }, "No match within the threshold. The nearest images are below.");
  const beyondHead = h("div.beyond-head", {}, h("h2", {}, "Similar"), h("span.small.quiet.numbers"), toggle);
  const lists = h("div.found-lists", {}, none, matches, beyondHead, similar);
  const state = h("div.found-state");
  const end = endless(more);
  const side = h("aside.search-side", { "aria-label": "Your image and the settings of the search" }, panel.element, h("div.search-settings", {}, threshold.element, filters.element, how));
  const layout = h("div.search-layout", {}, side, h("div.found", {}, h("header.found-head", {}, title, under), warning, state, lists, end.element));
  const refresh = rovingGrid(lists);

  function start(query) {
    run?.stop();
    run = new SearchRun(query, filters.value);
    runs.set(query.route, run);
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
    return first(run);
  }

  async function first(mine) {
    try {
      await mine.next();
      if (mine !== run) return;
      allWell();
      showQuery();
      show();
      say(title.textContent);
    } catch (problem) {
      if (mine !== run || problem.name === "AbortError") return;
      const refused = Boolean(problem.reason) && !mine.query.url; // the same bytes would be refused again
      title.textContent = problem.passing ? "No answer" : "Not searched";
      const whole = mine.query.parent ? [button("Back to the whole image", { onclick: () => begin(mine.query.parent) })] : [];
      state.replaceChildren(errorBox(problem, refused ? null : () => start(mine.query), [...whole, button("New search", { onclick: () => go("#/") })]));
    }
  }

  async function more() {
    const mine = run;
    await mine.next();
    if (mine !== run) return;
    const before = cards.size;
    arrange();
    say(`${cards.size - before} more images.`);
    endText();
  }

  /** The image as the answer has it: one from the web has come with it. */
  function showQuery() {
    if (!run.answer.preview) return;
    showFetched(run.query, run.answer.preview);
    panel.show(run.query);
  }

  function show() {
    state.replaceChildren();
    how.replaceChildren(howFound(run.answer));
    const failed = Object.entries(run.answer.failed ?? {});
    warning.hidden = failed.length === 0;
    warning.textContent = failed.map(([pipeline, why]) => `${pipeline} could not be asked, so hits may be missing: ${why}`).join(" ");
    arrange();
    endText();
    const total = Object.values(run.answer.took_ms ?? {}).reduce((sum, ms) => sum + Number(ms), 0);
    const among = statusNow()?.images;
    under.textContent = `${among ? `${count(among)} images searched` : "Searched"} in ${total < 10 ? total.toFixed(1) : Math.round(total)} ms`;
  }

  function endText() {
    const text = !run.more && run.hits.length > 12 ? "That was everything." : "";
    end.set({ more: run.more, text });
  }

  /** Puts every hit on its side of the threshold; cards are made once and moved. */
  function arrange() {
    if (!run?.answer) return;
    const hits = run.hits;
    const sides = [[], []];
    for (const hit of hits) {
      if (!cards.has(hit.key)) cards.set(hit.key, hitCard(hit, { open: compareWith, like: (one) => begin(fromKey(one.key)) }));
      sides[threshold.within(hit) ? 0 : 1].push(cards.get(hit.key));
    }
    put(matches, sides[0]);
    put(similar, beyondShown ? sides[1] : []);
    matches.hidden = sides[0].length === 0;
    beyondHead.hidden = sides[1].length === 0;
    beyondHead.children[1].textContent = `${count(sides[1].length)}${run.more ? " so far" : ""}, beyond the threshold`;
    toggle.textContent = beyondShown ? "Hide" : "Show";
    toggle.setAttribute("aria-expanded", String(beyondShown));
    none.hidden = sides[0].length > 0 || hits.length === 0;
    lists.hidden = hits.length === 0;
    if (hits.length === 0) nothing();
    title.textContent = headline(hits, sides[0].length);
    threshold.update(hits);
    refresh();
  }

  function headline(hits, within) {
    if (hits.length === 0) return "Nothing found";
    if (threshold.chosen !== null) return `${plural(within, "image")} within the threshold`;
    const exact = hits.filter((hit) => hit.evidence === "exact").length;
    const copies = hits.filter((hit) => hit.evidence === "copy").length;
    const parts = [exact && (exact === 1 ? "the same image" : `${count(exact)} times the same image`), copies && plural(copies, "copy", "copies")].filter(Boolean);
    return parts.length ? `Found: ${parts.join(" and ")}` : "No copy, but these look like it";
  }

  function nothing() {
    const filtered = Object.keys(run.filter).length > 0;
    const actions = [filtered && button("Remove the filters", { look: "primary", onclick: () => filters.clear() }), h("a.button", { href: "#/gallery" }, "Look at the gallery")].filter(Boolean);
    const text = filtered ? "No image in the gallery satisfies the filters." : "The gallery has nothing to compare with yet, or the image is all one colour.";
    state.replaceChildren(stateBox({ symbol: "search", title: "Nothing looks like it", text, actions }));
  }

  function compareWith(hit) {
    const order = run.hits.filter((one) => cards.get(one.key)?.isConnected);
    const shown = [...order.filter(threshold.within), ...order.filter((one) => !threshold.within(one))];
    openCompare({ query: run.query, hits: shown, at: shown.indexOf(hit), like: (one) => begin(fromKey(one.key)), chosen: (one) => cards.get(one.key)?.querySelector("[data-main]") });
  }

  function open(query) {
    root.replaceChildren(layout);
    panel.show(query);
    const old = runs.get(query.route);
    if (!old?.answer) return start(query);
    run = old;
    run.query = query;
    showQuery();
    cards = new Map();
    filters.value = run.filter;
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
      run?.stop();
      run = null;
      if (kind) go("#/");
      beginning.know(statusNow());
      root.replaceChildren(beginning.element);
    },
    /** The gallery's status has become known or has changed. */
    statusChanged() {
      beginning.know(statusNow());
    },
    /** Another key or tenant is used from now on. */
    reset() {
      run?.stop();
      run = null;
      runs.clear();
      beginning.forget();
    },
  };
}
