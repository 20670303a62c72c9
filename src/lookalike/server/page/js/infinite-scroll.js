// Infinite scroll: loads the next page as the end of a list approaches, with a button for keyboard users.
import { button, h } from "./dom.js";
import { problemText } from "./format.js";

/** `load()` returns a promise. Call `set({more, text})` after each page; after an error the button retries. */
export function infiniteScroll(load, label = "Show more") {
  const note = h("p.small.quiet");
  const act = button(label, { onclick: () => run() });
  const element = h("div.endless", {}, note, act);
  let busy = false;
  let failed = false;
  let more = false;
  const watcher = new IntersectionObserver((seen) => seen.at(-1).isIntersecting && !failed && run(), { rootMargin: "900px" });
  async function run() {
    if (busy || !more) return;
    busy = true;
    failed = false;
    act.setAttribute("aria-disabled", "true");
    act.textContent = "Loading …";
    try {
      await load();
    } catch (problem) {
      failed = problem.name !== "AbortError";
      if (failed) note.textContent = problemText(problem);
    } finally {
      busy = false;
      act.removeAttribute("aria-disabled");
      act.textContent = failed ? "Try again" : label;
    }
    watcher.unobserve(element);
    if (more && !failed) watcher.observe(element); // observing again reports at once whether the end is in view
  }
  return {
    element,
    set({ more: now, text = "" }) {
      more = now;
      failed = false;
      note.textContent = text;
      act.hidden = !more;
      element.hidden = !more && !text;
      watcher.unobserve(element);
      if (more) watcher.observe(element);
    },
  };
}
