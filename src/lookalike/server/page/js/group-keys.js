// Keys of the duplicates view, and the help that lists them.
import { openDialog } from "./dialog.js";
import { h, isTyping } from "./dom.js";

const HELP = [
  ["← ↑ → ↓", "Go to another image"], ["J, K", "Go to the next, the previous group"], ["1 – 9", "Keep this image of the group, and no other"],
  ["Shift + 1 – 9", "Keep this image as well, or no more"], ["Space", "Keep the focused image as well, or no more"], ["Enter", "Compare the focused image with the kept one"],
  ["X", "Remove the images that are not kept from the gallery"], ["T", "Move the files that are not kept to the trash"], ["N", "Not duplicates: never group these images again"],
  ["?", "Show these keys"],
];
const COMPARE_HELP = [["← →", "Move the divider"], ["[ ]", "Previous, next image"], ["J, K", "Next, previous group"], ["Z", "100%, and back"], ["+ −", "Zoom"], ["Shift + arrow keys, or drag", "Move both images"], ["1 – 9, N", "As in the list"]];

const rows = (list) => h("dl.keys", {}, list.map(([keys, words]) => [h("dt", {}, h("kbd", {}, keys)), h("dd", {}, words)]));

export function openKeyHelp() {
  return openDialog({ title: "Keys", look: "narrow", body: [rows(HELP), h("h3.keys-head", {}, "While comparing"), rows(COMPARE_HELP)] });
}

/** The number of a digit key, or null; by the key's place, so that Shift does not matter. */
export function digitOf(event) {
  const found = /^(?:Digit|Numpad)([1-9])$/.exec(event.code);
  return found ? Number(found[1]) : null;
}

/** `handlers`: `current()` is the group's id, then functions of it by name; `mayWrite()`. `isShown()`: the view is shown. */
export function groupKeys(isShown, handlers) {
  document.addEventListener("keydown", (event) => {
    if (!isShown() || document.querySelector("dialog[open]") || isTyping(event.target) || event.altKey || event.ctrlKey || event.metaKey) return;
    const act = actionOf(event);
    if (!act || (act.writes && !handlers.mayWrite())) return;
    event.preventDefault();
    act.run();
  });
  function actionOf(event) {
    if (event.key === "?") return { run: openKeyHelp };
    const id = handlers.current();
    if (!id) return null;
    const digit = digitOf(event);
    if (digit) return { writes: true, run: () => handlers.keepAt(id, digit - 1, event.shiftKey) };
    const card = event.target.closest?.(".member");
    if (event.key === " ") return card && event.target.matches("button.member-image") ? { writes: true, run: () => handlers.toggle(id, card.dataset.key) } : null;
    const key = event.key.toLowerCase();
    const known = { x: handlers.remove, t: handlers.trash, n: handlers.notDuplicates }[key];
    if (known) return { writes: true, run: () => known(id) };
    if (key === "j" || key === "k") return { run: () => handlers.step(id, key === "j" ? 1 : -1) };
    return null;
  }
}
