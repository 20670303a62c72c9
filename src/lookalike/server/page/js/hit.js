// The card of a search hit.
import { h, icon, iconButton, middleCut, uniqueId } from "./dom.js";
import { capital, distance, evidenceOf, explain, percentage, pipelineLabel, sizeOf, splitKey, spokenSize } from "./format.js";
import { thumbnail } from "./thumbnail.js";

/** The evidence badge; its explanation is shown on hover and focus. */
export function badge(hit) {
  const text = explain(hit);
  return h("button.badge", { type: "button", class: hit.evidence, "aria-label": text, "data-tip": text }, evidenceOf(hit));
}

/** What was done to the image: "Mirrored, cropped to 49%, half the size"; "" where nothing was, or nothing is known. */
export function changesOf(hit) {
  if (!hit.verified || hit.evidence === "similar") return "";
  return capital((hit.verification?.description ?? "").replace(/^the same image(, |$)/, ""));
}

/** The numbers of a hit. */
function numbersOf(hit) {
  const { verification, probability } = hit;
  const rows = [
    ["Distance", `${distance(hit.distance)} by ${pipelineLabel(hit.pipeline)}`],
    verification && verification.agreement !== null && ["Agreement", `${percentage(verification.agreement)} of the compared pixels`],
    verification && verification.agreement !== null && ["Overlap", `${percentage(verification.query_coverage)} of yours, ${percentage(verification.stored_coverage)} of this one`],
    probability && ["Probability of a copy", percentage(probability.value)],
  ];
  return h("dl.facts.hit-numbers", {}, rows.filter(Boolean).map(([name, value]) => [h("dt", {}, name), h("dd.numbers", {}, value)]));
}

function numbersToggle(hit, name) {
  const id = uniqueId("numbers");
  const box = h("div", { id, hidden: true });
  const toggle = h("button.icon-button.hit-more", { type: "button", "aria-expanded": "false", "aria-controls": id, "aria-label": `Numbers: ${name}`, "data-tip": "Numbers", onclick: () => {
    box.hidden = !box.hidden;
    toggle.setAttribute("aria-expanded", String(!box.hidden));
    if (!box.firstChild) box.append(numbersOf(hit));
  } }, icon("down"));
  return { toggle, box };
}

/** `open(hit)` compares it with the query, of `queryFrames` frames; `like(hit)` finds images similar to it. */
export function hitCard(hit, { open, like, queryFrames = 1 }) {
  const { folder, name } = splitKey(hit.key);
  const label = `${name}, ${spokenSize(hit)}, ${evidenceOf(hit).toLowerCase()}: compare`;
  const frames = hit.frames > 1 ? `1 of ${hit.frames} frames` : queryFrames > 1 ? `1 of ${queryFrames} frames of yours` : "";
  const changes = changesOf(hit);
  const parts = [sizeOf(hit), ["copy", "variant"].includes(hit.evidence) && frames, hit.truncated && "truncated", hit.missing && "file missing", hit.tenant].filter(Boolean);
  const numbers = numbersToggle(hit, name);
  return h("li.card.hit", { class: hit.evidence, data: { frame: "", key: hit.key, distance: distance(hit.distance) } },
    h("button.hit-image", { type: "button", "aria-label": label, "data-main": "", onclick: () => open(hit) }, thumbnail(hit.thumbnail, { size: 384, of: hit })),
    h("div.hit-foot", {}, badge(hit), h("span.hit-tools", {}, iconButton("Find similar", "like", { onclick: () => like(hit), "aria-label": `Find similar: ${name}`, "data-tip": "Find similar" }), numbers.toggle)),
    h("div.hit-names", {},
      h("span.hit-name", {}, middleCut(name, { title: hit.key })),
      changes && h("span.hit-found.small", {}, changes),
      h("span.hit-where.small.quiet.numbers", {}, parts.join(" · ")),
      folder && h("span.small.quiet", {}, middleCut(folder))),
    numbers.box);
}
