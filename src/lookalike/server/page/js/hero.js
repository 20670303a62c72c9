// The beginning: a place to drop an image, and every other way to hand one in.
import { images } from "./api.js";
import { takePhoto } from "./camera.js";
import { button, h, icon } from "./dom.js";
import { chooseFiles, pasteFromClipboard } from "./intake.js";
import { fromBlob, fromKey, fromUrl } from "./query.js";
import { thumbnail } from "./thumbnail.js";
import { nameOf, countImages } from "./words.js";

const SHOWN = 12;

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
  const { images: some } = await images({ limit: SHOWN });
  if (!some.length) return null;
  box.append(h("h2.small.quiet", {}, "Or begin with one of the gallery"),
    h("ul.strip", {}, some.map((image) => h("li", { data: { frame: "" } }, h("button.strip-image", { type: "button", "aria-label": `Search with ${nameOf(image.key).name}`, onclick: () => search(fromKey(image.key)) }, thumbnail(image.thumbnail, { size: 384, of: image }))))));
  return box;
}

function lead(status) {
  if (status?.images === 0) return "The gallery is still empty. Add some images first; then any copy of them is found here.";
  const among = status ? `Among ${countImages(status.images)}, the` : "The";
  return `${among} original is found, and everything that looks like it: cropped, captioned, mirrored, recompressed.`;
}

/** `search(query)` begins a search; call `know(status)` with the gallery's status, null while it is not known; after
 * `forget()` its images are shown anew. */
export function hero(search) {
  const choose = async () => {
    const [file] = await chooseFiles();
    if (file) search(fromBlob(file, file.name));
  };
  const photo = async () => {
    const taken = await takePhoto();
    if (taken) search(fromBlob(taken, "Photo"));
  };
  const paste = async () => {
    const pasted = await pasteFromClipboard();
    if (pasted) search(fromBlob(pasted, "Pasted image"));
  };
  const zone = h("div.drop-zone", {},
    h("div.drop-art", {}, h("span.drop-card.back"), h("span.drop-card.front", {}, icon("image"))),
    h("p.drop-title", {}, "Drop an image here"),
    h("div.hero-actions", {},
      button("Choose an image", { look: "primary", symbol: "upload", onclick: choose }),
      button("Take a photo", { symbol: "camera", onclick: photo }),
      button("Paste", { symbol: "paste", onclick: paste })),
    urlForm(search));
  const words = h("p.hero-lead.quiet");
  const adding = h("div.hero-actions.needs-write", { hidden: true }, h("a.button.primary", { href: "#/gallery" }, icon("plus"), "Add images"));
  const element = h("div.hero", {}, h("h1", { tabIndex: -1 }, "Where does this image come from?"), words, adding, zone);
  let known = null;
  return {
    element,
    forget: () => (known = null),
    know(status) {
      words.textContent = lead(status);
      adding.hidden = status?.images !== 0;
      if (!status || known === status.sequence) return;
      known = status.sequence;
      element.querySelector(".hero-strip")?.remove();
      strip(search)
        .then((box) => {
          if (box && known === status.sequence) element.append(box);
        })
        .catch(() => null); // a nicety: the search itself reports errors
    },
  };
}
