// The card of a search hit.
import { h, iconButton } from "./dom.js";
import { capital, distance, evidenceOf, explain, sizeOf, splitKey, spokenSize } from "./format.js";
import { thumbnail } from "./thumbnail.js";

/** The evidence badge; its explanation is shown on hover and focus. */
export function badge(hit) {
  const text = explain(hit);
  return h("button.badge", { type: "button", class: hit.evidence, "aria-label": text, "data-tip": text }, evidenceOf(hit));
}

/** `open(hit)` compares it with the query, of `queryFrames` frames; `like(hit)` finds images similar to it. */
export function hitCard(hit, { open, like, queryFrames = 1 }) {
  const { folder, name } = splitKey(hit.key);
  const label = `${name}, ${spokenSize(hit)}, ${evidenceOf(hit).toLowerCase()}, distance ${distance(hit.distance)}: compare`;
  const found = hit.verified && hit.evidence !== "similar" ? hit.verification?.description : null;
  const frames = Math.max(hit.frames ?? 1, queryFrames);
  const parts = [hit.evidence !== "exact" && frames > 1 && `1 of ${frames} frames`, hit.truncated && "truncated"];
  const details = [h("span.numbers", {}, distance(hit.distance)), ...parts, sizeOf(hit), hit.tenant, folder].filter(Boolean);
  const card = h("li.card.hit", { class: hit.evidence, data: { frame: "", key: hit.key } },
    h("button.hit-image", { type: "button", "aria-label": label, "data-main": "", onclick: () => open(hit) }, thumbnail(hit.thumbnail, { size: 384, of: hit })),
    badge(hit),
    h("div.hit-foot", {},
      h("div.hit-names", {},
        h("span.hit-name.cut", { title: hit.key }, name),
        found && h("span.hit-found.small.cut", { title: capital(found) }, capital(found)),
        h("span.hit-where.small.quiet", {}, details.map((part, at) => h("span.cut", {}, part, at < details.length - 1 ? " · " : "")))),
      iconButton("Find similar", "like", { onclick: () => like(hit), "aria-label": `Find similar: ${name}`, "data-tip": "Find similar" })));
  return card;
}
