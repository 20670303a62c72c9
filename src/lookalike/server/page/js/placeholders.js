// Placeholders of a view without images: loading, empty, error.
import { button, h, icon } from "./dom.js";
import { describeProblem } from "./format.js";
import { announce, announceError } from "./live-region.js";

const MAX_AUTOMATIC_RETRIES = 3;

/** Skeleton tiles for images that are loading. */
export function skeletons(n, look = "hits") {
  const tiles = Array.from({ length: n }, () => h("li.skeleton", {}, h("span.skeleton-image"), h("span.skeleton-line"), h("span.skeleton-line.short")));
  return h("ul", { class: look, "aria-hidden": "true" }, tiles);
}

export function stateBox({ symbol, title, text, actions = [], look = "" }) {
  return h("div.state", { class: look }, h("div.state-art", {}, icon(symbol)), h("h2", {}, title), [text].flat().map((line) => h("p", {}, line)), actions.length ? h("div.state-actions", {}, actions) : null);
}

let retries = 0;

/** Reset the count of automatic retries after a success. */
export function resetRetries() {
  retries = 0;
}

/** An error message. Retryable errors (429, 503, no network) are retried automatically, a few times. */
export function errorBox(problem, retry, extra = [], heading = null) {
  const { title: usual, detail } = describeProblem(problem);
  const title = heading ?? usual;
  const delay = problem.isRetryable && retries < MAX_AUTOMATIC_RETRIES ? Math.ceil(problem.retryAfter ?? 2 ** (retries + 1)) : 0;
  const retryButton = button("Try again", { look: "primary", symbol: "retry", onclick: () => {
    clearInterval(timer);
    retry();
  } });
  const note = h("p.small.quiet.numbers");
  const reference = problem.instance ? h("p.small.quiet.mono", {}, `Request ${problem.instance}`) : null;
  const box = stateBox({ symbol: problem.status === 0 ? "offline" : "alert", title, text: detail, look: "error", actions: [retry && retryButton, ...extra] });
  box.append(note, reference ?? "");
  let left = delay;
  const timer = delay && retry ? setInterval(tick, 1000) : null;
  function tick() {
    if (!box.isConnected) return clearInterval(timer);
    left -= 1;
    note.textContent = `Retrying in ${left} s`;
    if (left > 0) return null;
    clearInterval(timer);
    retries += 1;
    announce("Retrying.");
    return retry();
  }
  if (timer) note.textContent = `Retrying in ${left} s`;
  announceError(`${title}. ${detail}`);
  return box;
}
