// A gallery tile, and the dialog with the large preview.
import { LARGE } from "./api.js";
import { openDialog } from "./dialog.js";
import { button, h, iconButton } from "./dom.js";
import { bytes, count, date, sizeOf, splitKey, spokenSize } from "./format.js";
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
    h("div.tile-foot", {}, h("span.tile-name.small.cut", { "aria-hidden": "true" }, name), iconButton("Find similar", "like", { look: "little", "aria-label": `Find similar: ${name}`, onclick: () => like(image) })));
  card.style.setProperty("--ratio", String(Math.min(3, Math.max(0.5, image.width / image.height || 1))));
  return card;
}

function exifFacts({ captured, camera, latitude, longitude }) {
  return [captured && ["Taken", captured.replace("T", " ")], camera && ["Camera", camera], latitude !== undefined && ["Place", `${latitude}, ${longitude}`]];
}

function facts(image) {
  const { folder } = splitKey(image.key);
  const rows = [["Size", `${sizeOf(image)}, ${bytes(image.bytes)}`], ["Format", image.format], image.frames > 1 && ["Frames", count(image.frames)], image.truncated && ["Damage", "truncated: pixels are missing"], ...exifFacts(image.exif ?? {}), folder && ["Folder", folder], ["Added", date(image.created)],
    ...Object.entries(image.attributes ?? {}).map(([name, value]) => [name, typeof value === "object" ? JSON.stringify(value) : String(value)]), ["SHA-256", h("span.mono.wrap", {}, image.sha256)]];
  return h("dl.facts", {}, rows.filter(Boolean).map(([name, value]) => [h("dt", {}, name), h("dd.wrap", {}, value)]));
}

/** A dialog with the large preview and metadata; arrow keys go through `images()`, the current list. */
export function openImage(start, { images, like, remove, focusOf }) {
  let image = start;
  const frame = h("div.image-large", { "data-frame": "" });
  const side = h("div.compare-side");
  const place = h("span.small.quiet.numbers");
  const body = h("div.compare.single", {}, frame, side);
  const turn = (by) => {
    const all = images();
    const at = all.indexOf(image);
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
    place.textContent = `${all.indexOf(image) + 1} of ${count(all.length)}`;
    frame.classList.remove("no-preview");
    frame.replaceChildren(thumbnail(image.thumbnail, { size: LARGE, alt: `${name}, ${spokenSize(image)}`, eager: true, of: image }));
    side.replaceChildren(facts(image), h("div.side-actions", {},
      button("Find similar", { look: "primary", symbol: "like", onclick: () => {
        dialog.close("");
        like(image);
      } }),
      button("Remove from gallery", { look: "needs-write", symbol: "trash", onclick: () => {
        dialog.close("");
        remove([image.key]);
      } })));
  }
  show();
  return dialog;
}
