// Running a clean-up: progress, what became of it, and one undo for all of it.
import { choicesOf, moveToTrash, undoAll } from "./cleanup-actions.js";
import { button, h, iconButton } from "./dom.js";
import { bytes, count, countImages, plural, problemText } from "./format.js";
import { announce, announceError } from "./live-region.js";
import { deleteWithUndo } from "./undo-delete.js";

const SAVED = "lookalike.trashed-bytes";
const MAX_SHOWN = 100; // failures that are listed; the others are counted
const UNDO_SECONDS = 30; // for a whole clean-up

function failures(list) {
  if (!list.length) return null;
  const shown = list.slice(0, MAX_SHOWN).map((one) => h("li.wrap", {}, `${one.key}: ${one.reason ?? one.outcome}`));
  const more = list.length > MAX_SHOWN ? h("li", {}, `and ${count(list.length - MAX_SHOWN)} more`) : null;
  return h("details.small", {}, h("summary", {}, plural(list.length, "file was", "files were"), " not changed"), h("ul", {}, shown, more));
}

const skippedText = (skipped) => Object.entries(skipped).map(([reason, number]) => `${count(number)} left alone: ${reason}`).join("; ");

/** `drawn()` shows the groups again, `changed()` tells that the gallery has changed, `restart()` fetches the groups. */
export function cleanupPanel({ model, drawn, changed, restart }) {
  const element = h("section.cleanup-panel", { hidden: true, "aria-label": "Last clean-up" });
  let running = false;
  const saved = () => Number(sessionStorage.getItem(SAVED) ?? 0);
  const addSaved = (n) => sessionStorage.setItem(SAVED, String(Math.max(0, saved() + n)));

  function show(words, ...more) {
    element.hidden = false;
    element.replaceChildren(h("p.numbers", {}, words), ...more.filter(Boolean));
  }
  const dismiss = () => iconButton("Dismiss", "close", { onclick: () => (element.hidden = true) });

  async function trash(groups) {
    const choices = choicesOf(model, groups);
    show("Moving files to the trash …");
    const report = await moveToTrash(choices, { progress: (done) => show(`Moving files to the trash: ${count(done)} of ${plural(choices.length, "group")} …`) });
    addSaved(report.frees);
    model.remove(report.removed.map((outcome) => outcome.key));
    drawn();
    if (report.removed.length) changed();
    const moved = report.removed.length ? `${plural(report.removed.length, "file")} of ${bytes(report.frees)} moved to the trash.` : "No file was moved to the trash.";
    const words = `${moved}${report.problem ? ` Stopped: ${problemText(report.problem)}` : ""}`;
    const undo = report.removed.length ? button("Undo", { symbol: "undo", onclick: () => undoTrash(report) }) : null;
    const skipped = skippedText(report.skipped);
    show(words, undo, dismiss(), skipped && h("p.small.quiet", {}, skipped), failures(report.failed));
    (report.problem ? announceError : announce)(undo ? `${words} Undo is available.` : words);
  }

  async function undoTrash(report) {
    show("Restoring files …");
    try {
      const result = await undoAll(report.runs);
      addSaved(-report.frees);
      const words = `${plural(result.restored, "file")} restored.`;
      show(words, dismiss(), failures(result.failed));
      announce(words);
    } catch (problem) {
      show(`Not restored: ${problemText(problem)}`, button("Try again", { symbol: "retry", onclick: () => undoTrash(report) }), dismiss());
      announceError(element.textContent);
    }
    changed();
    restart();
  }

  function fromGallery(groups) {
    const keys = groups.flatMap((group) => model.removedOf(group).map((image) => image.key));
    const redraw = () => {
      model.changed();
      drawn();
    };
    return deleteWithUndo(keys, {
      reviewed: true,
      seconds: groups.length > 1 ? UNDO_SECONDS : undefined,
      text: `${countImages(keys.length)} removed from the gallery; the files stay.`,
      hide: redraw,
      back: redraw,
      gone: () => {
        model.remove(keys);
        changed();
      },
    });
  }

  return {
    element,
    saved,
    /** Remove what is not kept in these groups: "trash" or "gallery". One clean-up runs at a time. */
    async run(way, groups) {
      if (running) return announce("A clean-up is running.");
      running = true;
      try {
        return await (way === "trash" ? trash(groups) : fromGallery(groups));
      } finally {
        running = false;
      }
    },
    reset() {
      element.hidden = true;
      element.replaceChildren();
    },
  };
}
