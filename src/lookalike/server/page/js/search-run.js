// One search as far as it has come: the hits so far, where to go on, and what the last answer said.
import { search } from "./api.js";
import { noteAttributes } from "./filters.js";
import { isGoing } from "./removal.js";

const PAGE = 48;

export class SearchRun {
  constructor(query, filter) {
    Object.assign(this, { query, filter, found: [], answer: null, cursor: null, more: true, control: new AbortController() });
  }

  /** Hits that are still there: those about to be deleted are left out. */
  get hits() {
    return this.found.filter((hit) => !isGoing(hit.key));
  }

  /** Fetches the next page; gives the hits that came. An image is never given twice. */
  async next() {
    const answer = await search(this.query, { k: PAGE, cursor: this.cursor, filter: this.filter, signal: this.control.signal });
    const known = new Set(this.found.map((hit) => hit.key));
    const fresh = answer.hits.filter((hit) => !known.has(hit.key));
    this.found.push(...fresh);
    for (const hit of fresh) noteAttributes(hit.attributes);
    this.answer ??= answer;
    this.cursor = answer.next ?? null;
    this.more = Boolean(answer.more && answer.next);
    return fresh;
  }

  stop() {
    this.control.abort();
  }
}
