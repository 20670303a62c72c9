// The HTTP API: one request function, errors as Problem. The access key is handed in once and then lives in a cookie that
// no script can read; so images load by plain links.

const SIGNED_IN = "lookalike.signed-in";
const TENANT = "lookalike.tenant";
const PATIENCE_MS = 120_000;
/** The longer side of images that are shown large: the most that the service gives. */
export const LARGE = 1024;

/** What the server (or the network) says went wrong; `status` 0 means that no answer came. */
export class Problem extends Error {
  constructor({ status, title, detail, reason, type, retryAfter, instance }) {
    super(detail || title || `The server answered ${status}.`);
    Object.assign(this, { status, title, reason, type, retryAfter, instance });
  }

  get passing() {
    return this.status === 0 || this.status === 429 || this.status === 503;
  }
}

export const access = {
  /** Rises whenever another key is used: a request refused before that may be tried again. */
  turn: 0,
  get signedIn() {
    return sessionStorage.getItem(SIGNED_IN) === "yes";
  },
  get tenant() {
    return sessionStorage.getItem(TENANT) ?? "";
  },
  set tenant(value) {
    keep(TENANT, value);
  },
  /** Set by keys.js: asks the person for a key, and answers whether one was taken. */
  ask: async () => false,
  /** Begins a session with a key; throws Problem where the server refuses it. */
  async signIn(key) {
    const response = await attempt("/session", { method: "POST", headers: { Authorization: `Bearer ${key}` } });
    if (!response.ok) throw await problemOf(response);
    this.turn += 1;
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
  let said = {};
  try {
    if ((response.headers.get("Content-Type") ?? "").includes("json")) said = await response.json();
  } catch {
    said = {};
  }
  const after = Number.parseFloat(response.headers.get("Retry-After") ?? "");
  const detail = typeof said.detail === "string" ? said.detail : "";
  return new Problem({ ...said, detail, status: response.status, retryAfter: Number.isFinite(after) ? after : null });
}

/** One try: gives whatever the server answers; throws Problem where no answer comes, AbortError when aborted. */
async function attempt(path, { method = "GET", body, headers = {}, signal, keepalive }) {
  const limit = AbortSignal.timeout(PATIENCE_MS);
  const both = signal ? AbortSignal.any([signal, limit]) : limit;
  try {
    return await fetch(path, { method, body, keepalive, signal: both, headers: { ...headers, ...access.headers() } });
  } catch (error) {
    if (signal?.aborted) throw error;
    if (error.name === "TimeoutError") throw new Problem({ status: 0, title: "No answer in time", detail: "The server took longer than two minutes." });
    throw unreachable();
  }
}

export const unreachable = () => new Problem({ status: 0, title: "The server cannot be reached", detail: "It may have stopped, or the network is down." });

/** Sends a request and gives the Response; asks for a key once on 401; throws Problem, or AbortError when aborted. */
export async function send(path, { json, query, ...options } = {}) {
  const url = new URL(path, location.href);
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined && value !== null && value !== "") url.searchParams.set(name, value);
  }
  const made = json === undefined ? options : { ...options, body: JSON.stringify(json), headers: { "Content-Type": "application/json", ...options.headers } };
  const turn = access.turn;
  let response = await attempt(url, made);
  if (response.status === 401 && (access.turn !== turn || (await access.ask(await problemOf(response.clone()))))) response = await attempt(url, made);
  if (!response.ok) throw await problemOf(response);
  return response;
}

async function read(path, options) {
  return (await send(path, options)).json();
}

export const imagePath = (key) => `/v1/images/${encodeURIComponent(key)}`;
export const thumbnailOf = (key) => `${imagePath(key)}/thumbnail`;
const filterText = (filter) => (filter && Object.keys(filter).length ? JSON.stringify(filter) : undefined);

export const status = (options) => read("/v1/status", options);
export const image = (key, options) => read(imagePath(key), options);
export const images = ({ limit, cursor, filter, prefix, signal }) => read("/v1/images", { query: { limit, cursor, prefix, filter: filterText(filter) }, signal });
export const removeImages = (keys, options) => read("/v1/images:delete", { method: "POST", json: { keys }, ...options });
export const duplicates = ({ limit, cursor, signal }) => read("/v1/duplicates", { query: { limit, cursor }, signal });

export function notAMatch(keys, undo = false) {
  return send("/v1/duplicates:not-a-match", { method: undo ? "DELETE" : "POST", json: { keys } });
}

/** What a body is sent as; whether it is an image, the server finds out. */
export const mediaType = (blob) => (blob.type.startsWith("image/") ? blob.type : "application/octet-stream");

/** One page of answers to a query (see query.js). */
export function search(query, { k, cursor, filter, signal }) {
  if (query.blob) {
    const headers = { "Content-Type": mediaType(query.blob) };
    const options = { k, cursor, filter: filterText(filter) };
    return read("/v1/search", { method: "POST", body: query.blob, headers, query: options, signal });
  }
  const json = { image: query.key ? { key: query.key } : { url: query.url }, k };
  if (cursor) json.cursor = cursor;
  if (query.url && !query.preview) json.preview = LARGE;
  if (filterText(filter)) json.filter = filter;
  return read("/v1/search", { method: "POST", json, signal });
}

async function side(image) {
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

/** What each pipeline says of two images, each `{key}`, `{url}` or `{blob}`. */
export async function compare(a, b, { signal } = {}) {
  return read("/v1/compare", { method: "POST", json: { a: await side(a), b: await side(b) }, signal });
}
