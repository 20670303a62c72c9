// One found image, as a card.
import { h, iconButton } from "./dom.js";
import { thumbnail } from "./thumbnail.js";
import { distance, EVIDENCE, explain, nameOf, sizeOf, sizeSaid } from "./words.js";

/** The badge that says what kind of evidence there is; its explanation is shown on hover and focus. */
export function badge(hit) {
  const words = explain(hit);
  return h("button.badge", { type: "button", class: hit.evidence, "aria-label": words, "data-tip": words }, EVIDENCE[hit.evidence]);
}

/** `open(hit)` compares it with the query, `like(hit)` searches with it. */
export function hitCard(hit, { open, like }) {
  const { folder, name } = nameOf(hit.key);
  const said = `${name}, ${sizeSaid(hit)}, ${EVIDENCE[hit.evidence].toLowerCase()}, distance ${distance(hit.distance)}: compare`;
  const where = [h("span.numbers", {}, distance(hit.distance)), sizeOf(hit), hit.tenant, folder].filter(Boolean);
  const card = h("li.card.hit", { class: hit.evidence, data: { frame: "", key: hit.key } },
    h("button.hit-image", { type: "button", "aria-label": said, "data-main": "", onclick: () => open(hit) }, thumbnail(hit.thumbnail, { size: 384, of: hit })),
    badge(hit),
    h("div.hit-foot", {},
      h("div.hit-names", {},
        h("span.hit-name.cut", { title: hit.key }, name),
        h("span.hit-where.small.quiet", {}, where.map((part, at) => h("span.cut", {}, part, at < where.length - 1 ? " · " : "")))),
      iconButton("Search with this one", "like", { onclick: () => like(hit), "aria-label": `Search with this one: ${name}`, "data-tip": "Search with this one" })));
  return card;
}
