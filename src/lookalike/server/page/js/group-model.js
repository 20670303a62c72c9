// The groups of duplicates: those in scope, which of their images are kept, and totals.
import { splitKey } from "./format.js";
import { suggest } from "./keep-rules.js";
import { isPendingDelete } from "./undo-delete.js";

export const SCOPES = { all: "All copies", exact: "Exact copies only", folder: "One folder …" };

export class GroupModel {
  constructor() {
    this.rule = { order: "best", folder: "" };
    this.scope = { kind: "all", folder: "" };
    this.clear();
  }

  clear() {
    this.clusters = [];
    this.choices = new Map();
    this.gone = new Set();
    this.changed();
  }

  add(clusters) {
    this.clusters.push(...clusters);
    this.changed();
  }

  /** Derive the groups again: clusters, scope, rule or pending deletions have changed. */
  changed() {
    this.cached = null;
  }

  /** Groups of two or more images: `{id, cluster, images, kept, reasons, isChosen}`. */
  get groups() {
    this.cached ??= new Map(this.clusters.filter((cluster) => !cluster.dismissed).flatMap((cluster) => this.#groupsOf(cluster)).map((group) => [group.id, group]));
    return this.cached;
  }

  #groupsOf(cluster) {
    const excluded = cluster.excluded ?? new Set();
    const isHere = (image) => !isPendingDelete(image.key) && !this.gone.has(image.key) && !excluded.has(image.key);
    return this.#parts(cluster).map(([id, images]) => [id, images.filter(isHere)]).filter(([, images]) => images.length > 1).map(([id, images]) => this.#group(id, cluster, images));
  }

  /** The parts of a cluster that the scope has, with an id each. */
  #parts(cluster) {
    if (this.scope.kind === "exact") {
      return [...new Set(cluster.same)].map((number) => [`${cluster.id}-${number}`, cluster.images.filter((_, at) => cluster.same[at] === number)]);
    }
    const { folder } = this.scope;
    if (this.scope.kind === "folder" && folder) return [[cluster.id, cluster.images.filter((image) => image.key.startsWith(`${folder}/`))]];
    return [[cluster.id, cluster.images]];
  }

  #group(id, cluster, images) {
    const same = new Map(cluster.images.map((image, at) => [image.key, cluster.same[at]]));
    const { kept, reasons } = suggest(images, same, this.rule.order, this.rule.folder);
    const chosen = [...(this.choices.get(id) ?? [])].filter((key) => images.some((image) => image.key === key));
    return { id, cluster, images, kept: new Set(chosen.length ? chosen : [kept]), reasons, isChosen: chosen.length > 0 };
  }

  /** Keep these images of a group; at least one. */
  keep(id, keys) {
    if (!keys.length) return;
    const group = this.groups.get(id);
    this.choices.set(id, new Set(keys));
    group.kept = new Set(keys);
    group.isChosen = true;
  }

  /** The images that leave the gallery or the disk. */
  removedOf(group) {
    return group.images.filter((image) => !group.kept.has(image.key));
  }

  reasonOf(group, image) {
    if (group.isChosen) return group.kept.has(image.key) ? "chosen" : "not chosen";
    return group.reasons.get(image.key) ?? "";
  }

  totals(groups = [...this.groups.values()]) {
    const total = { groups: 0, images: 0, removed: 0, bytes: 0, files: 0, fileBytes: 0 };
    for (const group of groups) {
      const removed = this.removedOf(group);
      if (removed.length) total.groups += 1;
      total.images += group.images.length;
      total.removed += removed.length;
      for (const image of removed) {
        total.bytes += image.bytes;
        if (!image.path) continue;
        total.files += 1;
        total.fileBytes += image.bytes;
      }
    }
    return total;
  }

  /** The folders of all images, for suggestions. */
  folders() {
    const found = new Set();
    for (const { images } of this.clusters) for (const { key } of images) found.add(splitKey(key).folder);
    found.delete("");
    return [...found].sort();
  }

  /** Take images out for good: they were removed. */
  remove(keys) {
    for (const key of keys) this.gone.add(key);
    this.changed();
  }
}
