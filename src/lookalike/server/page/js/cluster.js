// A cluster of duplicates: the image to keep, and actions on the others.
import { button, h, icon, uniqueId } from "./dom.js";
import { bytes, count, countImages, distance, sizeOf, splitKey } from "./format.js";
import { thumbnail } from "./thumbnail.js";

/** The image with the most pixels, then the most bytes (less compressed), then the oldest. */
function bestOf(images) {
  return [...images].sort((a, b) => b.width * b.height - a.width * a.height || b.bytes - a.bytes || a.created.localeCompare(b.created))[0];
}

function member(image, best, group, { keep, look, exclude, many }) {
  const { folder, name } = splitKey(image.key);
  const radio = h("input", { type: "radio", name: group, value: image.key, onchange: () => keep(image), "data-main": "" });
  const card = h("li.card.member", { data: { frame: "", key: image.key } },
    h("button.member-image", { type: "button", "aria-label": `Compare ${name} with the best`, onclick: () => look(image) }, thumbnail(image.thumbnail, { size: 384, of: image })),
    h("div.member-words", {},
      h("p.cut", { title: image.key }, name),
      h("p.small.quiet.numbers.cut", {}, `${sizeOf(image)} · ${bytes(image.bytes)} · ${image.format}`),
      folder ? h("p.small.quiet.cut", { title: folder }, folder) : null),
    h("label.member-keep.needs-write", {}, radio, h("span", {}, "Keep")),
    many ? button("Not a match", { look: "little plain needs-write", "aria-label": `${name} is not a match`, "data-tip": "Exclude this image; it is not grouped with the others again", onclick: () => exclude(image) }) : null);
  radio.checked = image === best;
  return card;
}

/**
 * The card of a cluster. `removeOthers(cluster, best)`, `notAMatch(cluster, keysToPart)` and `compare(best, other)` are called
 * by its buttons.
 */
export function clusterCard(cluster, { removeOthers, notAMatch, compare }) {
  const group = uniqueId("best");
  let best = bestOf(cluster.images);
  const suggested = best;
  const others = cluster.images.length - 1;
  const act = button("", { look: "danger-quiet", symbol: "trash", onclick: () => removeOthers(cluster, best) });
  const members = h("ul.members");
  const title = h("h2", {}, countImages(cluster.images.length), cluster.evidence === "exact" ? " with the same pixels" : "");
  function show() {
    for (const card of members.children) {
      const kept = card.dataset.key === best.key;
      card.classList.toggle("kept", kept);
      card.querySelector(".member-flag")?.remove();
      if (card.dataset.key === suggested.key) card.append(h("span.member-flag.small", {}, icon("star"), "Largest"));
    }
    act.lastChild.textContent = others === 1 ? "Remove the other" : `Remove the other ${count(others)}`;
    const saved = cluster.images.reduce((sum, image) => sum + (image === best ? 0 : image.bytes), 0);
    note.textContent = `${typeof cluster.distance === "number" ? `${distance(cluster.distance)} maximum distance · ` : ""}${bytes(saved)} in the other${others === 1 ? "" : "s"}`;
  }
  const note = h("p.small.quiet.numbers");
  const card = h("li.cluster", { data: { id: cluster.id } },
    h("header.cluster-head", {}, h("div", {}, title, note), h("div.cluster-actions.needs-write", {},
      button("Not a match", { symbol: "unequal", "data-tip": "None of these are copies of one another; they are not grouped again", onclick: () => notAMatch(cluster, null) }), act)),
    h("fieldset", {}, h("legend.visually-hidden", {}, "Which one to keep"), members));
  act.append(document.createTextNode(""));
  members.append(...cluster.images.map((image) => member(image, best, group, {
    many: cluster.images.length > 2,
    keep: (image) => {
      best = image;
      show();
    },
    look: (image) => compare(image === best ? cluster.images.find((other) => other !== best) : image, best),
    exclude: (image) => notAMatch(cluster, image),
  })));
  show();
  return card;
}
