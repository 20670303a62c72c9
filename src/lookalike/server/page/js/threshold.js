// The threshold: what counts as a match. Left alone it follows the measured thresholds (exact and copies); moved, it is
// a distance, and filters at once. The small chart shows how the distances that have come so far are spread.
import { button, eachFrame, h, uniqueId } from "./dom.js";
import { distance, measuredBy, thresholds } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";
const BARS = 40;
const USUAL = 0.6;
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
  const most = Math.max(1, ...bins.map((bin) => bin.n));
  bins.forEach((bin, at) => {
    if (!bin.n) return;
    const tall = Math.max(1.5, Math.sqrt(bin.n / most) * 20);
    const bar = document.createElementNS(SVG, "rect");
    for (const [name, value] of [["x", at + 0.12], ["y", 20 - tall], ["width", 0.76], ["height", tall], ["class", bin.evidence]]) bar.setAttribute(name, value);
    svg.append(bar);
  });
  return svg;
}

/** `changed()` is called at most once a frame while the slider moves. */
export function thresholdControl(changed) {
  let chosen = null;
  let hits = [];
  let end = USUAL;
  const id = uniqueId("threshold");
  const range = h("input", { type: "range", id, min: "0", max: String(end), step: String(STEP) });
  const spread = h("div.spread-box");
  const value = h("output.numbers", { htmlFor: id });
  const auto = button("Automatic", { look: "little", "aria-pressed": "true", "data-tip": "Matches are what the measured thresholds call exact or a copy", onclick: () => choose(null) });
  const note = h("p.small.quiet");
  const element = h("div.threshold", {}, h("div.threshold-head", {}, h("label", { htmlFor: id }, "Threshold"), value, auto), spread, range, note);
  const tell = eachFrame(() => changed());

  function within(hit) {
    return chosen === null ? hit.evidence !== "similar" : hit.distance <= chosen + 1e-9;
  }
  function usual() {
    const limits = thresholds().map((p) => p.threshold);
    return limits.length ? Math.max(...limits) : 0.2;
  }
  function draw() {
    const shown = chosen ?? usual();
    range.value = String(shown);
    range.style.setProperty("--at", String(Math.min(1, shown / end)));
    const matches = hits.filter(within).length;
    value.textContent = chosen === null ? "" : distance(chosen);
    range.setAttribute("aria-valuetext", chosen === null ? `Automatic, ${matches} within` : `${distance(chosen)}, ${matches} of ${hits.length} within`);
    auto.setAttribute("aria-pressed", String(chosen === null));
    auto.classList.toggle("on", chosen === null);
    note.textContent = chosen === null
      ? `Copies by measured thresholds: ${thresholds().map((p) => `${distance(p.threshold)} by ${measuredBy(p.name)}`).join(", ")}.`
      : `${matches} of ${hits.length} within a distance of ${distance(chosen)}.`;
  }
  function choose(next) {
    chosen = next;
    draw();
    tell();
  }
  range.addEventListener("input", () => choose(Number(range.value)));
  draw();
  return {
    element,
    within,
    get chosen() {
      return chosen;
    },
    /** The hits that have come so far. */
    update(now) {
      const same = now.length === hits.length && now.every((hit, at) => hit === hits[at]);
      hits = now;
      if (same) return draw();
      end = hits.some((hit) => hit.distance > USUAL) ? 1 : USUAL;
      range.max = String(end);
      spread.replaceChildren(chart(hits, end));
      return draw();
    },
  };
}
