// Several query images at once: each is searched, and a strip shows what was found for each.
import { h, icon, middleCut } from "./dom.js";
import { capital, count, describeProblem, plural } from "./format.js";
import { announce } from "./live-region.js";
import { ResultPager } from "./result-pager.js";
import { shortVerdict, tally } from "./verdict.js";

const MAX_CONCURRENT = 2;
const PAGE = 12; // hits of each image

/** The searches of several queries. `pagers` are shared with the view, by route: an image that was searched opens at once. */
export class QueryBatch {
  constructor(queries, { filter, pagers }) {
    Object.assign(this, { queries, filter, pagers, at: 0, found: 0, done: 0, stopped: false });
    this.items = new Map(queries.map((query) => [query, this.#item(query)]));
    this.title = h("h2.batch-title.numbers", { tabIndex: -1 });
    this.element = h("section.batch", { "aria-label": "Your images" }, this.title, h("ul.batch-list", {}, [...this.items.values()].map(({ element }) => element)));
    for (const query of queries) Object.assign(query, { batch: this });
    this.#show();
    for (let n = 0; n < MAX_CONCURRENT; n += 1) this.#work();
  }

  #item(query) {
    const verdict = h("span.batch-verdict.small.quiet", {}, "Waiting");
    const frame = h("span.batch-image", {}, this.#image(query));
    const link = h("a.batch-item", { href: query.route }, frame, h("span.batch-words", {}, middleCut(query.name), verdict));
    return { element: h("li", {}, link), link, verdict, frame };
  }

  #image(query) {
    const img = h("img", { src: query.preview, alt: "", loading: "lazy", decoding: "async" });
    img.addEventListener("error", () => img.replaceWith(icon("image")));
    return img;
  }

  async #work() {
    while (!this.stopped && this.at < this.queries.length) {
      const query = this.queries[this.at];
      this.at += 1;
      await this.#search(query);
    }
  }

  async #search(query) {
    const { link, verdict, frame } = this.items.get(query);
    verdict.textContent = "Searching …";
    const known = this.pagers.get(query.route);
    const pager = known ?? new ResultPager(query, this.filter, PAGE);
    this.pagers.set(query.route, pager);
    try {
      await pager.load();
      if (query.small) frame.replaceChildren(this.#image(query));
      const { exact, copies, probable } = tally(pager.hits);
      verdict.textContent = shortVerdict(pager.hits, pager.answer);
      link.dataset.found = exact + copies ? "copy" : probable ? "probable" : "none";
      if (exact + copies + probable) this.found += 1;
    } catch (problem) {
      this.pagers.delete(query.route);
      verdict.textContent = problem.name === "AbortError" ? "Stopped" : capital(describeProblem(problem).title);
      link.dataset.found = "failed";
    }
    this.done += 1;
    this.#show();
    if (this.done === this.queries.length) announce(this.title.textContent);
  }

  #show() {
    const progress = this.done < this.queries.length ? `${count(this.done)} of ${plural(this.queries.length, "image")} searched` : `${plural(this.queries.length, "image")} searched`;
    this.title.textContent = `${progress}, ${count(this.found)} found in the gallery`;
  }

  /** Mark the image whose hits are shown. */
  select(query) {
    for (const [other, { link }] of this.items) {
      if (other === query) {
        link.setAttribute("aria-current", "true");
        link.scrollIntoView({ block: "nearest", inline: "nearest" });
      } else link.removeAttribute("aria-current");
    }
  }

  stop() {
    this.stopped = true;
  }
}
