// Crop dialog: a frame that is drawn, moved and resized by pointer or arrow keys.
import { openDialog } from "./dialog.js";
import { button, eachFrame, h } from "./dom.js";
import { announce } from "./live-region.js";

const MIN_SIDE = 16;
const MAX_SIDE = 4096;
const HANDLES = ["nw", "n", "ne", "e", "se", "s", "sw", "w"];
const MIDDLE = { left: 0.15, top: 0.15, right: 0.85, bottom: 0.85 };
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** A frame `{x, y, w, h}` in image pixels, kept inside the image. */
class Frame {
  constructor(width, height, box) {
    Object.assign(this, { width, height });
    this.least = Math.min(MIN_SIDE, width, height);
    const { left, top, right, bottom } = box ?? MIDDLE;
    this.set(width * left, height * top, width * (right - left), height * (bottom - top));
  }

  set(x, y, w, hh) {
    this.w = clamp(w, this.least, this.width);
    this.h = clamp(hh, this.least, this.height);
    this.x = clamp(x, 0, this.width - this.w);
    this.y = clamp(y, 0, this.height - this.h);
  }

  /** Set the frame by two corners. */
  span(ax, ay, bx, by) {
    const [left, right] = [ax, bx].map((v) => clamp(v, 0, this.width)).sort((a, b) => a - b);
    const [top, bottom] = [ay, by].map((v) => clamp(v, 0, this.height)).sort((a, b) => a - b);
    this.set(left, top, right - left, bottom - top);
  }

  /** Move one side or corner by (dx, dy). */
  pull(handle, from, dx, dy) {
    const left = from.x + (handle.includes("w") ? dx : 0);
    const right = from.x + from.w + (handle.includes("e") ? dx : 0);
    const top = from.y + (handle.includes("n") ? dy : 0);
    const bottom = from.y + from.h + (handle.includes("s") ? dy : 0);
    this.span(left, top, right, bottom);
  }

  get description() {
    return `${Math.round(this.w)} by ${Math.round(this.h)} pixels, from ${Math.round(this.x)}, ${Math.round(this.y)}`;
  }
}

function draw(stage, box, size, frame) {
  for (const [name, value] of [["--x", frame.x / frame.width], ["--y", frame.y / frame.height], ["--w", frame.w / frame.width], ["--h", frame.h / frame.height]]) {
    stage.style.setProperty(name, String(value));
  }
  size.textContent = `${Math.round(frame.w)} × ${Math.round(frame.h)}`;
  box.setAttribute("aria-valuetext", frame.description);
}

function byPointer(stage, frame, redraw) {
  const at = (event) => {
    const area = stage.getBoundingClientRect();
    return [((event.clientX - area.left) / area.width) * frame.width, ((event.clientY - area.top) / area.height) * frame.height];
  };
  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const [startX, startY] = at(event);
    const from = { x: frame.x, y: frame.y, w: frame.w, h: frame.h };
    const handle = event.target.dataset.handle;
    const inside = event.target.closest(".crop-box");
    stage.setPointerCapture(event.pointerId);
    const move = (moved) => {
      const [x, y] = at(moved);
      if (handle) frame.pull(handle, from, x - startX, y - startY);
      else if (inside) frame.set(from.x + x - startX, from.y + y - startY, from.w, from.h);
      else if (Math.hypot(x - startX, y - startY) > frame.least / 2) frame.span(startX, startY, x, y);
      redraw();
    };
    const end = () => {
      stage.removeEventListener("pointermove", move);
      announce(frame.description);
    };
    stage.addEventListener("pointermove", move);
    stage.addEventListener("pointerup", end, { once: true });
    stage.addEventListener("pointercancel", end, { once: true });
  });
}

function byKeys(box, frame, redraw) {
  const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  box.addEventListener("keydown", (event) => {
    const way = ways[event.key];
    if (!way) return;
    event.preventDefault();
    const step = (event.altKey ? 0.002 : 0.02) * Math.max(frame.width, frame.height);
    const [dx, dy] = way.map((v) => v * step);
    if (event.shiftKey) frame.set(frame.x, frame.y, clamp(frame.w + dx, frame.least, frame.width - frame.x), clamp(frame.h + dy, frame.least, frame.height - frame.y));
    else frame.set(frame.x + dx, frame.y + dy, frame.w, frame.h);
    redraw();
  });
}

function cut(bitmap, frame) {
  const shrink = Math.min(1, MAX_SIDE / Math.max(frame.w, frame.h));
  const canvas = h("canvas", { width: Math.max(1, Math.round(frame.w * shrink)), height: Math.max(1, Math.round(frame.h * shrink)) });
  canvas.getContext("2d").drawImage(bitmap, frame.x, frame.y, frame.w, frame.h, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png")); // lossless, so that it is not recompressed
}

/** Resolves to the cropped image as a Blob, or null; `first` is the frame drawn first, in shares of the image. */
export function cropDialog(bitmap, first = null) {
  const frame = new Frame(bitmap.width, bitmap.height, first);
  const canvas = h("canvas.crop-image", { width: bitmap.width, height: bitmap.height });
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  const size = h("span.crop-size.numbers");
  const handles = HANDLES.map((name) => h("span.crop-handle", { data: { handle: name } }));
  // A slider is the nearest role of a thing that arrow keys change and whose value is words.
  const box = h("div.crop-box", { tabIndex: 0, role: "slider", "aria-label": "Crop frame", "aria-valuenow": "0", "aria-describedby": "crop-help" }, handles, size);
  const stage = h("div.crop-stage", {}, canvas, box);
  stage.style.setProperty("--ratio", String(bitmap.width / bitmap.height));
  const redraw = eachFrame(() => draw(stage, box, size, frame));
  draw(stage, box, size, frame);
  byPointer(stage, frame, redraw);
  byKeys(box, frame, redraw);
  const help = h("p.small.quiet", { id: "crop-help" }, "Draw a frame, or move and resize it: arrow keys move, Shift+arrow keys resize, Alt makes small steps.");
  return new Promise((resolve) => {
    let part = null;
    const search = button("Search with the crop", { look: "primary", symbol: "search", onclick: async () => {
      part = await cut(bitmap, frame);
      dialog.close("cut");
    } });
    const dialog = openDialog({ title: "Crop", look: "wide crop", body: [stage, help], actions: [button("Cancel", { onclick: () => dialog.close("") }), search], closed: () => resolve(part) });
    box.focus();
  });
}
