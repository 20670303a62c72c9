// Cursor pagination over the gallery's images, with a filter, a part of the key and an order.
import { images } from "./api.js";
import { builtInAttributes, suggestAttributes } from "./filters.js";
import { isPendingDelete } from "./undo-delete.js";

const PAGE = 100;
const MAX_PAGE = 1000; // of the server

export class GalleryList {
  constructor(filter, contains, sort) {
    Object.assign(this, { filter, contains, sort, found: [], cursor: null, more: true });
    this.control = new AbortController();
  }

  get images() {
    return this.found.filter((image) => !isPendingDelete(image.key));
  }

  /** Whether a filter or a part of the key is set. */
  get isFiltered() {
    return this.contains !== "" || Object.keys(this.filter).length > 0;
  }

  /** Fetch the next page. */
  async next() {
    const answer = await images({ limit: PAGE, cursor: this.cursor, filter: this.filter, contains: this.contains, sort: this.sort, signal: this.control.signal });
    const known = new Set(this.found.map((image) => image.key));
    for (const image of answer.images) {
      suggestAttributes(image.attributes);
      suggestAttributes(builtInAttributes(image));
      if (!known.has(image.key)) this.found.push(image);
    }
    this.cursor = answer.next ?? null;
    this.more = this.cursor !== null;
  }

  /** Fetch what is shown again, in one request, because the gallery has changed; resolves to whether anything has changed. */
  async refresh() {
    const limit = Math.min(MAX_PAGE, Math.max(PAGE, Math.ceil(this.found.length / PAGE) * PAGE));
    if (this.found.length > MAX_PAGE) return false;
    const answer = await images({ limit, filter: this.filter, contains: this.contains, sort: this.sort, signal: this.control.signal });
    const known = new Map(this.found.map((image) => [image.key, image]));
    this.found = answer.images.map((image) => known.get(image.key) ?? image);
    this.cursor = answer.next ?? null;
    this.more = this.cursor !== null;
    return answer.images.length !== known.size || answer.images.some((image) => !known.has(image.key));
  }

  stop() {
    this.control.abort();
  }
}
