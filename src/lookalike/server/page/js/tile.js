// A gallery tile, and the dialog with the large preview.
import { LARGE } from "./api.js";
import { openDialog } from "./dialog.js";
import { button, h, iconButton, middleCut } from "./dom.js";
import { count, splitKey, spokenSize } from "./format.js";
import { factList, fileActions } from "./image-facts.js";
import { thumbnail } from "./thumbnail.js";

/** `open(image)` shows it, `pick(image, on, range)` selects it (`range`: with Shift), `like(image)` finds similar images. */
export function tile(image, { open, pick, like }) {
  const { name } = splitKey(image.key);
  let shift = false;
  const box = h("input.tile-pick.needs-write", {
    type: "checkbox", "aria-label": `Select ${name}`,
    onclick: (event) => (shift = event.shiftKey),
    onchange: () => pick(image, box.checked, shift),
  });
  const card = h("li.card.tile", { data: { frame: "", key: image.key } },
    h("button.tile-image", { type: "button", "data-main": "", "aria-label": `${name}, ${spokenSize(image)}`, onclick: () => open(image) }, thumbnail(image.thumbnail, { size: 384, of: image })),
    box,
    h("div.tile-foot", {}, h("span.tile-name.small", { "aria-hidden": "true" }, middleCut(name, { title: null })), iconButton("Find similar", "like", { look: "little", "aria-label": `Find similar: ${name}`, onclick: () => like(image) })));
  card.style.setProperty("--ratio", String(Math.min(3, Math.max(0.5, image.width / image.height || 1))));
  return card;
}

const NEAR_END = 3; // images before the end of the list at which more are loaded

/**
 * A dialog with the large preview and metadata; arrow keys go through `images()`, the current list, which `loadMore()` extends.
 * `total()` is the number of images where more are not loaded yet, else null; `search(query)` searches with a part.
 */
export function openImage(start, { images, like, remove, search, total, loadMore, focusOf }) {
  let image = start;
  const frame = h("div.image-large", { "data-frame": "" });
  const side = h("div.compare-side");
  const place = h("span.small.quiet.numbers");
  const body = h("div.compare.single", {}, frame, side);
  const turn = async (by) => {
    const at = images().indexOf(image);
    if (by > 0 && at + NEAR_END >= images().length) await loadMore();
    const all = images();
    image = all[(at + by + all.length) % all.length];
    show();
  };
  const dialog = openDialog({
    title: "Image", look: "full", body,
    actions: [iconButton("Previous image", "previous", { onclick: () => turn(-1) }), place, iconButton("Next image", "next", { onclick: () => turn(1) })],
    closed: () => focusOf(image)?.focus(),
  });
  const heading = dialog.querySelector("h2");
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") turn(-1);
    if (event.key === "ArrowRight") turn(1);
  });
  function show() {
    const { name } = splitKey(image.key);
    const all = images();
    heading.textContent = name;
    place.textContent = `${count(all.indexOf(image) + 1)} of ${count(total() ?? all.length)}`;
    frame.classList.remove("no-preview");
    frame.replaceChildren(thumbnail(image.thumbnail, { size: LARGE, alt: `${name}, ${spokenSize(image)}`, eager: true, of: image }));
    side.replaceChildren(factList(image), h("div.side-actions", {}, [
      button("Find similar", { look: "primary", symbol: "like", onclick: () => {
        dialog.close("");
        like(image);
      } }),
      ...fileActions(image, { search, leave: () => dialog.close("") }),
      button("Remove from gallery", { look: "needs-write", symbol: "trash", onclick: () => {
        dialog.close("");
        remove([image.key]);
      } })].filter(Boolean)));
  }
  show();
  return dialog;
}
