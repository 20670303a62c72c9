// What is known of an image, and what can be done with its file: copy the path, open the original, search with a part.
import { image as fetchImage, originalOf } from "./api.js";
import { cropDialog } from "./crop.js";
import { button, h, icon } from "./dom.js";
import { bytes, count, date, sizeOf, splitKey } from "./format.js";
import { toast } from "./live-region.js";
import { fromBlob, fromKey, pixelsOf } from "./query.js";

/** "1/60 s, f/2.8, ISO 400" of what is known of it. */
function exposureText({ exposure, f_number: aperture, iso }) {
  const time = exposure && (exposure < 0.3 ? `1/${Math.round(1 / exposure)} s` : `${Number(exposure.toFixed(1))} s`);
  return [time, aperture && `f/${Number(aperture.toFixed(1))}`, iso && `ISO ${iso}`].filter(Boolean).join(", ");
}

function exifFacts(exif) {
  const { captured, camera, latitude, longitude } = exif;
  const exposure = exposureText(exif);
  return [captured && ["Taken", captured.replace("T", " ")], camera && ["Camera", camera], exposure && ["Exposure", exposure], latitude !== undefined && ["Place", `${latitude}, ${longitude}`]];
}

/** The facts of an image's record. */
export function factList(image) {
  const { folder } = splitKey(image.key);
  const rows = [["Size", `${sizeOf(image)}, ${bytes(image.bytes)}`], ["Format", image.format], image.frames > 1 && ["Frames", count(image.frames)], image.truncated && ["Damage", "truncated: pixels are missing"], image.missing && ["File", "missing: it is no longer in its folder"], ...exifFacts(image.exif ?? {}), folder && ["Folder", folder], ["Added", date(image.created)],
    ...Object.entries(image.attributes ?? {}).map(([name, value]) => [name, typeof value === "object" ? JSON.stringify(value) : String(value)]), image.path && ["Path", h("span.image-path", {}, image.path)], ["SHA-256", h("span.mono.wrap", {}, image.sha256)]];
  return h("dl.facts", {}, rows.filter(Boolean).map(([name, value]) => [h("dt", {}, name), h("dd.wrap", {}, value)]));
}

async function copyText(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    toast(`${what} copied.`, { seconds: 3 });
  } catch {
    toast(`The browser does not allow copying. ${what}: ${text}`, { seconds: 15 });
  }
}

/** Cut a part out of an image of the gallery, and search with it; `box` (shares of the image) is the frame drawn first. */
export async function searchPart(key, { search, originals = false, box = null }) {
  const query = fromKey(key);
  const bitmap = await pixelsOf(query, { original: originals });
  if (!bitmap) {
    toast("This image has no preview, so no part of it can be cut out.");
    return;
  }
  const part = await cropDialog(bitmap, box);
  bitmap.close();
  if (part) search(fromBlob(part, `Part of ${query.name}`, query));
}

/** Buttons for an image's file. `search(query)` starts a search; `leave()` closes the dialog that they are in. */
export function fileActions(image, { search, leave, box = null }) {
  const originals = Boolean(image.path);
  return [
    button("Search with a part", { symbol: "crop", onclick: () => {
      leave();
      searchPart(image.key, { search, originals, box });
    } }),
    originals && h("a.button", { href: originalOf(image.key), target: "_blank", rel: "noopener" }, icon("image"), "Open original"),
    originals ? button("Copy path", { symbol: "copies", onclick: () => copyText(image.path, "Path") }) : button("Copy name", { symbol: "copies", onclick: () => copyText(image.key, "Name") }),
  ];
}

/** The facts and the actions of an image by its key, filled in when its record has arrived. */
export function lateFacts(key, { signal, ...options }) {
  const box = h("div.late-facts");
  fetchImage(key, { signal }).then((image) => box.replaceChildren(factList(image), h("div.side-actions", {}, fileActions(image, options).filter(Boolean)))).catch(() => null); // the comparison itself reports errors
  return box;
}
