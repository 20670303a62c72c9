// HTTP client: one request function, errors as Problem. The API key is entered once and then kept in an HttpOnly cookie,
// so that images load by plain links.

const SIGNED_IN = "lookalike.signed-in";
const TENANT = "lookalike.tenant";
const TIMEOUT_MS = 120_000;
/** The longer side of large previews in pixels: the server's maximum. */
export const LARGE = 1024;

/** A problem response (RFC 9457), or a network error with `status` 0. */
export class Problem extends Error {
  constructor({ status, title, detail, reason, type, retryAfter, instance }) {
    super(detail || title || `HTTP status ${status}.`);
    Object.assign(this, { status, title, reason, type, retryAfter, instance });
  }

  /** Whether the same bytes would be rejected again. */
  get isPermanent() {
    return Boolean(this.reason) && this.reason !== "timeout" && this.reason !== "crashed";
  }

  get isRetryable() {
    return this.status === 0 || this.status === 429 || this.status === 503;
  }
}

export const access = {
  /** Incremented whenever the API key changes: a request refused before that may be retried. */
  generation: 0,
  get signedIn() {
    return sessionStorage.getItem(SIGNED_IN) === "yes";
  },
  get tenant() {
    return sessionStorage.getItem(TENANT) ?? "";
  },
  set tenant(value) {
    keep(TENANT, value);
  },
  /** Set by keys.js: shows the API key dialog; resolves to whether a key was accepted. */
  requestKey: async () => false,
  /** Start a session with an API key; throws Problem if the server rejects it. */
  async signIn(key) {
    const response = await attempt("/session", { method: "POST", headers: { Authorization: `Bearer ${key}` } });
    if (!response.ok) throw await problemOf(response);
    this.generation += 1;
    keep(SIGNED_IN, "yes");
  },
  async signOut() {
    const response = await attempt("/session", { method: "DELETE" });
    if (!response.ok) throw await problemOf(response);
    keep(SIGNED_IN, "");
  },
  headers() {
    return this.tenant ? { "X-Tenant": encodeURIComponent(this.tenant) } : {};
  },
};

function keep(name, value) {
  if (value) sessionStorage.setItem(name, value);
  else sessionStorage.removeItem(name);
}

async function problemOf(response) {
  let body = {};
  try {
    if ((response.headers.get("Content-Type") ?? "").includes("json")) body = await response.json();
  } catch {
    body = {};
  }
  const after = Number.parseFloat(response.headers.get("Retry-After") ?? "");
  const detail = typeof body.detail === "string" ? body.detail : "";
  return new Problem({ ...body, detail, status: response.status, retryAfter: Number.isFinite(after) ? after : null });
}

/** One attempt: resolves to any response; throws Problem if there is none, AbortError when aborted. */
async function attempt(path, { method = "GET", body, headers = {}, signal, keepalive }) {
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  const combined = signal ? AbortSignal.any([signal, timeout]) : timeout;
  try {
    return await fetch(path, { method, body, keepalive, signal: combined, headers: { ...headers, ...access.headers() } });
  } catch (error) {
    if (signal?.aborted) throw error;
    if (error.name === "TimeoutError") throw new Problem({ status: 0, title: "Request timed out", detail: "The server did not respond within two minutes." });
    throw unreachable();
  }
}

export const unreachable = () => new Problem({ status: 0, title: "The server cannot be reached", detail: "It may have stopped, or the network is down." });

/** Send a request; on 401, request an API key and retry once; throws Problem, or AbortError when aborted. */
export async function send(path, { json, query, ...options } = {}) {
  const url = new URL(path, location.href);
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined && value !== null && value !== "") url.searchParams.set(name, value);
  }
  const init = json === undefined ? options : { ...options, body: JSON.stringify(json), headers: { "Content-Type": "application/json", ...options.headers } };
  const generation = access.generation;
  let response = await attempt(url, init);
  if (response.status === 401 && (access.generation !== generation || (await access.requestKey(await problemOf(response.clone()))))) response = await attempt(url, init);
  if (!response.ok) throw await problemOf(response);
  return response;
}

async function read(path, options) {
  return (await send(path, options)).json();
}

export const imagePath = (key) => `/v1/images/${encodeURIComponent(key)}`;
export const originalOf = (key) => `${imagePath(key)}/original`;
export const thumbnailOf = (key) => `${imagePath(key)}/thumbnail`;
const filterText = (filter) => (filter && Object.keys(filter).length ? JSON.stringify(filter) : undefined);

export const status = (options) => read("/v1/status", options);
export const image = (key, options) => read(imagePath(key), options);
export const images = ({ limit, cursor, filter, contains, sort, signal }) => read("/v1/images", { query: { limit, cursor, contains, sort, filter: filterText(filter) }, signal });
export const removeImages = (keys, options) => read("/v1/images:delete", { method: "POST", json: { keys }, ...options });
export const duplicates = ({ limit, cursor, signal }) => read("/v1/duplicates", { query: { limit, cursor }, signal });

/** What moving files to the trash would do: `groups` are `{id, keep}`, of clusters listed before. */
export const planTrash = (groups, options) => read("/v1/duplicates:plan", { method: "POST", json: { to: "trash", groups }, ...options });
export const applyPlan = (plan, groups, options) => read("/v1/duplicates:apply", { method: "POST", json: { plan, groups }, ...options });
export const undoRun = (run, options) => read("/v1/duplicates:undo", { method: "POST", json: { run }, ...options });

export function notAMatch(keys, undo = false) {
  return send("/v1/duplicates:not-a-match", { method: undo ? "DELETE" : "POST", json: { keys } });
}

/** The Content-Type of an upload; the server identifies the format from the bytes. */
export const mediaType = (blob) => (blob.type.startsWith("image/") ? blob.type : "application/octet-stream");

/** One page of search results for a query (see query.js), by parts of it too where that is quick and no copy is found;
 * with `preview`, also a JPEG of the query. */
export function search(query, { k, cursor, filter, preview, signal }) {
  if (query.blob) {
    const headers = { "Content-Type": mediaType(query.blob) };
    const options = { k, cursor, filter: filterText(filter), deep: "auto", preview: preview ? LARGE : undefined };
    return read("/v1/search", { method: "POST", body: query.blob, headers, query: options, signal });
  }
  const json = { image: query.key ? { key: query.key } : { url: query.url }, k, deep: "auto" };
  if (cursor) json.cursor = cursor;
  if (preview) json.preview = LARGE;
  if (filterText(filter)) json.filter = filter;
  return read("/v1/search", { method: "POST", json, signal });
}

async function sourceOf(image) {
  if (image.key) return { key: image.key };
  if (image.url) return { url: image.url };
  return { base64: await base64(image.blob) };
}

function base64(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result).replace(/^[^,]*,/, ""));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}

/** The distance of two images by each pipeline; each image is `{key}`, `{url}` or `{blob}`. */
export async function compare(a, b, { signal } = {}) {
  return read("/v1/compare", { method: "POST", json: { a: await sourceOf(a), b: await sourceOf(b) }, signal });
}
