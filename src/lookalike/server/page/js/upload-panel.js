// The list of uploads: progress, outcome and actions.
import { button, eachFrame, h, icon, iconButton, middleCut } from "./dom.js";
import { mayBeImage } from "./file-input.js";
import { bytes, count, countImages, plural, problemText } from "./format.js";
import { announce } from "./live-region.js";
import { OPEN, UploadQueue, UploadRate } from "./upload-queue.js";

const STATES = {
  waiting: "Waiting", sending: "Sending", working: "Processing", added: "Added", updated: "Replaced", unchanged: "Already in the gallery",
  duplicate: "Already in the gallery", exists: "Another image has this name", failed: "Failed", cancelled: "Cancelled",
};
const SYMBOLS = { added: "check", updated: "check", unchanged: "check", duplicate: "copies", exists: "alert", failed: "alert", cancelled: "close" };

function freeName(key, taken) {
  const dot = key.lastIndexOf(".");
  const [stem, end] = dot > key.lastIndexOf("/") + 1 ? [key.slice(0, dot), key.slice(dot)] : [key, ""];
  for (let n = 2; ; n += 1) if (!taken.has(`${stem} (${n})${end}`)) return `${stem} (${n})${end}`;
}

/** Whether another attempt may add an upload. */
const mayRetry = (upload) => upload.state === "cancelled" || (upload.state === "failed" && !upload.problem?.isPermanent);

/** How long something takes, roughly: "about 20 s", "about 3 min". */
function duration(seconds) {
  if (seconds < 90) return `about ${Math.max(5, Math.ceil(seconds / 5) * 5)} s`;
  return seconds < 5400 ? `about ${Math.round(seconds / 60)} min` : `about ${Math.round(seconds / 3600)} h`;
}

/**
 * `finished(added)` is called when the queue is empty, with the number of images added or replaced; `progressed()` when one
 * was added and others are waiting.
 */
export function uploadPanel({ finished, progressed }) {
  const rate = new UploadRate();
  const rows = new Map();
  const dirty = new Set();
  let added = 0;
  const queue = new UploadQueue({
    changed: (upload) => {
      if (!OPEN.has(upload.state)) rate.count();
      if (upload.state === "added" || upload.state === "updated") {
        added += 1;
        progressed();
      }
      dirty.add(upload);
      redraw();
    },
    idle: () => {
      announce(summary());
      finished(added);
      added = 0;
      rate.reset();
    },
  });
  const heading = h("h2.numbers", {}, "Uploads");
  const bar = h("span");
  const stop = button("Stop", { look: "little", symbol: "close", onclick: () => queue.cancelOpen() });
  const again = button("Retry failed", { look: "little", symbol: "retry", onclick: () => queue.all.filter((upload) => upload.state === "failed" && mayRetry(upload)).forEach((upload) => queue.retry(upload)) });
  const close = iconButton("Close the list of uploads", "close", { onclick: () => {
    queue.forgetDone();
    rows.clear();
    list.replaceChildren();
    element.hidden = true;
  } });
  const skipped = h("p.small.quiet", { hidden: true });
  const list = h("ul.uploads", { "aria-label": "Uploads", tabIndex: 0 });
  const element = h("section.upload-panel", { hidden: true, "aria-label": "Uploads" }, h("header.upload-head", {}, heading, again, stop, close), h("div.progress", { "aria-hidden": "true" }, bar), skipped, list);

  function summary() {
    const n = (...states) => queue.all.filter((upload) => states.includes(upload.state)).length;
    const parts = [[n("added", "updated"), "added"], [n("unchanged", "duplicate"), "already in the gallery"], [n("exists"), "with a name conflict"], [n("failed"), "failed"], [n("cancelled"), "cancelled"]];
    return parts.filter(([many]) => many).map(([many, words]) => `${count(many)} ${words}`).join(", ") || "Uploads";
  }
  function actions(upload) {
    if (mayRetry(upload)) return [iconButton(`Try again: ${upload.key}`, "retry", { look: "little", onclick: () => queue.retry(upload) })];
    if (upload.state !== "exists") return [];
    return [
      button("Replace", { look: "little", "aria-label": `Replace ${upload.key}`, onclick: () => queue.retry(upload, { replace: true }) }),
      button("Keep both", { look: "little", "aria-label": `Keep both: ${upload.key}`, onclick: () => queue.retry(upload, { key: freeName(upload.key, new Set(queue.all.map((item) => item.key))) }) }),
    ];
  }
  function draw(upload) {
    let row = rows.get(upload);
    if (!row) {
      const thumb = h("span.progress", { "aria-hidden": "true" }, h("span"));
      row = { note: h("p.small"), thumb, mark: h("span.upload-mark"), acts: h("span.upload-acts"), name: h("p"), state: null };
      row.element = h("li.upload", {}, row.mark, h("div.upload-words", {}, row.name, row.note, thumb), row.acts);
      rows.set(upload, row);
      list.append(row.element);
    }
    row.thumb.firstChild.style.setProperty("--done", String(upload.progress));
    if (row.state === upload.state && row.key === upload.key) return;
    Object.assign(row, { state: upload.state, key: upload.key });
    const why = upload.problem ? problemText(upload.problem) : [upload.truncated && "truncated: pixels are missing", upload.reason].filter(Boolean).join(" · ");
    row.element.dataset.state = upload.state;
    if (upload.state === "failed" || upload.state === "exists") list.prepend(row.element); // uploads that need a decision come first
    row.name.replaceChildren(middleCut(upload.key));
    row.note.textContent = [STATES[upload.state] ?? upload.state, why, OPEN.has(upload.state) ? bytes(upload.file.size) : ""].filter(Boolean).join(" · ");
    row.thumb.hidden = !OPEN.has(upload.state);
    row.mark.replaceChildren(icon(SYMBOLS[upload.state] ?? "image"));
    row.acts.replaceChildren(...actions(upload));
  }
  function progress(open) {
    const perSecond = rate.perSecond();
    const speed = perSecond ? ` · ${perSecond < 10 ? perSecond.toFixed(1) : Math.round(perSecond)} images/s · ${duration(open / perSecond)} left` : "";
    return `Adding ${countImages(queue.all.length)}: ${count(queue.all.length - open)} done${speed}`;
  }
  const redraw = eachFrame(() => {
    for (const upload of dirty) draw(upload);
    dirty.clear();
    const open = queue.open;
    const part = queue.all.reduce((sum, item) => sum + (OPEN.has(item.state) ? item.progress * 0.9 : 1), 0);
    bar.style.setProperty("--done", String(queue.all.length ? part / queue.all.length : 0));
    heading.textContent = open ? progress(open) : summary();
    stop.hidden = open === 0;
    close.hidden = open > 0;
    again.hidden = !queue.all.some((item) => item.state === "failed" && mayRetry(item));
  });
  addEventListener("beforeunload", (event) => queue.open && event.preventDefault());

  return {
    element,
    /** `[{file, path}]`; files that are not images by type and name are skipped and counted. */
    add(files) {
      const accepted = files.filter(({ file }) => mayBeImage(file));
      const others = files.length - accepted.length;
      skipped.hidden = others === 0;
      skipped.textContent = `Skipped ${plural(others, "file that is not an image", "files that are not images")}.`;
      element.hidden = false;
      if (accepted.length) announce(`Adding ${countImages(accepted.length)}.`);
      else heading.textContent = "Nothing to add";
      queue.add(accepted);
    },
  };
}
