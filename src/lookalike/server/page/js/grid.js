// Roving tabindex for grids of cards: arrow keys move to the neighbouring card on screen, Tab goes through the buttons of
// the current card, then on.

const PARTS = "a[href], button, input";

function parts(card) {
  return card.querySelectorAll(PARTS);
}

function setTabs(card, on) {
  card.dataset.tabs = on ? "in" : "out";
  for (const part of parts(card)) part.tabIndex = on ? 0 : -1;
}

/** Make `cards` the children of a list with few moves, so that cards that stay keep their focus and image. */
export function put(list, cards) {
  const keep = new Set(cards);
  const focused = list.contains(document.activeElement) ? document.activeElement : null;
  let at = list.firstElementChild;
  const skip = () => {
    while (at && !keep.has(at)) {
      const stale = at;
      at = at.nextElementSibling;
      stale.remove();
    }
  };
  for (const card of cards) {
    skip();
    if (card === at) at = at.nextElementSibling;
    else list.insertBefore(card, at);
  }
  keep.clear();
  skip();
  if (focused?.isConnected && document.activeElement !== focused) focused.focus({ preventScroll: true });
}

/** Nearest card in the next or previous row, by the middle of its box. */
function vertical(cards, from, down) {
  const origin = from.getBoundingClientRect();
  const middle = origin.left + origin.width / 2;
  const order = down ? cards.slice(cards.indexOf(from) + 1) : cards.slice(0, cards.indexOf(from)).reverse();
  let best = null;
  let row = null;
  for (const card of order) {
    const box = card.getBoundingClientRect();
    const other = down ? box.top > origin.top + 4 : box.top < origin.top - 4;
    if (!other) continue;
    row ??= box.top;
    if (Math.abs(box.top - row) > 4) break;
    const offset = Math.abs(box.left + box.width / 2 - middle);
    if (!best || offset < best.offset) best = { card, offset };
  }
  return best?.card ?? null;
}

function target(key, cards, card) {
  const at = cards.indexOf(card);
  if (key === "ArrowRight") return cards[at + 1];
  if (key === "ArrowLeft") return cards[at - 1];
  if (key === "ArrowDown") return vertical(cards, card, true);
  if (key === "ArrowUp") return vertical(cards, card, false);
  if (key === "Home") return cards[0];
  if (key === "End") return cards[cards.length - 1];
  return null;
}

/** Make the `.card` descendants of `root` one grid; call the returned function after adding or removing cards. */
export function rovingGrid(root) {
  let active = null;
  const all = () => [...root.querySelectorAll(".card")].filter((card) => card.getClientRects().length);
  const activate = (card) => {
    if (active === card) return;
    if (active) setTabs(active, false);
    active = card;
    if (active) setTabs(active, true);
  };
  root.addEventListener("focusin", (event) => {
    const card = event.target.closest(".card");
    if (card) activate(card);
  });
  root.addEventListener("keydown", (event) => {
    const card = event.target.closest?.(".card");
    if (!card || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.target.matches("input[type=radio]") && event.key.startsWith("Arrow")) return; // a radio group's own keys
    const next = target(event.key, all(), card);
    if (!next) return;
    event.preventDefault();
    activate(next);
    (next.querySelector("[data-main]") ?? parts(next)[0])?.focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest" });
  });
  return function refresh() {
    for (const card of root.querySelectorAll(".card:not([data-tabs=out])")) if (card !== active) setTabs(card, false);
    if (active?.isConnected && active.getClientRects().length) return;
    active = null;
    const first = [...root.querySelectorAll(".card")].find((card) => card.getClientRects().length);
    if (first) activate(first);
  };
}
