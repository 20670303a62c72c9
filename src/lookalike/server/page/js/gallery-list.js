// What the gallery lists: pages of images by cursor, with a filter, and with what the keys must begin with.
import { images } from "./api.js";
import { noteAttributes } from "./filters.js";
import { isGoing } from "./removal.js";

const PAGE = 100;

export class GalleryList {
  constructor(filter, prefix) {
    Object.assign(this, { filter, prefix, found: [], cursor: null, more: true });
    this.control = new AbortController();
  }

  get images() {
    return this.found.filter((one) => !isGoing(one.key));
  }

  /** Whether these are not all images. */
  get narrowed() {
    return this.prefix !== "" || Object.keys(this.filter).length > 0;
  }

  /** Fetches the next images. */
  async next() {
    const answer = await images({ limit: PAGE, cursor: this.cursor, filter: this.filter, prefix: this.prefix, signal: this.control.signal });
    const known = new Set(this.found.map((one) => one.key));
    for (const one of answer.images) {
      noteAttributes(one.attributes);
      if (!known.has(one.key)) this.found.push(one);
    }
    this.cursor = answer.next ?? null;
    this.more = this.cursor !== null;
  }

  stop() {
    this.control.abort();
  }
}
