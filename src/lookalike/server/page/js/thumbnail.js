// Thumbnails. The browser loads them by <img>; with a chosen tenant, for which a header is needed, they are fetched and
// shown as blobs.
import { access, send } from "./api.js";
import { h } from "./dom.js";

const MAX_CONCURRENT = 6;
const MAX_TRIES = 3;
const waiting = [];
let running = 0;

const near = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    near.unobserve(target);
    waiting.push(target);
  }
  pump();
}, { rootMargin: "600px" });

function pump() {
  while (running < MAX_CONCURRENT && waiting.length) {
    const img = waiting.pop(); // newest first: the user looks at what was scrolled to last
    if (!img.isConnected) continue;
    running += 1;
    fetchInto(img).finally(() => {
      running -= 1;
      pump();
    });
  }
}

async function fetchInto(img) {
  try {
    const response = await send(img.dataset.source);
    img.src = URL.createObjectURL(await response.blob());
  } catch (problem) {
    if (problem.isRetryable && mayRetry(img)) setTimeout(() => {
      waiting.push(img);
      pump();
    }, (problem.retryAfter ?? 2) * 1000);
    else broken(img);
  }
}

function mayRetry(img) {
  const tries = Number(img.dataset.tries ?? 0) + 1;
  img.dataset.tries = tries;
  return tries < MAX_TRIES;
}

function broken(img) {
  img.classList.add("broken");
  img.closest("[data-frame]")?.classList.add("no-preview");
  img.dispatchEvent(new Event("unavailable"));
}

/** The size of an image scaled into a square, which reserves its space before it is loaded; {} if unknown. */
function scaled(image, size) {
  if (!(image?.width > 0 && image?.height > 0)) return {};
  const scale = Math.min(1, size / Math.max(image.width, image.height));
  return { width: Math.max(1, Math.round(image.width * scale)), height: Math.max(1, Math.round(image.height * scale)) };
}

/**
 * An <img> of a gallery image, at most `size` pixels wide and high; `eager` disables lazy loading, `of` has the image's
 * width and height.
 */
export function thumbnail(path, { size = 320, alt = "", eager = false, of = null } = {}) {
  const source = `${path}?size=${size}`;
  const img = h("img", { alt, decoding: "async", draggable: false, ...scaled(of, size) });
  img.addEventListener("load", () => {
    img.classList.add("loaded");
    if (img.src.startsWith("blob:")) URL.revokeObjectURL(img.src);
  });
  if (access.tenant) {
    img.dataset.source = source;
    near.observe(img);
    return img;
  }
  img.loading = eager ? "eager" : "lazy";
  img.addEventListener("error", () => {
    if (!mayRetry(img)) return broken(img);
    return setTimeout(() => (img.src = source), 1500 * Number(img.dataset.tries));
  });
  img.src = source;
  return img;
}

/** The thumbnail as a Blob. */
export async function thumbnailBlob(path, size) {
  return (await send(path, { query: { size } })).blob();
}
