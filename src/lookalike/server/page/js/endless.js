// The end of a list: loads the next page when it comes near, and is a button for those who do not scroll.
import { button, h } from "./dom.js";
import { told } from "./words.js";

/** `load()` gives a promise. Call `set({more, text})` after each page; an error waits for the button. */
export function endless(load, label = "Show more") {
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
      if (failed) note.textContent = `${told(problem).title}. ${told(problem).detail}`;
    } finally {
      busy = false;
      act.removeAttribute("aria-disabled");
      act.textContent = failed ? "Try again" : label;
    }
    watcher.unobserve(element);
    if (more && !failed) watcher.observe(element); // observing anew tells at once whether the end is still near
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
