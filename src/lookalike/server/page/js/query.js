// What is searched for: an image of the person's own (a Blob), one of the gallery (a key), or one on the web (a URL).
import { thumbnailBlob, thumbnail } from "./thumbnail.js";
import { LARGE, thumbnailOf } from "./api.js";
import { h, icon } from "./dom.js";
import { nameOf } from "./words.js";

const KEPT = 20;
const mine = new Map();
const fetched = new Map(); // what the server has fetched from addresses, small
let serial = 0;

/** An image the person has handed in. `parent` is the query it was cut from. */
export function fromBlob(blob, name, parent = null) {
  serial += 1;
  const query = { id: String(serial), blob, name, parent, preview: URL.createObjectURL(blob), route: `#/search/${serial}` };
  mine.set(query.id, query);
  for (const [id, old] of mine) {
    if (mine.size <= KEPT || old === parent) break;
    URL.revokeObjectURL(old.preview);
    mine.delete(id);
  }
  return query;
}

export function fromKey(key) {
  return { key, name: nameOf(key).name, route: `#/like/${encodeURIComponent(key)}` };
}

export function fromUrl(url) {
  return { url, name: hostAndFile(url), route: `#/url/${encodeURIComponent(url)}`, ...fetched.get(url) };
}

/** Lets a query by address show what was fetched: a JPEG in base64, which came with the answer. */
export function showFetched(query, jpeg) {
  if (query.preview) return;
  if (!fetched.has(query.url)) {
    const small = new Blob([Uint8Array.from(atob(jpeg), (letter) => letter.charCodeAt(0))], { type: "image/jpeg" });
    fetched.set(query.url, { small, preview: URL.createObjectURL(small) });
  }
  Object.assign(query, fetched.get(query.url));
  for (const [url, old] of fetched) {
    if (fetched.size <= KEPT) break;
    URL.revokeObjectURL(old.preview);
    fetched.delete(url);
  }
}

/** The query of a route, or null for one that this tab no longer has. */
export function fromRoute(kind, value) {
  if (kind === "like") return fromKey(value);
  if (kind === "url") return fromUrl(value);
  return mine.get(value) ?? null;
}

function hostAndFile(url) {
  try {
    const { host, pathname } = new URL(url);
    return `${host} … ${nameOf(pathname).name}`;
  } catch {
    return url;
  }
}

/** The query's image as an element. A browser cannot show every kind (HEIC, TIFF), and the page loads nothing from elsewhere. */
export function queryImage(query, alt) {
  if (query.key) return thumbnail(thumbnailOf(query.key), { size: LARGE, alt, eager: true });
  if (query.url && !query.preview) return noPreview("link", "An image on the web, shown once the server has fetched it.");
  const img = h("img", { src: query.preview, alt, draggable: false });
  img.addEventListener("error", () => img.replaceWith(noPreview("image", "This browser cannot show this kind of image; searching works all the same.")));
  return img;
}

function noPreview(symbol, text) {
  return h("div.no-image", {}, icon(symbol), h("p.small", {}, text));
}

/** The image's pixels, for cutting a part out; null where this browser cannot have them. */
export async function pixelsOf(query) {
  if (query.url && !query.small) return null;
  try {
    const blob = query.blob ?? query.small ?? (await thumbnailBlob(thumbnailOf(query.key), LARGE));
    return await createImageBitmap(blob, { imageOrientation: "from-image" });
  } catch {
    return null;
  }
}
