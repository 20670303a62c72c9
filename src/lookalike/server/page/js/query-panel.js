// The image that was searched for, and what can be done with it.
import { button, h, iconButton } from "./dom.js";
import { takePhoto } from "./camera.js";
import { cropDialog } from "./crop.js";
import { chooseFiles } from "./intake.js";
import { fromBlob, pixelsOf, queryImage } from "./query.js";
import { toast } from "./announce.js";
import { bytes, capital, count, distance, measuredBy } from "./words.js";

/** Lets the person cut out a part; gives a query, or null. */
async function cropQuery(query) {
  const bitmap = await pixelsOf(query);
  if (!bitmap) {
    toast("This browser cannot show this kind of image, so it cannot be cut here.");
    return null;
  }
  const part = await cropDialog(bitmap);
  bitmap.close();
  return part && fromBlob(part, `Part of ${query.name}`, query);
}

/** `search(query)` begins another search. */
export function queryPanel(search) {
  const frame = h("div.query-frame");
  const name = h("p.query-name.cut");
  const about = h("p.small.quiet.numbers");
  const whole = button("Whole image", { look: "little", symbol: "undo", onclick: () => current.parent && search(current.parent) });
  const crop = button("Crop", { look: "little", symbol: "crop", onclick: async () => {
    const part = await cropQuery(current);
    if (part) search(part);
  } });
  const other = button("Another", { look: "little", symbol: "upload", "aria-label": "Another: choose an image", onclick: async () => {
    const [file] = await chooseFiles();
    if (file) search(fromBlob(file, file.name));
  } });
  const photo = iconButton("Take a photo", "camera", { look: "little", onclick: async () => {
    const taken = await takePhoto();
    if (taken) search(fromBlob(taken, "Photo"));
  } });
  const element = h("div.query", {}, frame, h("div.query-words", {}, name, about, h("div.query-actions", {}, crop, whole, other, photo)));
  let current = null;
  return {
    element,
    show(query) {
      current = query;
      const image = queryImage(query, "Your image");
      frame.replaceChildren(image);
      name.textContent = query.name;
      name.title = query.key ?? query.url ?? query.name;
      whole.hidden = !query.parent;
      crop.hidden = Boolean(query.url && !query.preview);
      const size = query.blob ? bytes(query.blob.size) : query.key ? "in this gallery" : "on the web";
      about.textContent = size;
      if (query.blob && image.tagName === "IMG") image.addEventListener("load", () => (about.textContent = `${count(image.naturalWidth)} × ${count(image.naturalHeight)} · ${size}`));
    },
  };
}

/** How an answer came about: times, and up to which distance nothing can have been missed. */
export function howFound(answer) {
  const times = Object.entries(answer.took_ms ?? {});
  const promise = Object.entries(answer.exact_within ?? {}).map(([pipeline, within]) => {
    const by = capital(measuredBy(pipeline));
    if (within === null || within >= 1) return `${by} missed nothing.`;
    return within < 0 ? `${by} looks where the best are likely, and promises nothing.` : `${by} missed nothing up to a distance of ${distance(within)}.`;
  });
  return h("details.how", {}, h("summary", {}, "How this was found"),
    h("ul.small.quiet", {}, promise.map((line) => h("li", {}, line))),
    times.length ? h("dl.times.small.numbers", {}, times.map(([stage, ms]) => [h("dt", {}, stage), h("dd", {}, `${Number(ms).toFixed(1)} ms`)])) : null);
}
