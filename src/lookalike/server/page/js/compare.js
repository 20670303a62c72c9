// Two images against each other: one wiped over the other, side by side, or their difference; and what each
// generation measures between them.
import { compare, LARGE } from "./api.js";
import { say } from "./announce.js";
import { button, h, icon, iconButton } from "./dom.js";
import { openDialog } from "./dialog.js";
import { badge } from "./hit.js";
import { queryImage } from "./query.js";
import { thumbnail } from "./thumbnail.js";
import { capital, distance, measuredBy, nameOf, sizeOf, sizeSaid, told } from "./words.js";

const MODES = [["swipe", "Swipe"], ["sides", "Side by side"], ["difference", "Difference"]];
let mode = "swipe";

function stageOf(query, hit, labels) {
  const yours = h("div.stage-yours", {}, queryImage(query, "Your image"), h("span.stage-label", {}, labels[0]));
  const found = h("div.stage-found", {}, thumbnail(hit.thumbnail, { size: LARGE, alt: `Found: ${nameOf(hit.key).name}, ${sizeSaid(hit)}`, eager: true, of: hit }), h("span.stage-label.right", {}, labels[1]));
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
    for (const [at, each] of buttons.entries()) each.setAttribute("aria-pressed", String(MODES[at][0] === mode));
    changed();
  } }, words));
  return h("div.segments", { role: "group", "aria-label": "How to compare" }, buttons);
}

function meter(measured) {
  const far = Math.max(0.4, measured.threshold * 2, measured.distance ?? 0);
  const bar = h("span.meter", { "aria-hidden": "true" }, h("span.meter-copy"), measured.distance === null ? null : h("span.meter-at", { class: measured.copy ? "copy" : "similar" }));
  bar.style.setProperty("--limit", String(measured.threshold / far));
  bar.style.setProperty("--at", String((measured.distance ?? 0) / far));
  const words = measured.distance === null ? "says nothing of such a plain image" : measured.copy ? "takes it for a copy" : "beyond its threshold";
  return h("li.measure", {},
    h("div.measure-line", {}, h("strong", {}, capital(measuredBy(measured.name))), h("span.numbers", {}, measured.distance === null ? "–" : distance(measured.distance))),
    bar,
    h("p.small.quiet", {}, `${words}; its threshold is ${distance(measured.threshold)}`));
}

function verdict(found) {
  if (found.same_bytes) return "The same file, byte for byte.";
  if (found.same_pixels) return "Another file with the very same pixels.";
  return found.pipelines.some((p) => p.copy) ? "A copy: edited, scaled or saved anew." : "No copy by any measure; it may merely look alike.";
}

async function measureInto(box, query, hit, signal) {
  box.replaceChildren(h("p.quiet", {}, "Measuring …"));
  try {
    const found = await compare(query, { key: hit.key }, { signal });
    box.replaceChildren(h("p.verdict", {}, verdict(found)), h("ul.measures", {}, found.pipelines.map(meter)));
    say(verdict(found));
  } catch (problem) {
    if (problem.name !== "AbortError") box.replaceChildren(h("p.notice", {}, `${told(problem).title}. ${told(problem).detail}`));
  }
}

function attributeList(attributes) {
  const entries = Object.entries(attributes ?? {});
  if (!entries.length) return null;
  return h("dl.facts", {}, entries.map(([name, value]) => [h("dt", {}, name), h("dd", {}, typeof value === "object" ? JSON.stringify(value) : String(value))]));
}

/** `chosen(hit)` gives what is focused when the dialog closes on that hit. */
export function openCompare({ query, hits, at, like, chosen = null, labels = ["Yours", "Found"] }) {
  let control = new AbortController();
  const body = h("div.compare");
  const place = h("span.small.quiet.numbers");
  const previous = iconButton("Previous image", "previous", { onclick: () => turn(-1) });
  const next = iconButton("Next image", "next", { onclick: () => turn(1) });
  const modes = modeSwitch(() => (body.dataset.mode = mode));
  const picked = { hit: hits[at] };
  const dialog = openDialog({
    title: "Compare", look: "full", body,
    actions: [hits.length > 1 ? [previous, place, next] : null, modes],
    closed: () => {
      control.abort();
      chosen?.(picked.hit)?.focus({ preventScroll: false });
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
    picked.hit = hit;
    const { folder, name } = nameOf(hit.key);
    heading.textContent = name;
    place.textContent = `${at + 1} of ${hits.length}`;
    const measures = h("div.measure-box");
    body.dataset.mode = mode;
    body.replaceChildren(stageOf(query, hit, labels), h("div.compare-side", {},
      h("div.compare-name", {}, hit.evidence ? badge(hit) : null, h("p.small.quiet.wrap", {}, folder ? `${folder}/${name}` : name, h("span.numbers", {}, ` · ${sizeOf(hit)}`))),
      measures,
      attributeList(hit.attributes),
      like && button("Search with this one", { symbol: "like", onclick: () => {
        dialog.close("");
        like(hit);
      } })));
    measureInto(measures, query, hit, control.signal);
  }
  show();
  dialog.querySelector(".stage-range").focus();
  return dialog;
}
