// What is said to a screen reader, and the notices in the corner.
import { button, h, iconButton } from "./dom.js";

/** Said politely, after what is being read. */
export function say(text) {
  speak("live", text);
}

/** Said at once: something went wrong. */
export function alarm(text) {
  speak("alarm", text);
}

function speak(id, text) {
  const place = document.getElementById(id);
  place.textContent = "";
  setTimeout(() => (place.textContent = text), 60); // a change is needed for the same words to be said again
}

/**
 * A notice with an optional action, which ends after `seconds` (not while the pointer or the focus is on it).
 * Gives `close()`. `ended` is called once when time runs out or the notice is dismissed, not after the action.
 */
export function toast(text, { action = null, seconds = 6, ended = null, loud = false } = {}) {
  const time = h("span.toast-time", { "aria-hidden": "true" });
  time.style.setProperty("--lasts", `${seconds}s`);
  const close = () => {
    clearInterval(timer);
    const inside = box.contains(document.activeElement);
    box.remove();
    if (inside) document.getElementById("main").focus({ preventScroll: true });
  };
  const finish = () => {
    close();
    ended?.();
  };
  const act = action && button(action.label, {
    symbol: action.symbol,
    onclick: () => {
      close();
      action.run();
    },
  });
  const box = h("div.toast", {}, h("p", {}, text), act, iconButton("Dismiss", "close", { onclick: finish, "data-tip": null }), time);
  const timer = countDown(box, seconds, finish);
  document.getElementById("toasts").append(box);
  (loud ? alarm : say)(action ? `${text} ${action.label} is possible for ${seconds} seconds.` : text);
  return { close };
}

/** Counts while nobody looks: by a clock, not by the animation, which may be switched off. */
function countDown(box, seconds, finish) {
  let left = seconds * 10;
  return setInterval(() => {
    if (box.matches(":hover, :focus-within")) return;
    left -= 1;
    if (left <= 0) finish();
  }, 100);
}
