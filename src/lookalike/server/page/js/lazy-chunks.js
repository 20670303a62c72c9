// A long list of which only what is near the window exists: items are rendered in chunks as they come near, and taken out
// of the document again, at their measured height, when they are far away.

const MARGIN = "1200px 0px";

/**
 * `render(id)` makes the element of an item. `scroller` is the element that scrolls, by default the window; `estimate` the
 * height of a chunk in pixels before one was measured. `filled()` is called after items were rendered.
 */
export function lazyChunks(root, render, { size = 8, estimate = 1200, look = "", scroller = null, filled = () => {} } = {}) {
  let chunks = [];
  let height = estimate;
  const byElement = new Map();
  const watcher = new IntersectionObserver((entries) => {
    let any = false;
    for (const entry of entries) {
      const chunk = byElement.get(entry.target);
      if (!chunk) continue;
      if (!entry.isIntersecting) empty(chunk, entry.boundingClientRect.height);
      else if (!chunk.full) any = fill(chunk);
    }
    if (any) filled();
  }, { root: scroller, rootMargin: MARGIN });

  function fill(chunk) {
    chunk.full = true;
    chunk.element.replaceChildren(...chunk.ids.map(render));
    chunk.element.style.removeProperty("height");
    return true;
  }
  function empty(chunk, measured) {
    if (!chunk.full || chunk.element.contains(document.activeElement)) return;
    chunk.full = false;
    if (measured > 0) {
      chunk.element.style.height = `${measured}px`;
      if (chunk.ids.length === size) height = measured;
    }
    chunk.element.replaceChildren();
  }
  function append(ids) {
    for (let at = 0; at < ids.length; at += size) {
      const element = document.createElement("ul");
      element.className = `chunk ${look}`;
      const chunk = { element, ids: ids.slice(at, at + size), full: false };
      element.style.height = `${(height * chunk.ids.length) / size}px`;
      byElement.set(element, chunk);
      chunks.push(chunk);
      root.append(element);
      watcher.observe(element);
    }
  }
  function clear() {
    watcher.disconnect();
    byElement.clear();
    chunks = [];
    root.replaceChildren();
  }
  function drop(chunk, gone) {
    chunk.ids = chunk.ids.filter((id) => !gone.has(id));
    for (const card of [...chunk.element.children]) if (gone.has(card.dataset.id)) card.remove();
    if (chunk.ids.length) return true;
    watcher.unobserve(chunk.element);
    byElement.delete(chunk.element);
    chunk.element.remove();
    return false;
  }
  const chunkOf = (id) => chunks.find((chunk) => chunk.ids.includes(id));

  return {
    clear,
    /** Show these items. Items that go, or are appended, leave the others as they are. */
    set(ids) {
      const known = new Set(ids);
      const before = chunks.flatMap((chunk) => chunk.ids);
      const left = before.filter((id) => known.has(id));
      if (!left.every((id, at) => id === ids[at])) {
        clear();
        return append(ids);
      }
      const gone = new Set(before.filter((id) => !known.has(id)));
      if (gone.size) chunks = chunks.filter((chunk) => drop(chunk, gone));
      return append(ids.slice(left.length));
    },
    /** Render an item again, if it is in the document. */
    update(id) {
      const chunk = chunkOf(id);
      const old = chunk?.full ? [...chunk.element.children].find((card) => card.dataset.id === id) : null;
      old?.replaceWith(render(id));
      if (old) filled();
    },
    /** The element of an item, rendered if it is not there yet. */
    element(id) {
      const chunk = chunkOf(id);
      if (!chunk) return null;
      if (!chunk.full) {
        fill(chunk);
        filled();
      }
      return [...chunk.element.children].find((card) => card.dataset.id === id) ?? null;
    },
  };
}
