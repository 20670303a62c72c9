// Cursor pagination over the gallery's images, with a filter, a key prefix and an order.
import { images } from "./api.js";
import { builtInAttributes, suggestAttributes } from "./filters.js";
import { isPendingDelete } from "./undo-delete.js";

const PAGE = 100;

export class GalleryList {
  constructor(filter, prefix, sort) {
    Object.assign(this, { filter, prefix, sort, found: [], cursor: null, more: true });
    this.control = new AbortController();
  }

  get images() {
    return this.found.filter((image) => !isPendingDelete(image.key));
  }

  /** Whether a filter or a prefix is set. */
  get isFiltered() {
    return this.prefix !== "" || Object.keys(this.filter).length > 0;
  }

  /** Fetch the next page. */
  async next() {
    const answer = await images({ limit: PAGE, cursor: this.cursor, filter: this.filter, prefix: this.prefix, sort: this.sort, signal: this.control.signal });
    const known = new Set(this.found.map((image) => image.key));
    for (const image of answer.images) {
      suggestAttributes(image.attributes);
      suggestAttributes(builtInAttributes(image));
      if (!known.has(image.key)) this.found.push(image);
    }
    this.cursor = answer.next ?? null;
    this.more = this.cursor !== null;
  }

  stop() {
    this.control.abort();
  }
}
