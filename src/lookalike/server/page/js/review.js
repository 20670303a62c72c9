// The review of a clean-up: what will happen to each image, before anything does.
import { choicesOf, planAll } from "./cleanup-actions.js";
import { openDialog } from "./dialog.js";
import { button, h, middleCut, uniqueId } from "./dom.js";
import { bytes, count, countImages, plural, problemText, splitKey } from "./format.js";
import { lazyChunks } from "./lazy-chunks.js";
import { thumbnail } from "./thumbnail.js";

const WAYS = {
  trash: { label: "Move to trash", text: "The files go to the trash of the server's machine, and their images leave the gallery. One undo brings all of them back. The disk has more space once the trash is emptied." },
  gallery: { label: "Remove from gallery", text: "The images leave the gallery. Their files stay where they are, so no disk space is freed." },
};

function line(image, mark, reason) {
  const words = { keep: "Keep", remove: "Remove", skip: "Left alone" }[mark];
  return h("li.review-line", { class: `mark-${mark}`, data: { key: image.key } },
    h("span.review-mark.small", {}, words), middleCut(splitKey(image.key).name, { title: image.path ?? image.key }),
    h("span.small.quiet.numbers", {}, bytes(image.bytes)), h("span.review-reason.small.quiet", {}, reason));
}

/** A group, with the marks of the server's plan where there is one. */
function row(group, model, plan) {
  const lines = group.images.map((image) => {
    const isKept = group.kept.has(image.key);
    const planned = isKept ? null : plan?.marks.get(image.key);
    const reason = planned?.mark === "skip" ? planned.reason : model.reasonOf(group, image);
    return line(image, isKept ? "keep" : (planned?.mark ?? "remove"), reason);
  });
  const kept = group.images.find((image) => group.kept.has(image.key));
  return h("li.review-group", { data: { id: group.id } }, h("span.review-image", { data: { frame: "" } }, thumbnail(kept.thumbnail, { size: 96, of: kept })), h("ul", {}, lines));
}

function skippedText(skipped) {
  const entries = Object.entries(skipped);
  return entries.length ? `Left alone: ${entries.map(([reason, number]) => `${count(number)} (${reason})`).join("; ")}.` : "";
}

/** Open the review of groups; `why` says why files cannot be moved, or is empty; `apply(way)` is called once, after it. */
export function openReview({ groups, model, why, apply }) {
  const byId = new Map(groups.map((group) => [group.id, group]));
  const choices = choicesOf(model, groups);
  const total = model.totals(groups);
  const control = new AbortController();
  let way = why ? "gallery" : "trash";
  let plan = null;
  const name = uniqueId("way");
  const summary = h("p.review-summary.numbers", { role: "status" });
  const notes = h("p.small.quiet");
  const list = h("div.review-list", { tabIndex: 0, role: "group", "aria-label": "Images of each group" });
  const act = button("", { look: "danger", onclick: () => dialog.close(way) });
  const option = (id) => h("label.review-way", {}, h("input", { type: "radio", name, checked: id === way, disabled: id === "trash" && why !== "", onchange: () => choose(id) }),
    h("span", {}, h("strong", {}, WAYS[id].label), h("span.small.quiet", {}, id === "trash" && why ? `Not available: ${why}` : WAYS[id].text)));
  const dialog = openDialog({
    title: `Review: ${plural(total.groups, "group")}`, look: "wide review",
    body: [h("fieldset.review-ways", {}, h("legend.visually-hidden", {}, "What happens to the images that are not kept"), option("trash"), option("gallery")), summary, notes, list],
    actions: [button("Cancel", { onclick: () => dialog.close("") }), act],
    closed: (value) => {
      control.abort();
      rows.clear();
      if (value) apply(value);
    },
  });
  const rows = lazyChunks(list, (id) => row(byId.get(id), model, way === "trash" ? plan : null), { size: 20, estimate: 1700, scroller: list });

  function show() {
    if (way === "gallery") {
      summary.textContent = `${countImages(total.removed)} of ${plural(total.groups, "group")} leave the gallery. No file is changed.`;
      notes.textContent = "";
      act.textContent = `Remove ${countImages(total.removed)} from gallery`;
    } else {
      summary.textContent = plan ? `${plural(plan.removed, "file")} of ${bytes(plan.frees)} go to the trash.` : "Checking the files …";
      notes.textContent = plan ? skippedText(plan.skipped) : "";
      act.textContent = plan ? `Move ${plural(plan.removed, "file")} to trash` : "Move to trash";
    }
    act.disabled = way === "trash" && !plan?.removed;
    rows.clear();
    rows.set([...byId.keys()]);
  }
  async function choose(id) {
    way = id;
    show();
    if (way !== "trash" || plan) return;
    try {
      plan = await planAll(choices, { signal: control.signal, progress: (done) => (summary.textContent = `Checking the files: ${count(done)} of ${plural(choices.length, "group")} …`) });
      if (way === "trash") show();
    } catch (problem) {
      if (problem.name !== "AbortError" && way === "trash") summary.textContent = problemText(problem);
    }
  }
  choose(way);
  act.focus();
  return dialog;
}
