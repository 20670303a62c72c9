// What a view shows when it has no images to show: waiting, nothing, failed.
import { alarm, say } from "./announce.js";
import { button, h, icon } from "./dom.js";
import { told } from "./words.js";

const AUTOMATIC = 3;

/** Grey tiles in the place of images that are on their way. */
export function skeletons(n, look = "hits") {
  const tiles = Array.from({ length: n }, () => h("li.skeleton", {}, h("span.skeleton-image"), h("span.skeleton-line"), h("span.skeleton-line.short")));
  return h("ul", { class: look, "aria-hidden": "true" }, tiles);
}

export function stateBox({ symbol, title, text, actions = [], look = "" }) {
  return h("div.state", { class: look }, h("div.state-art", {}, icon(symbol)), h("h2", {}, title), [text].flat().map((line) => h("p", {}, line)), actions.length ? h("div.state-actions", {}, actions) : null);
}

let automatic = 0;

/** After an answer that worked, the next failure may be retried by itself again. */
export function allWell() {
  automatic = 0;
}

/** Says what went wrong in words. What may pass (429, 503, no network) is tried again by itself, a few times. */
export function errorBox(problem, retry, extra = []) {
  const { title, detail } = told(problem);
  const waits = problem.passing && automatic < AUTOMATIC ? Math.ceil(problem.retryAfter ?? 2 ** (automatic + 1)) : 0;
  const again = button("Try again", { look: "primary", symbol: "retry", onclick: () => {
    clearInterval(timer);
    retry();
  } });
  const note = h("p.small.quiet.numbers");
  const reference = problem.instance ? h("p.small.quiet.mono", {}, `Request ${problem.instance}`) : null;
  const box = stateBox({ symbol: problem.status === 0 ? "offline" : "alert", title, text: detail, look: "error", actions: [retry && again, ...extra] });
  box.append(note, reference ?? "");
  let left = waits;
  const timer = waits && retry ? setInterval(tick, 1000) : null;
  function tick() {
    if (!box.isConnected) return clearInterval(timer);
    left -= 1;
    note.textContent = `Trying again in ${left} s`;
    if (left > 0) return null;
    clearInterval(timer);
    automatic += 1;
    say("Trying again.");
    return retry();
  }
  if (timer) note.textContent = `Trying again in ${left} s`;
  alarm(`${title}. ${detail}`);
  return box;
}
