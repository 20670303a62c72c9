// How images get in: dropped anywhere, pasted anywhere, chosen. What happens to them is the view's business.
import { alarm, toast } from "./announce.js";
import { isTyping } from "./dom.js";
import { filesOfDrop } from "./folders.js";

const IMAGE = /\.(jpe?g|jfif|png|webp|gif|bmp|dib|tiff?|avif|heic|heif)$/i;

/** Whether a file may be an image, by what the browser or its name says; the server has the last word. */
export function mayBeImage(file) {
  return file.type.startsWith("image/") || (IMAGE.test(file.name) && !file.type.startsWith("video/"));
}

const ACCEPT = "image/*,.heic,.heif,.avif,.tif,.tiff,.bmp,.webp";

/** Opens the browser's chooser; gives the files, none when it was dismissed. */
export function chooseFiles({ multiple = false, folder = false, capture = null } = {}) {
  return new Promise((resolve) => {
    const input = document.createElement("input");
    input.type = "file";
    input.multiple = multiple;
    if (!folder) input.accept = ACCEPT;
    if (folder) input.webkitdirectory = true;
    if (capture) input.setAttribute("capture", capture);
    input.addEventListener("change", () => resolve([...input.files]));
    input.addEventListener("cancel", () => resolve([]));
    input.click();
  });
}

function carriesFiles(event) {
  return [...(event.dataTransfer?.types ?? [])].some((type) => type === "Files" || type === "text/uri-list");
}

/** `target()` is what the view shown now wants: `{title, files(entries), url(text)}`; null takes nothing. */
export function initIntake(target) {
  const veil = document.getElementById("veil");
  let depth = 0;
  const lift = () => {
    depth = 0;
    veil.hidden = true;
  };
  document.addEventListener("dragenter", (event) => {
    const wanted = target();
    if (!wanted || !carriesFiles(event) || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    depth += 1;
    document.getElementById("veil-title").textContent = wanted.title;
    veil.hidden = false;
  });
  document.addEventListener("dragover", (event) => carriesFiles(event) && event.preventDefault());
  document.addEventListener("dragleave", () => {
    depth -= 1;
    if (depth <= 0) lift();
  });
  document.addEventListener("drop", async (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault(); // an image dropped beside the mark must not replace the page
    lift();
    const wanted = target();
    if (!wanted || document.querySelector("dialog[open]")) return;
    const url = event.dataTransfer.getData("text/uri-list").split("\n").find((line) => /^https?:/.test(line));
    const files = await filesOfDrop(event.dataTransfer);
    if (files.length) wanted.files(files);
    else if (url) wanted.url?.(url.trim());
  });
  document.addEventListener("paste", (event) => {
    const wanted = target();
    if (!wanted || document.querySelector("dialog[open]")) return;
    const files = [...(event.clipboardData?.files ?? [])].map((file) => ({ file, path: file.name || "pasted.png" }));
    if (files.length) {
      event.preventDefault();
      wanted.files(files);
      return;
    }
    const text = event.clipboardData?.getData("text/plain").trim() ?? "";
    if (/^https?:\/\/\S+$/.test(text) && !isTyping(event.target)) wanted.url?.(text);
  });
}

/** Reads the clipboard on a click, where the browser allows it. */
export async function pasteFromClipboard() {
  try {
    for (const item of await navigator.clipboard.read()) {
      const type = item.types.find((kind) => kind.startsWith("image/"));
      if (type) return await item.getType(type);
    }
    toast("There is no image in the clipboard.");
  } catch {
    alarm("The browser does not hand out the clipboard on a click.");
    toast("The browser does not hand out the clipboard on a click: press Ctrl+V (⌘V) instead.");
  }
  return null;
}
