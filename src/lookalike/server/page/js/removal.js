// Deleting with an undo that is honest: nothing is sent before the time for an undo is over, and then it is final.
// Leaving the page sends what is still waiting, by requests that outlive it.
import { access, removeImages } from "./api.js";
import { confirmed } from "./dialog.js";
import { toast } from "./announce.js";
import { countImages, told } from "./words.js";

const SECONDS = 8;
const MOST_KEYS = 1000;
const MOST_BYTES = 40_000; // a request that outlives the page may carry 64 KiB, together with the others that do
const waiting = new Map();
let serial = 0;

/** Whether an image is about to be deleted: views leave it out. */
export function isGoing(key) {
  for (const { keys } of waiting.values()) if (keys.has(key)) return true;
  return false;
}

function size(keys) {
  return new TextEncoder().encode(JSON.stringify(keys)).length;
}

function pendingBytes() {
  let sum = 0;
  for (const { keys } of waiting.values()) sum += size([...keys]);
  return sum;
}

async function sendAll(keys) {
  for (let at = 0; at < keys.length; at += MOST_KEYS) await removeImages(keys.slice(at, at + MOST_KEYS));
}

/**
 * Deletes images after the time for an undo. `hide()` takes them out of sight at once, `back()` returns them after an
 * undo or a failure, `gone()` is called when they are really deleted.
 */
export async function removeWithUndo(keys, { hide, back, gone }) {
  if (!keys.length) return;
  const wanted = new Set(keys);
  if (size(keys) + pendingBytes() > MOST_BYTES) {
    const sure = await confirmed(`Delete ${countImages(keys.length)}?`, "These are too many for an undo: they are deleted at once. The files they came from stay where they are.", "Delete");
    if (!sure) return;
    hide();
    await finish(wanted, back, gone);
    return;
  }
  serial += 1;
  const id = serial;
  const removal = { keys: wanted, sent: false };
  waiting.set(id, removal);
  hide();
  removal.toast = toast(`${countImages(keys.length)} deleted.`, {
    seconds: SECONDS,
    action: { label: "Undo", symbol: "undo", run: () => {
      waiting.delete(id);
      back();
      toast(`${countImages(keys.length)} kept.`, { seconds: 3 });
    } },
    ended: async () => {
      await finish(wanted, back, gone);
      waiting.delete(id);
    },
  });
}

async function finish(keys, back, gone) {
  try {
    await sendAll([...keys]);
    gone?.();
  } catch (problem) {
    for (const [id, removal] of waiting) if (removal.keys === keys) waiting.delete(id);
    back();
    toast(`Not deleted: ${told(problem).title}. ${told(problem).detail}`, {
      loud: true, seconds: 15, action: { label: "Try again", symbol: "retry", run: () => finish(keys, back, gone) },
    });
  }
}

/** On leaving the page: what waits is sent now. A beacon could not name the tenant, so this is a request kept alive. */
function flush() {
  for (const [id, { keys, toast: notice }] of waiting) {
    waiting.delete(id);
    fetch("/v1/images:delete", { method: "POST", keepalive: true, body: JSON.stringify({ keys: [...keys] }), headers: { "Content-Type": "application/json", ...access.headers() } }).catch(() => null);
    notice?.close();
  }
}

addEventListener("pagehide", flush);
