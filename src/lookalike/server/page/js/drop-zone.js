// The start view: drop zone, file input, camera, clipboard and URL.
import { images } from "./api.js";
import { takePhoto } from "./camera.js";
import { button, h, icon } from "./dom.js";
import { chooseFiles, pasteFromClipboard } from "./file-input.js";
import { countImages, splitKey } from "./format.js";
import { fromBlob, fromKey, fromUrl } from "./query.js";
import { thumbnail } from "./thumbnail.js";

const EXAMPLES = 12;

function urlForm(search) {
  const field = h("input.input", { type: "url", name: "url", placeholder: "https://… address of an image", "aria-label": "Address of an image", required: true, autocomplete: "off", pattern: "https?://.+" });
  return h("form.url-form", {
    onsubmit: (event) => {
      event.preventDefault();
      search(fromUrl(field.value.trim()));
    },
  }, icon("link"), field, button("Search", { type: "submit" }));
}

async function strip(search) {
  const box = h("div.hero-strip");
  const { images: examples } = await images({ limit: EXAMPLES });
  if (!examples.length) return null;
  box.append(h("h2.small.quiet", {}, "Or start from an image of the gallery"),
    h("ul.strip", {}, examples.map((image) => h("li", { data: { frame: "" } }, h("button.strip-image", { type: "button", "aria-label": `Find similar: ${splitKey(image.key).name}`, onclick: () => search(fromKey(image.key)) }, thumbnail(image.thumbnail, { size: 384, of: image }))))));
  return box;
}

function lead(status) {
  if (status?.images === 0) return "The gallery is empty. Add images first.";
  const scope = status ? `Search ${countImages(status.images)}` : "Search";
  return `${scope} for the original and for edited copies: cropped, captioned, mirrored, recompressed.`;
}

/** `search(query)` starts a search, `searchFiles(files)` one with each file. Call `update(status)` with the gallery's status (null: unknown); `reset()` makes the
 * next update reload the example images. */
export function dropZone(search, searchFiles) {
  const choose = async () => {
    const files = await chooseFiles({ multiple: true });
    if (files.length) searchFiles(files.map((file) => ({ file, path: file.name })));
  };
  const photo = async () => {
    const shot = await takePhoto();
    if (shot) search(fromBlob(shot, "Photo"));
  };
  const paste = async () => {
    const pasted = await pasteFromClipboard();
    if (pasted) search(fromBlob(pasted, "Pasted image"));
  };
  const zone = h("div.drop-zone", {},
    h("div.drop-art", {}, h("span.drop-card.back"), h("span.drop-card.front", {}, icon("image"))),
    h("p.drop-title", {}, "Drop images here"),
    h("div.hero-actions", {},
      button("Choose images", { look: "primary", symbol: "upload", onclick: choose }),
      button("Take a photo", { symbol: "camera", onclick: photo }),
      button("Paste", { symbol: "paste", onclick: paste })),
    urlForm(search));
  const summary = h("p.hero-lead.quiet");
  const adding = h("div.hero-actions.needs-write", { hidden: true }, h("a.button.primary", { href: "#/gallery" }, icon("plus"), "Add images"));
  const element = h("div.hero", {}, h("h1", { tabIndex: -1 }, "Where does this image come from?"), summary, adding, zone);
  let sequence = null;
  return {
    element,
    reset: () => (sequence = null),
    update(status) {
      summary.textContent = lead(status);
      adding.hidden = status?.images !== 0;
      if (!status || sequence === status.sequence) return;
      sequence = status.sequence;
      element.querySelector(".hero-strip")?.remove();
      strip(search)
        .then((box) => {
          if (box && sequence === status.sequence) element.append(box);
        })
        .catch(() => null); // optional content: the search itself reports errors
    },
  };
}
