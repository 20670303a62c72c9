// The page: its views, which of them is shown, and what they share.
import { status as askStatus } from "./api.js";
import { loadIcons } from "./dom.js";
import { duplicatesView } from "./duplicates-view.js";
import { galleryView } from "./gallery-view.js";
import { initIntake } from "./intake.js";
import { initKeys } from "./keys.js";
import { searchView } from "./search-view.js";
import { initTheme } from "./theme.js";
import { hide as hideTip, initTooltips } from "./tooltip.js";
import { knowPipelines, countImages } from "./words.js";

const TITLES = { search: "Search", gallery: "Gallery", duplicates: "Duplicates" };
const SEARCHES = new Set(["search", "like", "url"]);
const FIRST_MS = 500; // so long the first view waits for the gallery's numbers
let status = null;
let shown = null;

await loadIcons().catch(() => null); // without them the page still works

const shared = { go, mayWrite, statusNow: () => status, changed: () => learn() };
const views = {
  search: searchView(document.getElementById("search"), shared),
  gallery: galleryView(document.getElementById("gallery"), shared),
  duplicates: duplicatesView(document.getElementById("duplicates"), shared),
};

/** Whether the key in use may change anything; the page then shows no way to. */
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
  }
  hideTip();
  if (changes) for (const dialog of document.querySelectorAll("dialog[open]:not(.key-prompt)")) dialog.close("");
  views[view].show(...params);
  document.title = `${TITLES[view]} · Lookalike`;
  if (changes) (document.querySelector(`#${view} h1`) ?? document.getElementById("main")).focus({ preventScroll: true });
}

/** Asks how the gallery stands; the views show the numbers, and work without them. */
async function learn() {
  try {
    status = await askStatus();
  } catch {
    return; // the view that is shown meets the same trouble, and tells it
  }
  knowPipelines(status.pipelines);
  document.documentElement.classList.toggle("read-only", !mayWrite());
  document.getElementById("count").textContent = countImages(status.images);
  for (const view of Object.values(views)) view.statusChanged();
}

initTheme(document.getElementById("theme"));
initTooltips();
initIntake(() => views[shown]?.target ?? null);
initKeys(document.getElementById("settings"), shared.statusNow, () => {
  for (const view of Object.values(views)) view.reset();
  learn().then(route);
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  document.getElementById("main").focus();
});
addEventListener("hashchange", route);
await Promise.race([learn(), new Promise((resolve) => setTimeout(resolve, FIRST_MS))]);
route();
