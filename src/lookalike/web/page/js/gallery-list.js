// What the gallery lists: pages of pictures by cursor, with a filter, and with words that must be in the key.
import { image, images } from "./api.js";
import { noteAttributes } from "./filters.js";
import { isGoing } from "./removal.js";

const PAGE = 100;
const LOOKED_AT = 2000;

export class GalleryList {
  constructor(filter, words) {
    Object.assign(this, { filter, words: words.trim().toLowerCase(), exact: words.trim(), found: [], cursor: null, more: true, looked: 0, total: null });
    this.control = new AbortController();
  }

  get images() {
    return this.found.filter((one) => !isGoing(one.key));
  }

  /** The next pictures; with words, as many pages are looked through as bring some, up to a number that is told. */
  async next() {
    const before = this.found.length;
    let looked = 0;
    do {
      const answer = await images({ limit: PAGE, cursor: this.cursor, filter: this.filter, signal: this.control.signal });
      looked += answer.images.length;
      for (const one of answer.images) this.#take(one);
      this.cursor = answer.next ?? null;
      this.more = this.cursor !== null;
      this.total = answer.total ?? this.total;
    } while (this.words && this.more && this.found.length - before < 24 && looked < LOOKED_AT);
    this.looked += looked;
    if (this.words && this.more) await this.#byKey();
    return this.found.slice(before);
  }

  #take(one) {
    noteAttributes(one.attributes);
    if (this.words && !one.key.toLowerCase().includes(this.words)) return;
    if (!this.found.some((other) => other.key === one.key)) this.found.push(one);
  }

  /** A whole key is found wherever it lies, also beyond what was looked through. */
  async #byKey() {
    if (Object.keys(this.filter).length || this.found.some((one) => one.key === this.exact)) return;
    try {
      this.#take(await image(this.exact, { signal: this.control.signal }));
    } catch (problem) {
      if (problem.status !== 404 && problem.status !== 400) throw problem;
    }
  }

  stop() {
    this.control.abort();
  }
}
