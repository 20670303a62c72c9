// Image input: drop, paste and file chooser; the current view handles the files.
import { filesOfDrop } from "./directory-upload.js";
import { isTyping } from "./dom.js";
import { announceError, toast } from "./live-region.js";

/** The extensions that the server reads; browsers know the media types of a part of them only. */
export const EXTENSIONS = (
  ".jpg .jpeg .jpe .jfif .png .apng .webp .gif .bmp .dib .tif .tiff .avif .avifs .heic .heif .hif .mpo " +
  ".jxl .jp2 .j2k .j2c .jpc .jpf .jpx .ico .ppm .pgm .pbm .pnm .tga .icb .vda .vst .psd " +
  ".dng .nef .nrw .crw .cr2 .cr3 .arw .sr2 .srf .orf .rw2 .rwl .pef .raf .srw .3fr .fff .iiq .mrw .erf .kdc .dcr .x3f"
).split(" ");

/** Whether a file may be an image, by its media type or name; the server decides. */
export function mayBeImage(file) {
  return file.type.startsWith("image/") || (EXTENSIONS.some((extension) => file.name.toLowerCase().endsWith(extension)) && !file.type.startsWith("video/"));
}

const ACCEPT = ["image/*", ...EXTENSIONS].join(",");

/** Open the file chooser; resolves to the files, none if it was cancelled. */
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

/** `target()` returns the current view's handlers, `{title, files(entries), url(text)}`, or null. */
export function initFileInput(target) {
  const veil = document.getElementById("veil");
  let depth = 0;
  const hideVeil = () => {
    depth = 0;
    veil.hidden = true;
  };
  document.addEventListener("dragenter", (event) => {
    const handler = target();
    if (!handler || !carriesFiles(event) || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    depth += 1;
    document.getElementById("veil-title").textContent = handler.title;
    veil.hidden = false;
  });
  document.addEventListener("dragover", (event) => carriesFiles(event) && event.preventDefault());
  document.addEventListener("dragleave", () => {
    depth -= 1;
    if (depth <= 0) hideVeil();
  });
  document.addEventListener("drop", async (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault(); // otherwise the browser would navigate to the file
    hideVeil();
    const handler = target();
    if (!handler || document.querySelector("dialog[open]")) return;
    const url = event.dataTransfer.getData("text/uri-list").split("\n").find((line) => /^https?:/.test(line));
    const files = await filesOfDrop(event.dataTransfer);
    if (files.length) handler.files(files);
    else if (url) handler.url?.(url.trim());
  });
  document.addEventListener("paste", (event) => {
    const handler = target();
    if (!handler || document.querySelector("dialog[open]")) return;
    const files = [...(event.clipboardData?.files ?? [])].map((file) => ({ file, path: file.name || "pasted.png" }));
    if (files.length) {
      event.preventDefault();
      handler.files(files);
      return;
    }
    const text = event.clipboardData?.getData("text/plain").trim() ?? "";
    if (/^https?:\/\/\S+$/.test(text) && !isTyping(event.target)) handler.url?.(text);
  });
}

/** Read an image from the clipboard, if the browser allows it. */
export async function pasteFromClipboard() {
  try {
    for (const item of await navigator.clipboard.read()) {
      const type = item.types.find((kind) => kind.startsWith("image/"));
      if (type) return await item.getType(type);
    }
    toast("The clipboard contains no image.");
  } catch {
    announceError("Clipboard access is not available.");
    toast("Clipboard access is not available: press Ctrl+V (⌘V) instead.");
  }
  return null;
}
