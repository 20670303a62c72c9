// Comparison of two images: swipe, side by side or difference, with the distance by each pipeline.
import { alignOn } from "./align.js";
import { compare, LARGE } from "./api.js";
import { openDialog } from "./dialog.js";
import { button, h, icon, iconButton } from "./dom.js";
import { capital, describeProblem, distance, pipelineLabel, sizeOf, splitKey, spokenSize } from "./format.js";
import { badge } from "./hit.js";
import { announce } from "./live-region.js";
import { queryImage } from "./query.js";
import { thumbnail } from "./thumbnail.js";

const MODES = [["swipe", "Swipe"], ["sides", "Side by side"], ["difference", "Difference"]];
let mode = "swipe";

function stageOf(query, hit, labels) {
  const yours = h("div.stage-yours", {}, queryImage(query, "Your image"), h("span.stage-label", {}, labels[0]));
  const found = h("div.stage-found", {}, thumbnail(hit.thumbnail, { size: LARGE, alt: `Found: ${splitKey(hit.key).name}, ${spokenSize(hit)}`, eager: true, of: hit }), h("span.stage-label.right", {}, labels[1]));
  const range = h("input.stage-range", { type: "range", min: "0", max: "100", value: "50", "aria-label": "How much of your image is shown" });
  const stage = h("div.stage", {}, found, yours, h("span.stage-line", { "aria-hidden": "true" }, h("span.stage-grip", {}, icon("compare"))), range);
  const move = () => {
    stage.style.setProperty("--at", `${range.value}%`);
    range.setAttribute("aria-valuetext", `${range.value} percent`);
  };
  range.addEventListener("input", move);
  move();
  return stage;
}

function modeSwitch(changed) {
  const buttons = MODES.map(([id, words]) => h("button", { type: "button", "aria-pressed": String(id === mode), onclick: () => {
    mode = id;
    for (const [at, element] of buttons.entries()) element.setAttribute("aria-pressed", String(MODES[at][0] === mode));
    changed();
  } }, words));
  return h("div.segments", { role: "group", "aria-label": "How to compare" }, buttons);
}

function meter(measured) {
  const far = Math.max(0.4, measured.threshold * 2, measured.distance ?? 0);
  const bar = h("span.meter", { "aria-hidden": "true" }, h("span.meter-copy"), measured.distance === null ? null : h("span.meter-at", { class: measured.copy ? "copy" : "similar" }));
  bar.style.setProperty("--limit", String(measured.threshold / far));
  bar.style.setProperty("--at", String((measured.distance ?? 0) / far));
  const words = measured.distance === null ? "no feature: the image is too plain" : measured.copy ? "a copy" : "above the threshold";
  return h("li.measure", {},
    h("div.measure-line", {}, h("strong", {}, capital(pipelineLabel(measured.name))), h("span.numbers", {}, measured.distance === null ? "–" : distance(measured.distance))),
    bar,
    h("p.small.quiet", {}, `${words}; threshold ${distance(measured.threshold)}`));
}

function verdict(found) {
  if (found.same_bytes) return "Identical file: the same bytes.";
  if (found.same_pixels) return "Identical pixels in another file.";
  const words = found.verification?.description;
  if (found.verified) return { copy: `A copy: ${words}.`, variant: `A variant: ${words}.` }[found.evidence] ?? "Not a copy: the aligned pixels do not agree.";
  return found.evidence === "copy" ? "Probably a copy, by its distance alone." : "Not a copy by any pipeline; similar at most.";
}

async function measureInto(box, query, hit, signal, aligned) {
  box.replaceChildren(h("p.quiet", {}, "Measuring …"));
  try {
    const found = await compare(query, { key: hit.key }, { signal });
    box.replaceChildren(h("p.verdict", {}, verdict(found)), h("ul.measures", {}, found.pipelines.map(meter)));
    aligned(found.verified && found.evidence !== "similar" ? found.verification?.transform : null);
    announce(verdict(found));
  } catch (problem) {
    if (problem.name !== "AbortError") box.replaceChildren(h("p.notice", {}, `${describeProblem(problem).title}. ${describeProblem(problem).detail}`));
  }
}

function attributeList(attributes) {
  const entries = Object.entries(attributes ?? {});
  if (!entries.length) return null;
  return h("dl.facts", {}, entries.map(([name, value]) => [h("dt", {}, name), h("dd", {}, typeof value === "object" ? JSON.stringify(value) : String(value))]));
}

/** `focusOf(hit)` returns the element to focus when the dialog closes on that hit. */
export function openCompare({ query, hits, at, like, focusOf = null, labels = ["Yours", "Found"] }) {
  let control = new AbortController();
  let stopAligning = () => {};
  const body = h("div.compare");
  const place = h("span.small.quiet.numbers");
  const previous = iconButton("Previous image", "previous", { onclick: () => turn(-1) });
  const next = iconButton("Next image", "next", { onclick: () => turn(1) });
  const modes = modeSwitch(() => (body.dataset.mode = mode));
  const current = { hit: hits[at] };
  const dialog = openDialog({
    title: "Compare", look: "full", body,
    actions: [hits.length > 1 ? [previous, place, next] : null, modes],
    closed: () => {
      control.abort();
      stopAligning();
      focusOf?.(current.hit)?.focus({ preventScroll: false });
    },
  });
  const heading = dialog.querySelector("h2");

  function turn(by) {
    at = (at + by + hits.length) % hits.length;
    show();
  }
  function show() {
    control.abort();
    control = new AbortController();
    const hit = hits[at];
    current.hit = hit;
    const { folder, name } = splitKey(hit.key);
    heading.textContent = name;
    place.textContent = `${at + 1} of ${hits.length}`;
    const measures = h("div.measure-box");
    body.dataset.mode = mode;
    stopAligning();
    const stage = stageOf(query, hit, labels);
    body.replaceChildren(stage, h("div.compare-side", {},
      h("div.compare-name", {}, hit.evidence ? badge(hit) : null, h("p.small.quiet.wrap", {}, folder ? `${folder}/${name}` : name, h("span.numbers", {}, ` · ${sizeOf(hit)}`))),
      measures,
      attributeList(hit.attributes),
      like && button("Find similar", { symbol: "like", onclick: () => {
        dialog.close("");
        like(hit);
      } })));
    measureInto(measures, query, hit, control.signal, (transform) => (stopAligning = alignOn(stage, transform)));
  }
  show();
  dialog.querySelector(".stage-range").focus();
  return dialog;
}
