// ARIA live regions and toasts.
import { button, h, iconButton } from "./dom.js";

/** Announce politely, after the current speech. */
export function announce(text) {
  speak("live", text);
}

/** Announce an error at once. */
export function announceError(text) {
  speak("alarm", text);
}

function speak(id, text) {
  const place = document.getElementById(id);
  place.textContent = "";
  setTimeout(() => (place.textContent = text), 60); // the text must change for the same message to be announced again
}

/**
 * A toast with an optional action, closed after `seconds` (paused while hovered or focused). Returns `{close}`. `ended` is
 * called once on timeout or dismissal, not after the action.
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
  (loud ? announceError : announce)(action ? `${text} ${action.label} is available for ${seconds} seconds.` : text);
  return { close };
}

/** A timer that pauses while the toast is hovered or focused; independent of the animation, which may be disabled. */
function countDown(box, seconds, finish) {
  let left = seconds * 10;
  return setInterval(() => {
    if (box.matches(":hover, :focus-within")) return;
    left -= 1;
    if (left <= 0) finish();
  }, 100);
}
