// Pagination of one search: the hits so far, the cursor and the first response.
import { search } from "./api.js";
import { suggestAttributes } from "./filters.js";
import { needsPreview, showPreview } from "./query.js";
import { isPendingDelete } from "./undo-delete.js";

const PAGE = 48;

export class ResultPager {
  constructor(query, filter, page = PAGE) {
    Object.assign(this, { query, filter, page, found: [], answer: null, cursor: null, more: true, loading: null, control: new AbortController() });
  }

  /** The hits, without images pending deletion. */
  get hits() {
    return this.found.filter((hit) => !isPendingDelete(hit.key));
  }

  /** Fetch the first page, unless it is there or on its way. */
  load() {
    this.loading ??= this.next().catch((problem) => {
      this.loading = null;
      throw problem;
    });
    return this.loading;
  }

  /** Fetch the next page; resolves to its new hits, without duplicates. */
  async next() {
    const preview = await needsPreview(this.query);
    const answer = await search(this.query, { k: this.page, cursor: this.cursor, filter: this.filter, preview, signal: this.control.signal });
    if (answer.preview) showPreview(this.query, answer.preview);
    const known = new Set(this.found.map((hit) => hit.key));
    const fresh = answer.hits.filter((hit) => !known.has(hit.key));
    this.found.push(...fresh);
    for (const hit of fresh) suggestAttributes(hit.attributes);
    this.answer ??= answer;
    this.cursor = answer.next ?? null;
    this.more = Boolean(answer.more && answer.next);
    return fresh;
  }

  stop() {
    this.control.abort();
  }
}
