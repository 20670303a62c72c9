// What can happen to images that are not kept: they leave the gallery, or their files are moved to the trash, too.
import { applyPlan, planTrash, undoRun } from "./api.js";

const GROUPS_AT_ONCE = 400; // groups in one request, so that each takes seconds
const ADVICE = "Use the page on the server's own machine, or start the server with --local-files.";

/** Why files cannot be moved to the trash; "" where they can. `files` is the number of images with a file. */
export function whyNoTrash(status, files) {
  if (!status) return "The server's status is unknown.";
  if (!status.features?.includes("local_files")) return `This server gives this browser no access to its files. ${ADVICE}`;
  if (!status.scopes?.includes("admin")) return "Moving files needs an API key with the scope admin.";
  if (!files) return "None of these images has a file on the server's machine: they were uploaded.";
  return "";
}

/** By cluster, the images to keep: all but those that `model` removes from the groups. */
export function choicesOf(model, groups) {
  const removed = new Map();
  for (const group of groups) {
    const keys = model.removedOf(group).map((image) => image.key);
    if (keys.length) removed.set(group.cluster, [...(removed.get(group.cluster) ?? []), ...keys]);
  }
  return [...removed].map(([cluster, keys]) => {
    const gone = new Set(keys);
    return { id: cluster.id, keep: cluster.images.map((image) => image.key).filter((key) => !gone.has(key)) };
  });
}

function* batches(choices) {
  for (let at = 0; at < choices.length; at += GROUPS_AT_ONCE) yield choices.slice(at, at + GROUPS_AT_ONCE);
}

/** What the trash would do with each image: `{marks, removed, frees, skipped}`; `marks` are by key. */
export async function planAll(choices, { progress = () => {}, signal } = {}) {
  const total = { marks: new Map(), removed: 0, frees: 0, skipped: {} };
  let done = 0;
  for (const part of batches(choices)) {
    const plan = await planTrash(part, { signal });
    for (const { images } of plan.groups) for (const { key, mark, reason } of images) total.marks.set(key, { mark, reason });
    total.removed += plan.removed;
    total.frees += plan.frees;
    for (const [reason, number] of Object.entries(plan.skipped)) total.skipped[reason] = (total.skipped[reason] ?? 0) + number;
    done += part.length;
    progress(done);
  }
  return total;
}

/** Move files to the trash. Resolves to `{runs, removed, frees, failed, skipped, problem}`, also where a request failed. */
export async function moveToTrash(choices, { progress = () => {} } = {}) {
  const report = { runs: [], removed: [], frees: 0, failed: [], skipped: {}, problem: null };
  let done = 0;
  for (const part of batches(choices)) {
    try {
      const { plan } = await planTrash(part); // again, for the server keeps the latest plans only
      const answer = await applyPlan(plan, part);
      report.runs.push(answer.run);
      report.frees += answer.frees;
      for (const outcome of answer.outcomes) (outcome.outcome === "failed" ? report.failed : report.removed).push(outcome);
      for (const [reason, number] of Object.entries(answer.skipped)) report.skipped[reason] = (report.skipped[reason] ?? 0) + number;
    } catch (problem) {
      report.problem = problem;
      return report;
    }
    done += part.length;
    progress(done);
  }
  return report;
}

/** Undo runs, the last one first; resolves to how many files are back, and what could not be restored. */
export async function undoAll(runs) {
  const result = { restored: 0, failed: [] };
  for (const run of [...runs].reverse()) {
    const { outcomes } = await undoRun(run);
    for (const outcome of outcomes) {
      if (outcome.outcome === "restored" || outcome.outcome === "unchanged") result.restored += 1;
      else result.failed.push(outcome);
    }
  }
  return result;
}
