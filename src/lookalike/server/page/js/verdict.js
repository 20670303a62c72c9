// What a search found, in words: copies, probable copies, variants; "no copy" only where everything was compared.
import { count, plural, thresholds } from "./format.js";

const MAX_RATE = 0.01; // a similar image is nearer than all but this share of the pairs of unrelated images
const NEARER = 0.9; // where no such rate was measured: nearer than this share of the median distance of the others
const MIN_SIMILAR = 4;
const MAX_SIMILAR = 12;

/** How many hits there are of each kind. */
export function tally(hits) {
  const n = (test) => hits.filter(test).length;
  return {
    exact: n((hit) => hit.evidence === "exact"),
    copies: n((hit) => hit.evidence === "copy" && hit.verified),
    probable: n((hit) => hit.evidence === "copy" && !hit.verified),
    variants: n((hit) => hit.evidence === "variant"),
  };
}

/** Why copies may have been missed, in sentences; "" where all candidates were compared. */
export function doubts(answer) {
  const reasons = [];
  const failed = Object.keys(answer.failed ?? {});
  if (failed.length) reasons.push(`${failed.join(" and ")} did not answer.`);
  const verification = answer.verification;
  if (!verification) reasons.push("Pixels were not compared.");
  if (verification?.skipped) reasons.push(`${plural(verification.skipped, "candidate was", "candidates were")} not compared in time.`);
  if (verification?.unavailable) reasons.push(`The pixels of ${plural(verification.unavailable, "candidate")} are not available.`);
  for (const { name, threshold } of thresholds()) {
    const within = answer.exact_within?.[name];
    if (typeof within === "number" && within < threshold) reasons.push(`The index ${name} is approximate.`);
  }
  return reasons.join(" ");
}

/** The headline of the hits. */
export function headline(hits, answer) {
  if (hits.length === 0) return "No results";
  const { exact, copies, probable, variants } = tally(hits);
  const parts = [
    exact && (exact === 1 ? "the same image" : `${count(exact)} identical images`),
    copies && plural(copies, "copy", "copies"),
    probable && plural(probable, "probable copy", "probable copies"),
    variants && plural(variants, "variant"),
  ].filter(Boolean);
  const last = parts.pop();
  if (last) return `Found: ${parts.length ? `${parts.join(", ")} and ` : ""}${last}`;
  return doubts(answer) ? "No copy found so far" : "No copy found";
}

/** The result of a search in a few words. */
export function shortVerdict(hits, answer) {
  const { exact, copies, probable, variants } = tally(hits);
  if (exact + copies) return plural(exact + copies, "copy", "copies");
  if (probable) return plural(probable, "probable copy", "probable copies");
  if (variants) return plural(variants, "variant");
  return hits.length ? "No copy found" : "No results";
}

/** How many of the similar hits, nearest first, are shown at first: those clearly nearer than unrelated ones, at least a few. */
export function similarShown(hits) {
  if (hits.length <= MIN_SIMILAR) return hits.length;
  const distances = hits.map((hit) => hit.distance).sort((a, b) => a - b);
  const limit = NEARER * distances[Math.floor(distances.length / 2)];
  const near = (hit) => (hit.false_match_rate === null ? hit.distance <= limit : hit.false_match_rate <= MAX_RATE);
  const nearer = hits.filter(near).length;
  return Math.min(hits.length, Math.max(MIN_SIMILAR, Math.min(MAX_SIMILAR, nearer)));
}
