// A query: an uploaded image (Blob), an image of the gallery (key), or an image by URL.
import { LARGE, originalOf, send, thumbnailOf } from "./api.js";
import { h, icon } from "./dom.js";
import { splitKey } from "./format.js";
import { thumbnail, thumbnailBlob } from "./thumbnail.js";

const MAX_CACHED = 20;
const uploads = new Map();
const fetched = new Map(); // previews of images that the server has fetched by URL
let serial = 0;

/** A query by an uploaded image; `parent` is the query it was cropped from; `held`: it stays until the tab is closed. */
export function fromBlob(blob, name, parent = null, { held = false } = {}) {
  serial += 1;
  const query = { id: String(serial), blob, name, parent, held, preview: URL.createObjectURL(blob), route: `#/search/${serial}` };
  uploads.set(query.id, query);
  let excess = [...uploads.values()].filter((other) => !other.held).length - MAX_CACHED;
  for (const [id, old] of uploads) {
    if (excess <= 0) break;
    if (old.held || old === parent) continue;
    excess -= 1;
    URL.revokeObjectURL(old.preview);
    uploads.delete(id);
  }
  return query;
}

export function fromKey(key) {
  return { key, name: splitKey(key).name, route: `#/like/${encodeURIComponent(key)}` };
}

export function fromUrl(url) {
  return { url, name: hostAndFile(url), route: `#/url/${encodeURIComponent(url)}`, ...fetched.get(url) };
}

/** Whether the server's preview is needed: of an image by URL, and of a file that this browser does not show. */
export async function needsPreview(query) {
  if (query.key || query.small) return false;
  query.isShown ??= query.blob ? await isShown(query.blob) : false;
  return !query.isShown;
}

/** Set the server's preview of a query: the response's JPEG in base64. */
export function showPreview(query, jpeg) {
  if (query.small) return;
  const known = query.blob ? null : fetched.get(query.url);
  const small = known?.small ?? new Blob([Uint8Array.from(atob(jpeg), (letter) => letter.charCodeAt(0))], { type: "image/jpeg" });
  const preview = known?.preview ?? URL.createObjectURL(small);
  if (query.blob) URL.revokeObjectURL(query.preview);
  else fetched.set(query.url, { small, preview });
  Object.assign(query, { small, preview });
  for (const [url, old] of fetched) {
    if (fetched.size <= MAX_CACHED) break;
    URL.revokeObjectURL(old.preview);
    fetched.delete(url);
  }
}

/** The query of a route, or null if this tab no longer has it. */
export function fromRoute(kind, value) {
  if (kind === "like") return fromKey(value);
  if (kind === "url") return fromUrl(value);
  return uploads.get(value) ?? null;
}

function hostAndFile(url) {
  try {
    const { host, pathname } = new URL(url);
    return `${host} … ${splitKey(pathname).name}`;
  } catch {
    return url;
  }
}

/** The query image as an element. Until the server's preview is there, a placeholder stands for what browsers do not show. */
export function queryImage(query, alt) {
  if (query.key) {
    const img = thumbnail(thumbnailOf(query.key), { size: LARGE, alt, eager: true });
    img.addEventListener("unavailable", () => img.replaceWith(noPreview("image", "There is no preview of this image.")));
    return img;
  }
  if (query.url && !query.preview) return noPreview("link", "An image by URL, shown once the server has fetched it.");
  const img = h("img", { src: query.preview, alt, draggable: false });
  img.addEventListener("error", () => img.replaceWith(noPreview("image", "This browser cannot display this file.")));
  return img;
}

function noPreview(symbol, text) {
  return h("div.no-image", {}, icon(symbol), h("p.small", {}, text));
}

const decoded = (blob) => createImageBitmap(blob, { imageOrientation: "from-image" });
const SAMPLE = 64; // pixels of the sides of the square in which transparency is measured
const MAX_TRANSPARENT = 0.05; // of the area: more is shown over the background that the server chooses

/**
 * Whether this browser shows a file as it is: it has the format, the file is whole (an <img> of a WebP that ends early
 * stays empty, without an error), and not so transparent that it may vanish in the page's background.
 */
export async function isShown(blob) {
  const bitmap = await decoded(blob).catch(() => null);
  if (!bitmap) return false;
  const context = new OffscreenCanvas(SAMPLE, SAMPLE).getContext("2d");
  context.drawImage(bitmap, 0, 0, SAMPLE, SAMPLE);
  bitmap.close();
  const { data } = context.getImageData(0, 0, SAMPLE, SAMPLE);
  let transparent = 0;
  for (let at = 3; at < data.length; at += 4) transparent += data[at] < 128 ? 1 : 0;
  return transparent <= MAX_TRANSPARENT * SAMPLE * SAMPLE;
}

/** The original file of an image of the gallery, or a JPEG of it in full size where this browser does not show the file. */
export async function shownOriginal(key, options) {
  const file = await send(originalOf(key), options).then((response) => response.blob());
  return (await isShown(file)) ? file : send(originalOf(key), { ...options, query: { jpeg: true } }).then((response) => response.blob());
}

/** The image's pixels for cropping, of the original file where it is served; null if this browser cannot decode it. */
export async function pixelsOf(query, { original = false } = {}) {
  if (query.url && !query.small) return null;
  if (original) {
    const file = await shownOriginal(query.key).then(decoded).catch(() => null); // the preview will do
    if (file) return file;
  }
  try {
    return await decoded(query.small ?? query.blob ?? (await thumbnailBlob(thumbnailOf(query.key), LARGE)));
  } catch {
    return null;
  }
}
