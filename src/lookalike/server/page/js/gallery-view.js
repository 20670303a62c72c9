// The gallery: everything there is, adding to it, finding by the beginning of a name or by filter, selecting and deleting.
import { say } from "./announce.js";
import { button, h, icon, isTyping } from "./dom.js";
import { endless } from "./endless.js";
import { filterBar } from "./filters.js";
import { filesOfChoice } from "./folders.js";
import { GalleryList } from "./gallery-list.js";
import { put, rovingGrid } from "./grid.js";
import { chooseFiles } from "./intake.js";
import { fromKey } from "./query.js";
import { removeWithUndo } from "./removal.js";
import { allWell, errorBox, skeletons, stateBox } from "./states.js";
import { openImage, tile } from "./tile.js";
import { uploadPanel } from "./upload-panel.js";
import { count, countImages } from "./words.js";

const BEGINNINGS = "A name begins with its folder, and capitals count: “Alps/IMG_1”.";
const found = (list) => `${count(list.images.length)}${list.more ? "+" : ""} found`;

/** `changed()` is called when images were added or deleted. */
export function galleryView(root, { go, statusNow, mayWrite, changed }) {
  let list = null;
  let tiles = new Map();
  const picked = new Set();
  let lastPicked = null;

  const like = (image) => go(fromKey(image.key).route);
  const uploads = uploadPanel((news) => {
    if (news) changed();
    if (news) start();
  });
  const addFiles = async () => uploads.add(filesOfChoice(await chooseFiles({ multiple: true })));
  const addFolder = async () => uploads.add(filesOfChoice(await chooseFiles({ folder: true })));
  const filters = filterBar(() => start());
  const beginning = h("input.input", { type: "search", name: "beginning", placeholder: "Name begins with …", "aria-label": "Name begins with", autocomplete: "off", autocapitalize: "off", spellcheck: false });
  let typed = null;
  beginning.addEventListener("input", () => {
    clearTimeout(typed);
    typed = setTimeout(() => start(), 250);
  });
  const title = h("h1", { tabIndex: -1 }, "Gallery");
  const note = h("p.small.quiet.numbers");
  const head = h("header.view-head", {}, h("div", {}, title, note), h("div.view-actions.needs-write", {},
    button("Add images", { look: "primary", symbol: "plus", onclick: addFiles }),
    button("Add a folder", { symbol: "folder", onclick: addFolder })));
  const finder = h("div.finder", { role: "search" }, h("div.find-field", {}, icon("search"), beginning), filters.element);
  const pickedWords = h("span.numbers");
  const bar = h("div.pick-bar.needs-write", { hidden: true, role: "toolbar", "aria-label": "What to do with the selected images" }, pickedWords,
    button("All", { look: "little plain", "aria-label": "Select all shown", onclick: () => pickAll() }),
    button("Clear", { look: "little plain", onclick: () => clearPicks() }),
    button("Delete", { look: "little danger", symbol: "trash", onclick: () => remove([...picked]) }));
  const grid = h("ul.tiles", { "aria-label": "Images" });
  const state = h("div");
  const end = endless(more);
  const refresh = rovingGrid(grid);
  root.append(head, uploads.element, finder, bar, state, grid, end.element);

  grid.addEventListener("keydown", (event) => {
    if ((event.key !== "Delete" && event.key !== "Backspace") || isTyping(event.target)) return;
    const key = event.target.closest(".tile")?.dataset.key;
    event.preventDefault();
    if (!mayWrite()) return;
    remove(picked.size ? [...picked] : key === undefined ? [] : [key]);
  });

  async function start() {
    list?.stop();
    const mine = new GalleryList(filters.value, beginning.value);
    list = mine;
    tiles = new Map();
    clearPicks();
    grid.replaceChildren();
    end.set({ more: false });
    state.replaceChildren(skeletons(18, "tiles waiting"));
    try {
      await mine.next();
      if (mine !== list) return;
      allWell();
      draw();
      if (mine.narrowed) say(`${found(mine)}.`);
    } catch (problem) {
      if (mine === list && problem.name !== "AbortError") state.replaceChildren(errorBox(problem, start));
    }
  }

  async function more() {
    const mine = list;
    const before = mine.images.length;
    await mine.next();
    if (mine !== list) return;
    draw();
    say(`${mine.images.length - before} more images.`);
  }

  function draw() {
    const shown = list.images;
    for (const image of shown) if (!tiles.has(image.key)) tiles.set(image.key, tile(image, { open, pick, like }));
    put(grid, shown.map((image) => tiles.get(image.key)));
    finder.hidden = shown.length === 0 && !list.narrowed;
    state.replaceChildren(...(shown.length === 0 && !list.more ? [nothing()] : []));
    end.set({ more: list.more });
    tellTotal();
    refresh();
  }

  function tellTotal() {
    const total = statusNow()?.images;
    if (list?.narrowed) note.textContent = found(list);
    else note.textContent = typeof total === "number" ? countImages(total) : "";
  }

  function nothing() {
    if (list.narrowed) {
      const text = list.prefix === "" ? "No image satisfies the filters." : `No name begins with “${list.prefix}”${Object.keys(list.filter).length ? " and satisfies the filters" : ""}. ${BEGINNINGS}`;
      return stateBox({ symbol: "search", title: "No such image", text, actions: [button("Show all", { look: "primary", onclick: () => {
        beginning.value = "";
        filters.value = {};
        start();
      } })] });
    }
    const text = mayWrite() ? "Drop files or folders here, or choose some. They stay on this server." : "This key may look at images, and not add any.";
    return stateBox({ symbol: "images", title: "No images yet", text, look: "empty", actions: !mayWrite() ? [] : [
      button("Add images", { look: "primary", symbol: "plus", onclick: addFiles }), button("Add a folder", { symbol: "folder", onclick: addFolder })] });
  }

  function open(image) {
    openImage(image, { images: () => list.images, like, remove, chosen: (one) => tiles.get(one.key)?.querySelector("[data-main]") });
  }

  function pick(image, on, range) {
    const keys = list.images.map((one) => one.key);
    const from = range && lastPicked !== null ? keys.indexOf(lastPicked) : -1;
    const to = keys.indexOf(image.key);
    const some = from < 0 ? [image.key] : keys.slice(Math.min(from, to), Math.max(from, to) + 1);
    for (const key of some) mark(key, on);
    lastPicked = image.key;
    showPicks();
  }

  function mark(key, on) {
    if (on) picked.add(key);
    else picked.delete(key);
    const card = tiles.get(key);
    if (!card) return;
    card.classList.toggle("picked", on);
    card.querySelector(".tile-pick").checked = on;
  }

  function pickAll() {
    for (const image of list.images) mark(image.key, true);
    showPicks();
  }

  function clearPicks() {
    for (const key of [...picked]) mark(key, false);
    lastPicked = null;
    showPicks();
  }

  function showPicks() {
    bar.hidden = picked.size === 0;
    grid.classList.toggle("picking", picked.size > 0);
    pickedWords.textContent = `${count(picked.size)} selected`;
  }

  function remove(keys) {
    const gone = new Set(keys);
    const at = list.images.findIndex((image) => gone.has(image.key));
    const show = () => {
      if (list) draw();
    };
    return removeWithUndo(keys, {
      hide: () => {
        clearPicks();
        show();
        const left = list.images[Math.min(at, list.images.length - 1)];
        const next = left && tiles.get(left.key)?.querySelector("[data-main]");
        (next ?? title).focus({ preventScroll: true });
      },
      back: show,
      gone: () => {
        list.found = list.found.filter((image) => !gone.has(image.key));
        changed();
      },
    });
  }

  return {
    target: { title: "Drop to add to the gallery", files: (files) => mayWrite() && uploads.add(files) },
    show() {
      if (!list) start();
      else draw();
      tellTotal();
    },
    statusChanged: tellTotal,
    reset() {
      list?.stop();
      list = null;
    },
  };
}
