// Threshold control. Automatic: the calibrated thresholds of the pipelines (exact and copies); manual: a distance, applied
// at once. A histogram shows the distances loaded so far.
import { button, eachFrame, h, uniqueId } from "./dom.js";
import { distance, pipelineLabel, thresholds } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";
const BARS = 40;
const DEFAULT_MAX = 0.6;
const STEP = 0.005;

function chart(hits, end) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "spread");
  svg.setAttribute("viewBox", `0 0 ${BARS} 20`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  const bins = Array.from({ length: BARS }, () => ({ n: 0, evidence: "similar" }));
  for (const hit of hits) {
    const bin = bins[Math.min(BARS - 1, Math.floor((hit.distance / end) * BARS))];
    bin.n += 1;
    if (hit.evidence !== "similar" && bin.evidence !== "exact") bin.evidence = hit.evidence;
  }
  const highest = Math.max(1, ...bins.map((bin) => bin.n));
  bins.forEach((bin, at) => {
    if (!bin.n) return;
    const height = Math.max(1.5, Math.sqrt(bin.n / highest) * 20);
    const bar = document.createElementNS(SVG, "rect");
    for (const [name, value] of [["x", at + 0.12], ["y", 20 - height], ["width", 0.76], ["height", height], ["class", bin.evidence]]) bar.setAttribute(name, value);
    svg.append(bar);
  });
  return svg;
}

/** `changed()` is called at most once per frame while the slider moves. */
export function thresholdControl(changed) {
  let chosen = null;
  let hits = [];
  let end = DEFAULT_MAX;
  const id = uniqueId("threshold");
  const range = h("input", { type: "range", id, min: "0", max: String(end), step: String(STEP) });
  const spread = h("div.spread-box");
  const value = h("output.numbers", { htmlFor: id });
  const auto = button("Automatic", { look: "little", "aria-pressed": "true", "data-tip": "Use the calibrated thresholds: matches are exact hits and copies", onclick: () => choose(null) });
  const note = h("p.small.quiet");
  const element = h("div.threshold", {}, h("div.threshold-head", {}, h("label", { htmlFor: id }, "Threshold"), value, auto), spread, range, note);
  const notify = eachFrame(() => changed());

  function within(hit) {
    return chosen === null ? hit.evidence !== "similar" : hit.distance <= chosen + 1e-9;
  }
  function calibrated() {
    const limits = thresholds().map((p) => p.threshold);
    return limits.length ? Math.max(...limits) : 0.2;
  }
  function draw() {
    const shown = chosen ?? calibrated();
    range.value = String(shown);
    range.style.setProperty("--at", String(Math.min(1, shown / end)));
    const matches = hits.filter(within).length;
    value.textContent = chosen === null ? "" : distance(chosen);
    range.setAttribute("aria-valuetext", chosen === null ? `Automatic, ${matches} within` : `${distance(chosen)}, ${matches} of ${hits.length} within`);
    auto.setAttribute("aria-pressed", String(chosen === null));
    auto.classList.toggle("on", chosen === null);
    note.textContent = chosen === null
      ? `Calibrated thresholds: ${thresholds().map((p) => `${distance(p.threshold)} for ${pipelineLabel(p.name)}`).join(", ")}.`
      : `${matches} of ${hits.length} within a distance of ${distance(chosen)}.`;
  }
  function choose(next) {
    chosen = next;
    draw();
    notify();
  }
  range.addEventListener("input", () => choose(Number(range.value)));
  draw();
  return {
    element,
    within,
    get chosen() {
      return chosen;
    },
    /** Set the hits loaded so far. */
    update(latest) {
      const same = latest.length === hits.length && latest.every((hit, at) => hit === hits[at]);
      hits = latest;
      if (same) return draw();
      end = hits.some((hit) => hit.distance > DEFAULT_MAX) ? 1 : DEFAULT_MAX;
      range.max = String(end);
      spread.replaceChildren(chart(hits, end));
      return draw();
    },
  };
}
