// What things are called, and how numbers, sizes and times are written.

const counts = new Intl.NumberFormat("en");
const dates = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "short" });

export const count = (n) => counts.format(n);
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;
export const images = (n) => plural(n, "image");
/** An image's size in pixels, as it is written and as it is said. */
export const sizeOf = ({ width, height }) => `${count(width)} × ${count(height)}`;
export const sizeSaid = ({ width, height }) => `${count(width)} by ${count(height)}`;
export const distance = (d) => d.toFixed(3);
export const date = (text) => dates.format(new Date(text));

export function bytes(n) {
  if (n < 1000) return `${n} B`;
  const units = ["kB", "MB", "GB"];
  let value = n / 1000;
  let unit = 0;
  for (; value >= 1000 && unit < units.length - 1; unit += 1) value /= 1000;
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** "albums/2020/beach.jpg" is called "beach.jpg", and lies in "albums/2020". */
export function nameOf(key) {
  const cut = Math.max(key.lastIndexOf("/"), key.lastIndexOf("\\"));
  return cut > 0 && cut < key.length - 1 ? { folder: key.slice(0, cut), name: key.slice(cut + 1) } : { folder: "", name: key };
}

let known = new Map();

/** The pipelines of /v1/status: their metrics and thresholds are used in explanations. */
export function knowPipelines(pipelines) {
  known = new Map((pipelines ?? []).map((p) => [p.name, p]));
}

export const pipelines = () => [...known.values()];
export const thresholds = () => pipelines().filter((p) => typeof p.threshold === "number");

export function measuredBy(pipeline) {
  if (pipeline === "sha256") return "its digest";
  if (pipeline === "pixels") return "its pixels";
  const metric = known.get(pipeline)?.metric;
  if (metric === "hamming") return `the hash (${pipeline})`;
  if (metric === "cosine") return `the network (${pipeline})`;
  return pipeline;
}

export const EVIDENCE = { exact: "Exact", copy: "Copy", similar: "Similar" };

/** Why the program believes a hit, in a sentence or two. */
export function explain(hit) {
  if (hit.evidence === "exact") {
    return hit.pipeline === "pixels" ? "Exact: another file with the very same pixels." : "Exact: the same file, byte for byte.";
  }
  const limit = known.get(hit.pipeline)?.threshold;
  const by = measuredBy(hit.pipeline);
  if (hit.evidence === "copy") {
    const within = typeof limit === "number" ? `, within its threshold of ${distance(limit)}` : "";
    return `Copy: ${by} measures a distance of ${distance(hit.distance)}${within}. Unrelated images hardly ever come so close.`;
  }
  const beyond = typeof limit === "number" ? `, beyond its threshold of ${distance(limit)}` : "";
  return `Similar: the nearest of the rest. ${capital(by)} measures ${distance(hit.distance)}${beyond}; it may merely look alike.`;
}

export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

const REASONS = {
  empty: "The file is empty",
  not_an_image: "This is not an image",
  unsupported: "A kind of image that cannot be read",
  truncated: "The file is cut off",
  damaged: "The file is damaged",
  too_many_bytes: "The file is too large",
  too_many_pixels: "The image has too many pixels",
  too_many_frames: "The image has too many frames",
  too_small: "The image is too small",
  timeout: "Decoding took too long",
  crashed: "The decoder crashed on this file",
  unreadable: "The file cannot be read",
};

/** A heading and a sentence for a Problem. */
export function told(problem) {
  const detail = capital(problem.message ?? String(problem));
  if (problem.reason && REASONS[problem.reason]) return { title: REASONS[problem.reason], detail };
  const byStatus = {
    0: "The server cannot be reached",
    401: "A key is needed",
    403: "This key may not do that",
    404: "It is not there",
    412: "It changed meanwhile",
    413: "The file is too large",
    422: "This cannot be read as an image",
    429: "Too many requests at once",
    503: "The server is busy",
  };
  return { title: byStatus[problem.status] ?? problem.title ?? "That did not work", detail };
}
