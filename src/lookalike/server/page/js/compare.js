// Comparison of two images on the stage, with the verdict, and the distance by each pipeline behind a details arrow.
import { compare } from "./api.js";
import { openDialog } from "./dialog.js";
import { button, h, iconButton } from "./dom.js";
import { capital, count, distance, percentage, pipelineLabel, problemText, sizeOf, splitKey } from "./format.js";
import { badge } from "./hit.js";
import { announce } from "./live-region.js";
import { stageOf } from "./stage.js";

const MODES = [["swipe", "Swipe"], ["sides", "Side by side"], ["difference", "Difference"]];
let mode = "swipe";
let numbersOpen = false;

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
  const words = measured.distance === null ? "no feature: the image is too plain" : measured.copy ? "within the threshold of copies" : "above the threshold of copies";
  return h("li.measure", {},
    h("div.measure-line", {}, h("strong", {}, capital(pipelineLabel(measured.name))), h("span.numbers", {}, measured.distance === null ? "–" : distance(measured.distance))),
    bar,
    h("p.small.quiet", {}, `${words}; threshold ${distance(measured.threshold)}`));
}

/** What a comparison of pixels measured. */
function pixelFacts(verification) {
  if (!verification) return null;
  const rows = [
    verification.agreement !== null && ["Agreeing pixels", percentage(verification.agreement)],
    ["Overlap", `${percentage(verification.query_coverage)} of the first, ${percentage(verification.stored_coverage)} of the second image`],
    verification.differences.length > 0 && ["Parts that differ", count(verification.differences.length)],
  ];
  return h("dl.facts", {}, rows.filter(Boolean).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

function verdict(found) {
  if (found.same_bytes) return "Identical file: the same bytes.";
  if (found.same_pixels) return "Identical pixels in another file.";
  const words = found.verification?.description;
  if (found.verified) return { copy: `A copy: ${words}.`, variant: `A variant: ${words}.` }[found.evidence] ?? "Not a copy: the aligned pixels do not agree.";
  return found.evidence === "copy" ? "Probably a copy: the pixels could not be compared." : "Similar at most: no pipeline takes it for a copy.";
}

async function measureInto(box, query, hit, signal, aligned) {
  box.replaceChildren(h("p.quiet", {}, "Comparing …"));
  try {
    const found = await compare(query, { key: hit.key }, { signal });
    const numbers = h("details.numbers-box", { open: numbersOpen, ontoggle: () => (numbersOpen = numbers.open) }, h("summary.small", {}, "Numbers"), pixelFacts(found.verification), h("ul.measures", {}, found.pipelines.map(meter)));
    box.replaceChildren(h("p.verdict", {}, verdict(found)), numbers);
    aligned(found.verified && found.evidence !== "similar" ? found.verification?.transform : null);
    announce(verdict(found));
  } catch (problem) {
    if (problem.name !== "AbortError") box.replaceChildren(h("p.notice", {}, problemText(problem)));
  }
}

/**
 * Open the comparison of a query with `hits`, at one of them. `lead(hit)` and `more(hit)` return elements of the side
 * before and after the verdict, which comes later; `key(event,
 * hit)` handles keys; `focusOf(hit)` is the element to focus when the dialog closes on that hit; `originals`: the server
 * serves files; `total` is how many hits there are, where more can be loaded. Returns `{dialog, set(state)}`: `set` shows
 * another query and other hits.
 */
export function openCompare({ query, hits, at, size = null, labels = ["Yours", "Found"], like = null, lead = null, more = null, key = null, focusOf = null, originals = false, total = null, foot = [] }) {
  const state = { query, hits, at, size };
  let control = new AbortController();
  let stage = null;
  const body = h("div.compare");
  const place = h("span.small.quiet.numbers");
  const previous = iconButton("Previous image", "previous", { onclick: () => turn(-1) });
  const next = iconButton("Next image", "next", { onclick: () => turn(1) });
  const zoomBox = h("div.zoom-box");
  const modes = modeSwitch(() => {
    stage.fit();
    body.dataset.mode = mode;
  });
  const dialog = openDialog({
    title: "Compare", look: "full", body, actions: [foot, previous, place, next, zoomBox, modes],
    closed: () => {
      control.abort();
      stage.stop();
      focusOf?.(state.hits[state.at])?.focus({ preventScroll: false });
    },
  });
  const heading = dialog.querySelector("h2");
  dialog.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || stage.key(event)) return;
    if (event.key === "[" || event.key === "]") turn(event.key === "[" ? -1 : 1);
    else key?.(event, state.hits[state.at]);
  });

  function turn(by) {
    state.at = (state.at + by + state.hits.length) % state.hits.length;
    show();
  }
  function show() {
    control.abort();
    control = new AbortController();
    stage?.stop();
    const hit = state.hits[state.at];
    const { name } = splitKey(hit.key);
    heading.textContent = name;
    for (const part of [previous, place, next]) part.hidden = state.hits.length < 2;
    place.textContent = `${count(state.at + 1)} of ${count(Math.max(total?.() ?? 0, state.hits.length))}`;
    const measures = h("div.measure-box");
    body.dataset.mode = mode;
    const mine = stageOf({ query: state.query, hit, labels, size: state.size, originals });
    stage = mine;
    zoomBox.replaceChildren(mine.tools);
    body.replaceChildren(mine.element, h("div.compare-side", {},
      h("div.compare-name", {}, hit.evidence ? badge(hit) : null, h("p.small.quiet.wrap", {}, hit.key, h("span.numbers", {}, ` · ${sizeOf(hit)}`))),
      lead?.(hit),
      measures,
      more?.(hit, control.signal),
      like && button("Find similar", { symbol: "like", onclick: () => {
        dialog.close("");
        like(hit);
      } })));
    measureInto(measures, state.query, hit, control.signal, mine.align);
  }
  show();
  stage.focus();
  return {
    dialog,
    set(next) {
      Object.assign(state, next);
      show();
    },
  };
}
