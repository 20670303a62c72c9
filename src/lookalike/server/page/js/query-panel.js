// The query image and its actions.
import { LARGE } from "./api.js";
import { takePhoto } from "./camera.js";
import { cropDialog } from "./crop.js";
import { button, h, iconButton, middleCut } from "./dom.js";
import { chooseFiles } from "./file-input.js";
import { bytes, capital, count, distance, pipelineLabel } from "./format.js";
import { toast } from "./live-region.js";
import { fromBlob, pixelsOf, queryImage } from "./query.js";

/** Crop the query image; resolves to a new query, or null. */
async function cropQuery(query) {
  const bitmap = await pixelsOf(query);
  if (!bitmap) {
    toast("This browser cannot display this image format, so it cannot be cropped.");
    return null;
  }
  const crop = await cropDialog(bitmap);
  bitmap.close();
  return crop && fromBlob(crop, `Crop of ${query.name}`, query);
}

/** `search(query)` starts another search. */
export function queryPanel(search) {
  const frame = h("div.query-frame");
  const name = h("p.query-name");
  const about = h("p.small.quiet.numbers");
  const whole = button("Whole image", { look: "little", symbol: "undo", onclick: () => current.parent && search(current.parent) });
  const crop = button("Crop", { look: "little", symbol: "crop", onclick: async () => {
    const part = await cropQuery(current);
    if (part) search(part);
  } });
  const other = button("Replace", { look: "little", symbol: "upload", "aria-label": "Replace: choose an image", onclick: async () => {
    const [file] = await chooseFiles();
    if (file) search(fromBlob(file, file.name));
  } });
  const photo = iconButton("Take a photo", "camera", { look: "little", onclick: async () => {
    const shot = await takePhoto();
    if (shot) search(fromBlob(shot, "Photo"));
  } });
  const element = h("div.query", {}, frame, h("div.query-words", {}, name, about, h("div.query-actions", {}, crop, whole, other, photo)));
  let current = null;
  return {
    element,
    /** Show a query; `answer` is what was found for it. */
    show(query, answer = null) {
      current = query;
      const image = queryImage(query, "Your image");
      frame.replaceChildren(image);
      name.replaceChildren(middleCut(query.name, { title: query.key ?? query.url ?? query.name }));
      whole.hidden = !query.parent;
      crop.hidden = image.tagName !== "IMG";
      const facts = [query.blob ? bytes(query.blob.size) : query.key ? "in this gallery" : "on the web", answer?.truncated && "truncated: pixels are missing"];
      const write = (...first) => (about.textContent = [...first, ...facts].filter(Boolean).join(" · "));
      write();
      for (const event of ["error", "unavailable"]) image.addEventListener(event, () => (crop.hidden = true));
      image.addEventListener("load", () => {
        crop.hidden = false;
        const isSmall = Boolean(query.small) && Math.max(image.naturalWidth, image.naturalHeight) >= LARGE; // the size of the preview
        if (query.blob && !isSmall) write(`${count(image.naturalWidth)} × ${count(image.naturalHeight)}`);
      });
    },
  };
}

/** Timings, and the distance up to which the search is exhaustive, by pipeline. */
export function searchDetails(answer) {
  const times = Object.entries(answer.took_ms ?? {});
  const guarantees = Object.entries(answer.exact_within ?? {}).map(([pipeline, within]) => {
    const by = capital(pipelineLabel(pipeline));
    if (within === null) return `${by}: nothing was compared, for ${answer.not_compared?.[pipeline] ?? "the image has no feature"}.`;
    if (within >= 1) return `${by}: exhaustive.`;
    return within < 0 ? `${by}: approximate, without guarantee.` : `${by}: exhaustive up to a distance of ${distance(within)}.`;
  });
  return h("details.how", {}, h("summary", {}, "Search details"),
    h("ul.small.quiet", {}, guarantees.map((line) => h("li", {}, line))),
    times.length ? h("dl.times.small.numbers", {}, times.map(([stage, ms]) => [h("dt", {}, stage), h("dd", {}, `${Number(ms).toFixed(1)} ms`)])) : null);
}
