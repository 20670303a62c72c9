// The list of duplicates as a CSV file.
import { h } from "./dom.js";

const HEADER = ["group", "action", "reason", "key", "path", "width", "height", "bytes", "format", "captured", "sha256"];

/** A field, quoted where it must be; what a spreadsheet would take for a formula is preceded by an apostrophe. */
function field(value) {
  const text = String(value ?? "");
  const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** The CSV text (RFC 4180) of groups. */
export function csvOf(model, groups) {
  const lines = [HEADER];
  for (const group of groups) {
    for (const image of group.images) {
      lines.push([group.id, group.kept.has(image.key) ? "keep" : "remove", model.reasonOf(group, image), image.key, image.path, image.width, image.height, image.bytes, image.format, image.exif?.captured, image.sha256]);
    }
  }
  return lines.map((line) => `${line.map(field).join(",")}\r\n`).join("");
}

/** Let the browser save a text as a file. */
export function saveText(name, text, type = "text/csv") {
  const url = URL.createObjectURL(new Blob(["\ufeff", text], { type: `${type};charset=utf-8` }));
  const link = h("a", { href: url, download: name, hidden: true });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
