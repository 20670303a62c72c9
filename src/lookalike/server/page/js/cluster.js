// The card of a group of duplicates: its images, which of them are kept and why, and what can be done with the others.
import { button, h, middleCut } from "./dom.js";
import { bytes, capital, count, countImages, plural, sizeOf, splitKey } from "./format.js";
import { thumbnail } from "./thumbnail.js";

const MAX_DIGIT = 9; // keys that keep an image

function member(image, at, group, { model, keep, compare, exclude }) {
  const { folder, name } = splitKey(image.key);
  const isKept = group.kept.has(image.key);
  const reason = model.reasonOf(group, image);
  const box = h("input", { type: "checkbox", checked: isKept, "aria-label": `Keep ${name}`, onchange: () => keep(group, image, box.checked) });
  const digit = at < MAX_DIGIT ? h("kbd.member-digit", { "aria-hidden": "true" }, String(at + 1)) : null;
  const captured = image.exif?.captured?.slice(0, 10);
  return h("li.card.member", { class: isKept ? "kept" : "", data: { frame: "", key: image.key } },
    h("button.member-image", { type: "button", "data-main": "", "aria-label": `Compare ${name} with the kept image`, onclick: () => compare(group, image) }, thumbnail(image.thumbnail, { size: 256, of: image })),
    h("div.member-words", {},
      h("p.member-name", {}, middleCut(name, { title: image.path ?? image.key })),
      h("p.small.quiet.numbers", {}, `${sizeOf(image)} · ${bytes(image.bytes)}`),
      h("p.small.quiet.numbers", {}, [image.format, captured && `taken ${captured}`, image.missing && "file missing"].filter(Boolean).join(" · ")),
      folder ? h("p.small.quiet", {}, middleCut(folder)) : null),
    h("div.member-choice.needs-write", {},
      h("label.member-keep", {}, box, h("span", {}, "Keep"), digit),
      h("span.member-reason.small", {}, reason ? `${isKept ? "" : "not kept: "}${reason}` : "")),
    group.images.length > 2 ? button("Not a duplicate", { look: "little plain needs-write", "aria-label": `${name} is not a duplicate`, "data-tip": "Take this image out; it is not grouped with these again", onclick: () => exclude(group, image) }) : null);
}

/**
 * `actions`: `keep(group, image, on)`, `compare(group, image)`, `exclude(group, image)`, `notDuplicates(group)`,
 * `remove(group)` from the gallery, `trash(group)`; `trashAllowed()` says whether files may be moved.
 */
export function clusterCard(group, actions) {
  const { model } = actions;
  const total = model.totals([group]);
  const exact = group.cluster.evidence === "exact" || group.images.every((image) => image.sha256 === group.images[0].sha256);
  const heading = `${countImages(group.images.length)}${exact ? ", exact copies" : ""}`;
  const note = total.removed ? `${plural(group.kept.size, "image")} kept, ${count(total.removed)} not: ${bytes(total.bytes)}` : "All are kept";
  const buttons = h("div.cluster-actions.needs-write", {},
    button("Not duplicates", { look: "little plain", symbol: "unequal", "data-tip": "None of these is a copy of another; they are not grouped again", onclick: () => actions.notDuplicates(group) }),
    total.removed > 0 && button("Remove from gallery", { look: "little", symbol: "close", "data-tip": `${plural(total.removed, "image")} not kept; the files stay where they are`, onclick: () => actions.remove(group) }),
    total.files > 0 && actions.trashAllowed() && button("Move to trash", { look: "little danger-quiet", symbol: "trash", "data-tip": `${plural(total.files, "file")} not kept; their images leave the gallery`, onclick: () => actions.trash(group) }));
  return h("li.cluster", { data: { id: group.id } },
    h("header.cluster-head", {}, h("h2", {}, capital(heading)), h("p.small.quiet.numbers", {}, note)),
    h("ul.members", { "aria-label": heading }, group.images.map((image, at) => member(image, at, group, actions))),
    buttons);
}
