// Entry point: views, routing and shared state.
import { status as askStatus } from "./api.js";
import { loadIcons } from "./dom.js";
import { duplicatesView } from "./duplicates-view.js";
import { initFileInput } from "./file-input.js";
import { countImages, setPipelines } from "./format.js";
import { galleryView } from "./gallery-view.js";
import { initKeys } from "./keys.js";
import { searchView } from "./search-view.js";
import { initTheme } from "./theme.js";
import { hide as hideTip, initTooltips } from "./tooltip.js";

const TITLES = { search: "Search", gallery: "Gallery", duplicates: "Duplicates" };
const SEARCHES = new Set(["search", "like", "url"]);
const STATUS_TIMEOUT_MS = 500; // the first view waits this long for the gallery's status
let status = null;
let shown = null;

await loadIcons().catch(() => null); // the page works without icons

const shared = { go, mayWrite, statusNow: () => status, changed: () => refreshStatus() };
const views = {
  search: searchView(document.getElementById("search"), shared),
  gallery: galleryView(document.getElementById("gallery"), shared),
  duplicates: duplicatesView(document.getElementById("duplicates"), shared),
};

/** Whether the API key has the write scope; without it, write actions are hidden. */
function mayWrite() {
  return status?.scopes?.includes("write") ?? true;
}

function go(route) {
  location.hash = route;
}

/** "#/like/a%2Fb" is the view "search" with ["like", "a/b"]. */
function parse(hash) {
  const [kind = "", ...rest] = hash.replace(/^#\/?/, "").split("/");
  if (kind === "gallery" || kind === "duplicates") return { view: kind, params: [] };
  if (!SEARCHES.has(kind)) return { view: "search", params: [] };
  try {
    return { view: "search", params: [kind, decodeURIComponent(rest.join("/"))] };
  } catch {
    return { view: "search", params: [] };
  }
}

function route() {
  if (location.hash === "#main") return; // the skip link
  const { view, params } = parse(location.hash);
  const changes = shown !== null;
  if (shown !== view) {
    shown = view;
    for (const name of Object.keys(views)) document.getElementById(name).hidden = name !== view;
    for (const link of document.querySelectorAll(".tabs a")) {
      if (link.dataset.view === view) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    scrollTo(0, 0);
    if (changes) refreshStatus(); // others may have changed the gallery
  }
  hideTip();
  if (changes) for (const dialog of document.querySelectorAll("dialog[open]:not(.key-prompt)")) dialog.close("");
  views[view].show(...params);
  document.title = `${TITLES[view]} · Lookalike`;
  if (changes) (document.querySelector(`#${view} h1`) ?? document.getElementById("main")).focus({ preventScroll: true });
}

/** Fetch the gallery's status; the views work without it. */
async function refreshStatus() {
  try {
    status = await askStatus();
  } catch {
    return; // the current view reports the same error
  }
  setPipelines(status.pipelines);
  document.documentElement.classList.toggle("read-only", !mayWrite());
  document.getElementById("count").textContent = countImages(status.images);
  for (const view of Object.values(views)) view.statusChanged();
}

initTheme(document.getElementById("theme"));
initTooltips();
initFileInput(() => views[shown]?.target ?? null);
initKeys(document.getElementById("settings"), shared.statusNow, () => {
  for (const view of Object.values(views)) view.reset();
  refreshStatus().then(route);
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  document.getElementById("main").focus();
});
addEventListener("hashchange", route);
await Promise.race([refreshStatus(), new Promise((resolve) => setTimeout(resolve, STATUS_TIMEOUT_MS))]);
route();
