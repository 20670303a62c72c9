// Feedback that images are no duplicates: stored by the server, with an undo.
import { notAMatch } from "./api.js";
import { problemText, splitKey } from "./format.js";
import { toast } from "./live-region.js";

const MAX_KEYS = 100; // in one request
const UNDO_SECONDS = 8;

function problemToast(what, problem) {
  toast(`${what}: ${problemText(problem)}`, { loud: true, seconds: 12 });
}

/** Returns `dismiss(group, image)`: one image, or (null) all of them, are no duplicates of the others. */
export function dismissal({ model, drawn, focusNear }) {
  return async function dismiss(group, image) {
    const { cluster } = group;
    const at = [...model.groups.keys()].indexOf(group.id);
    const keys = cluster.images.map((member) => member.key);
    if (!image && keys.length > MAX_KEYS) return problemToast("Not saved", new Error(`A group of more than ${MAX_KEYS} images cannot be marked at once; take single images out.`));
    const pairs = image ? keys.filter((key) => key !== image.key).map((key) => [image.key, key]) : [keys];
    const send = async (undo) => {
      for (const pair of pairs) await notAMatch(pair, undo);
    };
    const show = (dismissed) => {
      if (!image) cluster.dismissed = dismissed;
      else {
        cluster.excluded ??= new Set();
        if (dismissed) cluster.excluded.add(image.key);
        else cluster.excluded.delete(image.key);
      }
      model.changed();
      drawn(group.id);
    };
    try {
      await send(false);
    } catch (problem) {
      return problemToast("Not saved", problem);
    }
    show(true);
    focusNear(at);
    const words = image ? `${splitKey(image.key).name} will not be grouped with these again.` : "These images will not be grouped again.";
    return toast(words, { seconds: UNDO_SECONDS, action: { label: "Undo", symbol: "undo", run: async () => {
      try {
        await send(true);
        show(false);
      } catch (problem) {
        problemToast("Not undone", problem);
      }
    } } });
  };
}
