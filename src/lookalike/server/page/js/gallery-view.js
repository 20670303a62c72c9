// Gallery view: list, upload, filter by key prefix or attributes, select and remove images.
import { filesOfChoice } from "./directory-upload.js";
import { button, h, icon, isTyping } from "./dom.js";
import { chooseFiles } from "./file-input.js";
import { filterBar } from "./filters.js";
import { count, countImages } from "./format.js";
import { GalleryList } from "./gallery-list.js";
import { put, rovingGrid } from "./grid.js";
import { infiniteScroll } from "./infinite-scroll.js";
import { announce } from "./live-region.js";
import { errorBox, resetRetries, skeletons, stateBox } from "./placeholders.js";
import { fromKey } from "./query.js";
import { openImage, tile } from "./tile.js";
import { deleteWithUndo } from "./undo-delete.js";
import { uploadPanel } from "./upload-panel.js";

const REFRESH_MS = 2500; // the list is fetched again so often while images are being added
const ORDERS = [["key", "Name"], ["-exif.captured", "Taken, newest first"], ["exif.captured", "Taken, oldest first"], ["-file.added", "Added, newest first"], ["file.added", "Added, oldest first"], ["-file.bytes", "Largest file first"], ["file.bytes", "Smallest file first"], ["file.folder", "Folder"], ["file.name", "File name"], ["file.format", "Format"], ["exif.camera", "Camera"]];
const found = (list) => `${count(list.images.length)}${list.more ? "+" : ""} found`;

/** `changed()` is called after images were added or removed. */
export function galleryView(root, { go, statusNow, mayWrite, changed }) {
  let list = null;
  let tiles = new Map();
  const selected = new Set();
  let lastSelected = null;

  const like = (image) => go(fromKey(image.key).route);
  let refreshed = 0;
  const uploads = uploadPanel({
    finished: (added) => {
      if (added) changed();
      if (added) showAdded();
    },
    progressed: () => {
      if (Date.now() - refreshed < REFRESH_MS) return;
      refreshed = Date.now();
      changed();
      showAdded();
    },
  });
  const addFiles = async () => uploads.add(filesOfChoice(await chooseFiles({ multiple: true })));
  const addFolder = async () => uploads.add(filesOfChoice(await chooseFiles({ folder: true })));
  const filters = filterBar(() => start());
  const words = h("input.input", { type: "search", name: "contains", placeholder: "Name or folder …", "aria-label": "Part of a name or folder", autocomplete: "off", autocapitalize: "off", spellcheck: false });
  let typed = null;
  words.addEventListener("input", () => {
    clearTimeout(typed);
    typed = setTimeout(() => start(), 250);
  });
  const order = h("select.input.little", { "aria-label": "Sort by", name: "sort", onchange: () => start() }, ORDERS.map(([id, label]) => h("option", { value: id }, label)));
  const title = h("h1", { tabIndex: -1 }, "Gallery");
  const note = h("p.small.quiet.numbers");
  const head = h("header.view-head", {}, h("div", {}, title, note), h("div.view-actions.needs-write", {},
    button("Add images", { look: "primary", symbol: "plus", onclick: addFiles }),
    button("Add a folder", { symbol: "folder", onclick: addFolder })));
  const finder = h("div.finder", { role: "search" }, h("div.find-field", {}, icon("search"), words), h("label.sort.small.quiet", {}, "Sort by ", order), filters.element);
  const selectionCount = h("span.numbers");
  const bar = h("div.pick-bar.needs-write", { hidden: true, role: "toolbar", "aria-label": "Actions on the selected images" }, selectionCount,
    button("All", { look: "little plain", "aria-label": "Select all shown", onclick: () => selectAll() }),
    button("Clear", { look: "little plain", onclick: () => clearSelection() }),
    button("Remove", { look: "little danger", symbol: "trash", "aria-label": "Remove from gallery", onclick: () => remove([...selected]) }));
  const grid = h("ul.tiles", { "aria-label": "Images" });
  const state = h("div");
  const end = infiniteScroll(more);
  const refresh = rovingGrid(grid);
  root.append(head, uploads.element, finder, bar, state, grid, end.element);

  grid.addEventListener("keydown", (event) => {
    if ((event.key !== "Delete" && event.key !== "Backspace") || isTyping(event.target)) return;
    const key = event.target.closest(".tile")?.dataset.key;
    event.preventDefault();
    if (!mayWrite()) return;
    remove(selected.size ? [...selected] : key === undefined ? [] : [key]);
  });

  async function start() {
    list?.stop();
    const mine = new GalleryList(filters.value, words.value.trim(), order.value);
    list = mine;
    tiles = new Map();
    clearSelection();
    grid.replaceChildren();
    end.set({ more: false });
    state.replaceChildren(skeletons(18, "tiles waiting"));
    try {
      await mine.next();
      if (mine !== list) return;
      resetRetries();
      draw();
      if (mine.isFiltered) announce(`${found(mine)}.`);
    } catch (problem) {
      if (mine === list && problem.name !== "AbortError") state.replaceChildren(errorBox(problem, start));
    }
  }

  /** Show images that were added, without losing the place in the list. */
  async function showAdded() {
    const mine = list;
    if (!mine || root.hidden || state.querySelector(".error")) return start();
    try {
      const any = await mine.refresh();
      if (mine === list && any) draw();
    } catch {
      // shown again when the uploads end; an error of the server is shown by them
    }
    return null;
  }

  async function more() {
    const mine = list;
    const before = mine.images.length;
    await mine.next();
    if (mine !== list) return;
    draw();
    announce(`${mine.images.length - before} more images.`);
  }

  function draw() {
    const shown = list.images;
    for (const image of shown) if (!tiles.has(image.key)) tiles.set(image.key, tile(image, { open, pick, like }));
    put(grid, shown.map((image) => tiles.get(image.key)));
    finder.hidden = shown.length === 0 && !list.isFiltered;
    state.replaceChildren(...(shown.length === 0 && !list.more ? [nothing()] : []));
    end.set({ more: list.more });
    showTotal();
    refresh();
  }

  function showTotal() {
    const total = statusNow()?.images;
    if (list?.isFiltered) note.textContent = found(list);
    else note.textContent = typeof total === "number" ? countImages(total) : "";
  }

  function nothing() {
    if (list.isFiltered) {
      const text = list.contains === "" ? "No image matches the filters." : `No name or folder contains “${list.contains}”${Object.keys(list.filter).length ? ", and matches the filters" : ""}.`;
      return stateBox({ symbol: "search", title: "No images found", text, actions: [button("Show all", { look: "primary", onclick: () => {
        words.value = "";
        filters.value = {};
        start();
      } })] });
    }
    const text = mayWrite() ? "Drop files or folders here, or choose some. They stay on this server." : "This API key is read-only.";
    return stateBox({ symbol: "images", title: "No images yet", text, look: "empty", actions: !mayWrite() ? [] : [
      button("Add images", { look: "primary", symbol: "plus", onclick: addFiles }), button("Add a folder", { symbol: "folder", onclick: addFolder })] });
  }

  function open(image) {
    openImage(image, {
      images: () => list.images, like, remove,
      search: (query) => go(query.route),
      total: () => (list.isFiltered || !list.more ? null : (statusNow()?.images ?? null)),
      loadMore: () => (list.more ? more() : null),
      focusOf: (item) => tiles.get(item.key)?.querySelector("[data-main]"),
    });
  }

  function pick(image, on, range) {
    const keys = list.images.map((item) => item.key);
    const from = range && lastSelected !== null ? keys.indexOf(lastSelected) : -1;
    const to = keys.indexOf(image.key);
    const rangeKeys = from < 0 ? [image.key] : keys.slice(Math.min(from, to), Math.max(from, to) + 1);
    for (const key of rangeKeys) mark(key, on);
    lastSelected = image.key;
    showSelection();
  }

  function mark(key, on) {
    if (on) selected.add(key);
    else selected.delete(key);
    const card = tiles.get(key);
    if (!card) return;
    card.classList.toggle("picked", on);
    card.querySelector(".tile-pick").checked = on;
  }

  function selectAll() {
    for (const image of list.images) mark(image.key, true);
    showSelection();
  }

  function clearSelection() {
    for (const key of [...selected]) mark(key, false);
    lastSelected = null;
    showSelection();
  }

  function showSelection() {
    bar.hidden = selected.size === 0;
    grid.classList.toggle("picking", selected.size > 0);
    selectionCount.textContent = `${count(selected.size)} selected`;
  }

  function remove(keys) {
    const removed = new Set(keys);
    const at = list.images.findIndex((image) => removed.has(image.key));
    const show = () => {
      if (list) draw();
    };
    return deleteWithUndo(keys, {
      hide: () => {
        clearSelection();
        show();
        const neighbor = list.images[Math.min(at, list.images.length - 1)];
        const next = neighbor && tiles.get(neighbor.key)?.querySelector("[data-main]");
        (next ?? title).focus({ preventScroll: true });
      },
      back: show,
      gone: () => {
        list.found = list.found.filter((image) => !removed.has(image.key));
        changed();
      },
    });
  }

  return {
    target: { title: "Drop to add to the gallery", files: (files) => mayWrite() && uploads.add(files) },
    show() {
      if (!list) start();
      else {
        draw();
        showAdded();
      }
      showTotal();
    },
    statusChanged: showTotal,
    reset() {
      list?.stop();
      list = null;
    },
  };
}
