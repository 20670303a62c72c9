// Which image of a group is kept, and why: rules in order, as `lookalike duplicates --keep` applies them.

const FORMATS = ["TIFF", "PNG", "BMP", "HEIF", "JPEG", "AVIF", "WEBP", "GIF"]; // without loss first
const LOSSLESS = ["TIFF", "PNG", "BMP", "PPM", "TGA"];
const UNKNOWN_TIME = "9999"; // sorts after every capture time

const inner = ({ width, height, border }) => (width - border.left - border.right) * (height - border.top - border.bottom);
const MAX_BORDER_NOISE = 0.05; // by compression, and by the scale at which a JPEG was read
const sizeKey = ({ width, height }) => `${Math.min(width, height)} ${Math.max(width, height)}`;

/** Pixels without borders; of images of one size the most that any has, where the borders hardly differ. */
function comparablePixels(image, images) {
  const most = Math.max(...images.filter((other) => sizeKey(other) === sizeKey(image)).map(inner));
  return inner(image) >= (1 - MAX_BORDER_NOISE) * most ? most : inner(image);
}

const isInFolder = (image, folder) => folder === "" || image.key.startsWith(`${folder}/`);

/** Whether the file was converted from a JPEG of `images`: it is without loss and has exactly its pixels, by `same`. */
const isConverted = (image, images, same) =>
  LOSSLESS.includes(image.format) && images.some((other) => other.format === "JPEG" && same.get(other.key) === same.get(image.key));

/** Less is better: formats without loss first; a GIF is among them for a drawing, which takes fewer bytes than with loss. */
const byQuality = (image, images) => {
  const bytes = (one) => one.bytes / Math.max(1, one.width * one.height);
  const least = Math.min(...images.filter((one) => one.format !== "GIF" && !LOSSLESS.includes(one.format)).map(bytes));
  const isLossless = image.format === "GIF" ? bytes(image) < least : LOSSLESS.includes(image.format);
  const rank = isLossless ? 0 : image.format === "GIF" ? 2 : 1;
  return rank + 1 / (2 + bytes(image)); // the fraction is below 1
};

/** A rule: the images with the lowest `value` stay; `won` and `lost` explain it. */
const RULES = {
  there: { value: (image) => Number(image.missing ?? false), won: "its file is there", lost: "its file is missing" },
  complete: { value: (image) => Number(image.truncated), won: "complete", lost: "truncated: pixels are missing" },
  pixels: { value: (image, { images }) => -comparablePixels(image, images), won: "most pixels", lost: "fewer pixels" },
  exif: { value: (image) => -Number(Object.keys(image.exif ?? {}).length > 0), won: "has EXIF data", lost: "no EXIF data" },
  conversion: { value: (image, { images, same }) => Number(isConverted(image, images, same)), won: "the JPEG that was converted", lost: "converted from a JPEG" },
  quality: { value: (image, { images }) => byQuality(image, images), won: "least compressed", lost: "more compressed" },
  bytes: { value: (image) => -image.bytes, won: "largest file", lost: "smaller file" },
  oldest: { value: (image) => image.exif?.captured ?? UNKNOWN_TIME, won: "taken first", lost: "taken later, or unknown" },
  format: { value: (image) => (FORMATS.includes(image.format) ? FORMATS.indexOf(image.format) : FORMATS.length), won: "preferred format", lost: "other format" },
  folder: { value: (image, { folder }) => -Number(isInFolder(image, folder)), won: "in the preferred folder", lost: "not in the preferred folder" },
  added: { value: (image) => image.created, won: "the same by every rule; added first", lost: "the same by every rule; added later" },
  name: { value: (image) => image.key, won: "the same by every rule; first by name", lost: "the same by every rule; later by name" },
};
const BEST = ["there", "complete", "pixels", "exif", "conversion", "quality", "oldest", "format"];
const TIE_BREAKERS = ["added", "name"];

/** The orders that can be chosen, by id: their label, and the rules. */
export const ORDERS = {
  best: { label: "Best quality", rules: BEST },
  bytes: { label: "Largest file", rules: ["there", "complete", "bytes", ...BEST] },
  oldest: { label: "Taken first", rules: ["there", "complete", "oldest", ...BEST] },
  folder: { label: "In a folder …", rules: ["there", "complete", "folder", ...BEST] },
};

/** The image to keep, and by key why each image is kept or not; `same` has equal numbers by key for equal pixels. */
export function suggest(images, same, order, folder = "") {
  const reasons = new Map();
  let left = [...images];
  for (const name of [...ORDERS[order].rules, ...TIE_BREAKERS]) {
    if (left.length === 1) break;
    const rule = RULES[name];
    const values = new Map(left.map((image) => [image, rule.value(image, { folder, same, images: left })]));
    const best = [...values.values()].reduce((a, b) => (b < a ? b : a));
    const winners = left.filter((image) => values.get(image) === best);
    if (winners.length === left.length) continue;
    for (const image of left) reasons.set(image.key, values.get(image) === best ? rule.won : rule.lost);
    left = winners;
  }
  return { kept: left[0].key, reasons };
}
