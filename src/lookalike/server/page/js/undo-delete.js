// Delete with undo: the request is sent only when the undo period has ended, and is then final. Leaving the page sends
// pending deletions by keepalive requests, which are limited in size.
import { access, removeImages } from "./api.js";
import { confirmed } from "./dialog.js";
import { countImages, problemText } from "./format.js";
import { toast } from "./live-region.js";

const UNDO_SECONDS = 8;
const MAX_KEYS = 1000;
const MAX_BYTES = 40_000; // browsers limit all keepalive requests together to 64 KiB
const pending = new Map();
let serial = 0;

/** Whether a deletion is pending: views hide the image. */
export function isPendingDelete(key) {
  if (!pending.size) return false;
  for (const { keys } of pending.values()) if (keys.has(key)) return true;
  return false;
}

function size(keys) {
  return new TextEncoder().encode(JSON.stringify(keys)).length;
}

function pendingBytes() {
  let sum = 0;
  for (const { keys, large } of pending.values()) if (!large) sum += size([...keys]);
  return sum;
}

async function sendAll(keys) {
  for (let at = 0; at < keys.length; at += MAX_KEYS) await removeImages(keys.slice(at, at + MAX_KEYS));
}

/**
 * Delete images after the undo period. `hide()` is called at once, `back()` after an undo or a failure, `gone()` when they
 * are deleted; `reviewed`: the user has seen them in a list; `text` says what was removed. More images than a keepalive
 * request takes are confirmed, and not removed where the page is left before the undo period has ended.
 */
export async function deleteWithUndo(keys, { hide, back, gone, reviewed = false, seconds = UNDO_SECONDS, text = `${countImages(keys.length)} removed from the gallery.` }) {
  if (!keys.length) return;
  const unique = new Set(keys);
  const large = size(keys) + pendingBytes() > MAX_BYTES;
  if (large && !reviewed) {
    const confirmation = await confirmed(`Remove ${countImages(keys.length)} from the gallery?`, "Undo is available for some seconds. Original files are not deleted.", "Remove from gallery");
    if (!confirmation) return;
  }
  serial += 1;
  const id = serial;
  const removal = { keys: unique, large };
  pending.set(id, removal);
  hide();
  removal.toast = toast(text, {
    seconds,
    action: { label: "Undo", symbol: "undo", run: () => {
      pending.delete(id);
      back();
      toast(`${countImages(keys.length)} restored.`, { seconds: 3 });
    } },
    ended: async () => {
      await finish(unique, back, gone);
      pending.delete(id);
    },
  });
}

async function finish(keys, back, gone) {
  try {
    await sendAll([...keys]);
    gone?.();
  } catch (problem) {
    for (const [id, removal] of pending) if (removal.keys === keys) pending.delete(id);
    back();
    toast(`Not removed: ${problemText(problem)}`, {
      loud: true, seconds: 15, action: { label: "Try again", symbol: "retry", run: () => finish(keys, back, gone) },
    });
  }
}

/** Send pending deletions on leaving the page; by fetch with keepalive, since a beacon cannot send the tenant header. */
function flush() {
  for (const [id, { keys, large, toast: notice }] of pending) {
    pending.delete(id);
    if (large) continue;
    fetch("/v1/images:delete", { method: "POST", keepalive: true, body: JSON.stringify({ keys: [...keys] }), headers: { "Content-Type": "application/json", ...access.headers() } }).catch(() => null);
    notice?.close();
  }
}

addEventListener("pagehide", flush);
addEventListener("beforeunload", (event) => [...pending.values()].some(({ large }) => large) && event.preventDefault());
