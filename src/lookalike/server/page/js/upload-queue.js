// Upload queue: limited concurrency, progress, retries. An existing image is replaced only on request.
import { access, image, imagePath, mediaType, Problem, unreachable } from "./api.js";

const MAX_CONCURRENT = 3;
const MAX_TRIES = 4;
export const OPEN = new Set(["waiting", "sending", "working"]);

/** Upload one file by XMLHttpRequest, because fetch does not report upload progress. */
function put(upload, progress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    upload.request = request;
    request.open("PUT", imagePath(upload.key));
    request.responseType = "json";
    const headers = { "Content-Type": mediaType(upload.file), ...access.headers() };
    if (!upload.replace) headers["If-None-Match"] = "*";
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => event.lengthComputable && progress(event.loaded / event.total);
    request.onload = () => {
      if (request.status < 300) return resolve(request.response ?? {});
      const problem = request.response ?? {};
      const after = Number.parseFloat(request.getResponseHeader("Retry-After") ?? "");
      return reject(new Problem({ ...problem, status: request.status, retryAfter: Number.isFinite(after) ? after : null }));
    };
    request.onerror = () => reject(unreachable());
    request.onabort = () => reject(new DOMException("cancelled", "AbortError"));
    request.send(upload.file);
  });
}

/** Whether the gallery's image of this key has the same bytes; undefined if unknown. */
async function hasSameBytes(upload) {
  if (!crypto.subtle || upload.file.size > 64_000_000) return undefined;
  const [existing, digest] = await Promise.all([image(upload.key), upload.file.arrayBuffer().then((data) => crypto.subtle.digest("SHA-256", data))]);
  const hex = [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex === existing.sha256;
}

const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

const RATE_SECONDS = 20;
const MIN_RATE_SECONDS = 2;

/** How many uploads end in a second, over the last 20. */
export class UploadRate {
  #start = null;
  #ends = [];

  /** One upload has ended. */
  count() {
    const now = performance.now();
    this.#start ??= now;
    this.#ends.push(now);
    while (now - this.#ends[0] > 1000 * RATE_SECONDS) this.#ends.shift();
  }

  /** The rate, 0 where it is not known yet. */
  perSecond() {
    if (this.#start === null) return 0;
    const seconds = Math.min(RATE_SECONDS, (performance.now() - this.#start) / 1000);
    return seconds < MIN_RATE_SECONDS ? 0 : this.#ends.length / seconds;
  }

  reset() {
    this.#start = null;
    this.#ends = [];
  }
}

export class UploadQueue {
  /** `changed(upload)` is called for every change of an upload, `idle()` when the queue is empty. */
  constructor({ changed, idle }) {
    Object.assign(this, { changed, idle, all: [], running: 0 });
  }

  get open() {
    return this.all.filter((upload) => OPEN.has(upload.state)).length;
  }

  /** Enqueue `[{file, path}]`: the path becomes the key. */
  add(files) {
    const uploads = files.map(({ file, path }) => ({ file, key: path, state: "waiting", progress: 0, tries: 0, replace: false }));
    this.all.push(...uploads);
    for (const upload of uploads) this.changed(upload);
    this.#pump();
  }

  retry(upload, { replace = false, key = upload.key } = {}) {
    Object.assign(upload, { state: "waiting", progress: 0, tries: 0, problem: null, reason: null, truncated: false, replace, key });
    this.changed(upload);
    this.#pump();
  }

  cancelOpen() {
    for (const upload of this.all) {
      if (!OPEN.has(upload.state)) continue;
      if (upload.state === "waiting") this.#set(upload, "cancelled");
      else upload.request?.abort();
    }
  }

  forgetDone() {
    this.all = this.all.filter((upload) => OPEN.has(upload.state));
  }

  #set(upload, state, more = {}) {
    Object.assign(upload, more, { state });
    this.changed(upload);
  }

  #pump() {
    while (this.running < MAX_CONCURRENT) {
      const upload = this.all.find((item) => item.state === "waiting");
      if (!upload) break;
      this.running += 1;
      this.#upload(upload).finally(() => {
        this.running -= 1;
        this.#pump();
        if (!this.running && !this.open) this.idle();
      });
    }
  }

  async #upload(upload) {
    const generation = access.generation;
    this.#set(upload, "sending");
    try {
      const answer = await put(upload, (part) => this.#set(upload, part >= 1 ? "working" : "sending", { progress: part }));
      if (answer.outcome === "rejected") this.#set(upload, "failed", { problem: new Problem({ status: 422, detail: answer.reason }) });
      else this.#set(upload, answer.outcome ?? "added", { progress: 1, reason: answer.reason, truncated: answer.truncated });
    } catch (problem) {
      await this.#failed(upload, problem, generation);
    }
  }

  async #failed(upload, problem, generation) {
    if (problem.name === "AbortError") return this.#set(upload, "cancelled");
    upload.tries += 1;
    if (problem.status === 412 && !upload.replace) {
      const same = await hasSameBytes(upload).catch(() => undefined);
      return this.#set(upload, same ? "unchanged" : "exists", { progress: 1 });
    }
    if (upload.tries < MAX_TRIES && problem.status === 401 && (access.generation !== generation || (await access.requestKey(problem)))) return this.#upload(upload);
    if (upload.tries < MAX_TRIES && (problem.status === 429 || problem.status === 503)) {
      await pause(problem.retryAfter ?? 2 ** upload.tries);
      return upload.state === "cancelled" ? null : this.#upload(upload);
    }
    return this.#set(upload, "failed", { problem });
  }
}
