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

/** Set the preview of a query by URL: the response's JPEG in base64. */
export function showFetched(query, jpeg) {
  if (query.preview) return;
  if (!fetched.has(query.url)) {
    const small = new Blob([Uint8Array.from(atob(jpeg), (letter) => letter.charCodeAt(0))], { type: "image/jpeg" });
    fetched.set(query.url, { small, preview: URL.createObjectURL(small) });
  }
  Object.assign(query, fetched.get(query.url));
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

/** The query image as an element. Browsers lack some formats (HEIC, TIFF), and the page loads nothing from other hosts. */
export function queryImage(query, alt) {
  if (query.key) return thumbnail(thumbnailOf(query.key), { size: LARGE, alt, eager: true });
  if (query.url && !query.preview) return noPreview("link", "An image by URL, shown once the server has fetched it.");
  const img = h("img", { src: query.preview, alt, draggable: false });
  img.addEventListener("error", () => img.replaceWith(noPreview("image", "This browser cannot display this image format; the search works nevertheless.")));
  return img;
}

function noPreview(symbol, text) {
  return h("div.no-image", {}, icon(symbol), h("p.small", {}, text));
}

const decoded = (blob) => createImageBitmap(blob, { imageOrientation: "from-image" });

/** The image's pixels for cropping, of the original file where it is served; null if this browser cannot decode it. */
export async function pixelsOf(query, { original = false } = {}) {
  if (query.url && !query.small) return null;
  if (original) {
    const file = await send(originalOf(query.key)).then((response) => response.blob()).then(decoded).catch(() => null); // the preview will do
    if (file) return file;
  }
  try {
    return await decoded(query.blob ?? query.small ?? (await thumbnailBlob(thumbnailOf(query.key), LARGE)));
  } catch {
    return null;
  }
}
