// Labels, and formatting of numbers, sizes, dates and errors.

const counts = new Intl.NumberFormat("en");
const dates = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "short" });

export const count = (n) => counts.format(n);
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;
export const countImages = (n) => plural(n, "image");
/** An image's size in pixels, for display and for screen readers. */
export const sizeOf = ({ width, height }) => `${count(width)} × ${count(height)}`;
export const spokenSize = ({ width, height }) => `${count(width)} by ${count(height)}`;
export const distance = (d) => d.toFixed(3);
export const percentage = (share) => `${Math.round(100 * share)}%`;
export const date = (text) => dates.format(new Date(text));

export function bytes(n) {
  if (n < 1000) return `${n} B`;
  const units = ["kB", "MB", "GB"];
  let value = n / 1000;
  let unit = 0;
  for (; value >= 1000 && unit < units.length - 1; unit += 1) value /= 1000;
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** Split a key: "albums/2020/beach.jpg" has the folder "albums/2020" and the name "beach.jpg". */
export function splitKey(key) {
  const slash = Math.max(key.lastIndexOf("/"), key.lastIndexOf("\\"));
  return slash > 0 && slash < key.length - 1 ? { folder: key.slice(0, slash), name: key.slice(slash + 1) } : { folder: "", name: key };
}

let current = new Map();

/** Set the pipelines of /v1/status, whose metrics and thresholds are used in explanations. */
export function setPipelines(pipelines) {
  current = new Map((pipelines ?? []).map((p) => [p.name, p]));
}

export const pipelines = () => [...current.values()];
export const thresholds = () => pipelines().filter((p) => typeof p.threshold === "number");

export function pipelineLabel(pipeline) {
  if (pipeline === "sha256") return "the file's digest";
  if (pipeline === "pixels") return "the pixels";
  const metric = current.get(pipeline)?.metric;
  if (metric === "hamming") return `the hash (${pipeline})`;
  if (metric === "cosine") return `the network (${pipeline})`;
  return pipeline;
}

const EVIDENCE = { exact: "Exact copy", copy: "Copy", variant: "Variant", similar: "Similar" };

/** The evidence in a word or two: a copy by its distance alone is a probable one. */
export const evidenceOf = (hit) => (hit.evidence === "copy" && !hit.verified ? "Probably a copy" : EVIDENCE[hit.evidence]);

/** The evidence for a hit, in a sentence or two. */
export function explain(hit) {
  if (hit.evidence === "exact") {
    return hit.pipeline === "pixels" ? "Exact copy: another file with identical pixels." : "Exact copy: the same bytes.";
  }
  if (hit.verified && hit.verification && hit.evidence !== "similar") return `${EVIDENCE[hit.evidence]}: ${hit.verification.description}. The pixels of both images were compared.`;
  const limit = current.get(hit.pipeline)?.threshold;
  const by = pipelineLabel(hit.pipeline);
  if (hit.evidence === "copy") {
    const within = typeof limit === "number" ? `, within its threshold of ${distance(limit)}` : "";
    return `Probably a copy: ${by} measures a distance of ${distance(hit.distance)}${within}. The pixels could not be compared.`;
  }
  const beyond = typeof limit === "number" ? `, above its threshold of ${distance(limit)}` : "";
  return `Similar: ${by} measures a distance of ${distance(hit.distance)}${beyond}.`;
}

export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

const REASONS = {
  empty: "The file is empty",
  not_an_image: "Not an image",
  unsupported: "Unsupported image format",
  truncated: "The file is truncated",
  damaged: "The file is damaged",
  too_many_bytes: "The file is too large",
  too_many_pixels: "The image has too many pixels",
  too_many_frames: "The image has too many frames",
  too_small: "The image is too small",
  timeout: "Decoding took too long",
  crashed: "The decoder crashed on this file",
  unreadable: "The file cannot be read",
};

/** The title and the detail of a Problem for display. */
export function describeProblem(problem) {
  const detail = capital(problem.message ?? String(problem));
  if (problem.reason && REASONS[problem.reason]) {
    const title = REASONS[problem.reason];
    return { title, detail: detail.startsWith(`${title}: `) ? capital(detail.slice(title.length + 2)) : detail };
  }
  const byStatus = {
    0: "The server cannot be reached",
    401: "API key required",
    403: "Permission denied",
    404: "Not found",
    412: "The image has changed",
    413: "The file is too large",
    422: "The image cannot be read",
    429: "Too many requests",
    503: "The server is busy",
  };
  return { title: byStatus[problem.status] ?? problem.title ?? "Request failed", detail };
}

/** A Problem in one line; what its detail begins with is not said twice. */
export function problemText(problem) {
  const { title, detail } = describeProblem(problem);
  return detail.startsWith(title) ? detail : `${title}. ${detail}`;
}
