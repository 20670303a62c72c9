// The stage on which two images are compared: swipe, side by side or difference, with one zoom and pan for both.
import { alignOn } from "./align.js";
import { LARGE } from "./api.js";
import { button, h, icon, iconButton } from "./dom.js";
import { splitKey, spokenSize } from "./format.js";
import { announce } from "./live-region.js";
import { queryImage, shownOriginal } from "./query.js";
import { thumbnail } from "./thumbnail.js";

const MAX_ZOOM = 32;
const STEP = 1.5;
const PAN_STEP = 60; // pixels of an arrow key
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** The width at which an image is shown when it is fitted into its box. */
function fittedWidth(img, ratio) {
  const style = getComputedStyle(img);
  const padding = parseFloat(style.paddingLeft) || 0;
  return Math.min(img.clientWidth - 2 * padding, (img.clientHeight - 2 * padding) * ratio) || 1;
}

/** Replace a preview by the original file; resolves to whether the browser shows it. */
async function showOriginal(img, key, urls, signal) {
  const preview = img.src;
  const url = URL.createObjectURL(await shownOriginal(key, { signal }));
  urls.push(url);
  return new Promise((resolve) => {
    img.addEventListener("load", () => resolve(true), { once: true });
    img.addEventListener("error", () => {
      img.src = preview;
      resolve(false);
    }, { once: true });
    img.src = url;
  });
}

/** The stage of a query and a hit; `size` is the query's, where it is known; `originals`: the server serves files. */
export function stageOf({ query, hit, labels, size = null, originals = false }) {
  const yoursImage = queryImage(query, labels[0]);
  const foundImage = thumbnail(hit.thumbnail, { size: LARGE, alt: `${labels[1]}: ${splitKey(hit.key).name}, ${spokenSize(hit)}`, eager: true, of: hit });
  const yours = h("div.stage-yours", {}, h("div.stage-pan", {}, yoursImage), h("span.stage-label", {}, labels[0]));
  const found = h("div.stage-found", {}, h("div.stage-pan", {}, foundImage), h("span.stage-label.right", {}, labels[1]));
  const range = h("input.stage-range", { type: "range", min: "0", max: "100", value: "50", "aria-label": "How much of your image is shown" });
  const grip = h("span.stage-grip", {}, icon("compare"));
  const stage = h("div.stage", {}, found, yours, h("span.stage-line", { "aria-hidden": "true" }, grip), range);
  const control = new AbortController();
  const urls = [];
  const view = { zoom: 1, x: 0, y: 0 };
  let stopAligning = () => {};
  let requested = false;
  const note = h("span.small.quiet");
  const full = button("100%", { look: "little", "aria-pressed": "false", "data-tip": "One pixel of the image is one pixel of the screen", onclick: () => toggle() });
  const percent = h("span.small.numbers.stage-percent");
  const tools = h("div.stage-zoom", { role: "group", "aria-label": "Zoom" }, iconButton("Zoom out", "minus", { look: "little", onclick: () => zoomTo(view.zoom / STEP) }), full, iconButton("Zoom in", "plus", { look: "little", onclick: () => zoomTo(view.zoom * STEP) }), percent, note);

  const wipe = () => {
    stage.style.setProperty("--at", `${range.value}%`);
    range.setAttribute("aria-valuetext", `${range.value} percent`);
  };
  range.addEventListener("input", wipe);
  wipe();

  /** The zoom at which a pixel of the query image is a pixel of the screen. */
  function fullZoom() {
    if (yoursImage.tagName !== "IMG" || !yoursImage.naturalWidth) return 1;
    const width = Math.max(yoursImage.naturalWidth, size?.width ?? 0);
    const shown = fittedWidth(yoursImage, yoursImage.naturalWidth / yoursImage.naturalHeight);
    return clamp(width / shown / devicePixelRatio, 0.1, MAX_ZOOM);
  }
  function place() {
    const box = yours.getBoundingClientRect();
    const within = (at, side) => (view.zoom < 1 ? (side * (1 - view.zoom)) / 2 : clamp(at, side * (1 - view.zoom), 0));
    view.x = within(view.x, box.width);
    view.y = within(view.y, box.height);
    for (const [name, value] of [["--zoom", view.zoom], ["--pan-x", `${view.x}px`], ["--pan-y", `${view.y}px`]]) stage.style.setProperty(name, String(value));
    const zoomed = view.zoom !== 1;
    stage.classList.toggle("zoomed", zoomed);
    stage.classList.toggle("movable", view.zoom > 1);
    const share = Math.round((100 * view.zoom) / fullZoom());
    full.setAttribute("aria-pressed", String(zoomed && share === 100));
    full.classList.toggle("on", zoomed && share === 100);
    percent.textContent = zoomed ? `${share}%` : "";
    if (zoomed && !requested) loadOriginals();
  }
  /** Zoom about a point of the box of one image, by default its middle. */
  function zoomTo(zoom, point = null) {
    const box = yours.getBoundingClientRect();
    const at = point ?? { x: box.width / 2, y: box.height / 2 };
    const next = clamp(zoom, Math.min(1, fullZoom()), MAX_ZOOM);
    view.x = at.x - ((at.x - view.x) * next) / view.zoom;
    view.y = at.y - ((at.y - view.y) * next) / view.zoom;
    view.zoom = next;
    place();
  }
  function toggle(point = null) {
    const target = view.zoom === 1 ? fullZoom() : 1;
    if (target === 1 && view.zoom === 1) announce("The image is shown at its full size already.");
    zoomTo(target, point);
  }
  async function loadOriginals() {
    requested = true;
    const wanted = [[yoursImage, query.key], [foundImage, hit.key]].filter(([img, key]) => key && img.tagName === "IMG");
    if (!originals) {
      note.textContent = wanted.length ? "Enlarged previews: this server does not serve the original files." : "";
      return;
    }
    note.textContent = "Loading the original files …";
    const results = await Promise.all(wanted.map(([img, key]) => showOriginal(img, key, urls, control.signal).catch(() => false)));
    if (control.signal.aborted) return;
    const isReduced = wanted.some(([img], at) => !results[at] && Math.max(img.naturalWidth, img.naturalHeight) >= LARGE);
    note.textContent = isReduced ? "Enlarged preview: an original is not available." : "";
    place();
  }

  const pointOf = (event) => {
    const box = (event.target.closest(".stage-found, .stage-yours") ?? yours).getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoomTo(view.zoom * (event.deltaY < 0 ? STEP : 1 / STEP), pointOf(event));
  }, { passive: false });
  stage.addEventListener("dblclick", (event) => toggle(pointOf(event)));
  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || view.zoom <= 1) return;
    const wiping = grip.contains(event.target);
    const from = { px: event.clientX, py: event.clientY, x: view.x, y: view.y };
    stage.setPointerCapture(event.pointerId);
    const move = (moved) => {
      if (wiping) {
        const box = stage.getBoundingClientRect();
        range.value = String(clamp(Math.round((100 * (moved.clientX - box.left)) / box.width), 0, 100));
        wipe();
        return;
      }
      view.x = from.x + moved.clientX - from.px;
      view.y = from.y + moved.clientY - from.py;
      place();
    };
    stage.addEventListener("pointermove", move);
    for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, () => stage.removeEventListener("pointermove", move), { once: true });
  });

  return {
    element: stage,
    tools,
    focus: () => range.focus(),
    /** Lay the found image over the query by the alignment of a comparison. */
    align: (transform) => {
      stopAligning();
      stopAligning = alignOn(stage, transform);
    },
    fit: () => zoomTo(1),
    /** Whether a key press was for the stage. */
    key(event) {
      const way = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
      if (event.key === "z" || event.key === "Z") toggle();
      else if (event.key === "+" || event.key === "=") zoomTo(view.zoom * STEP);
      else if (event.key === "-") zoomTo(view.zoom / STEP);
      else if (way && event.shiftKey && view.zoom > 1) {
        view.x += way[0] * PAN_STEP;
        view.y += way[1] * PAN_STEP;
        place();
      } else return false;
      event.preventDefault();
      return true;
    },
    stop() {
      control.abort();
      stopAligning();
      for (const url of urls) URL.revokeObjectURL(url);
    },
  };
}
