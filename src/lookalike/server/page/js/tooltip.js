// One tooltip for the page: elements with data-tip show it on hover and focus; Escape hides it.

const tip = () => document.getElementById("tip");
let owner = null;

function show(element) {
  if (owner === element) return;
  hide();
  owner = element;
  const box = tip();
  const dialog = element.closest("dialog");
  (dialog ?? document.body).append(box); // a modal dialog is in the top layer
  box.textContent = element.dataset.tip;
  box.hidden = false;
  if (element.dataset.tip !== element.getAttribute("aria-label")) element.setAttribute("aria-describedby", "tip");
  place(box, element.getBoundingClientRect());
}

function place(box, at) {
  const { width, height } = box.getBoundingClientRect();
  const left = Math.min(Math.max(at.left + at.width / 2 - width / 2, 8), innerWidth - width - 8);
  const above = at.top - height - 8;
  box.style.left = `${left}px`;
  box.style.top = `${above > 8 ? above : at.bottom + 8}px`;
}

export function hide() {
  if (!owner) return;
  owner.removeAttribute("aria-describedby");
  owner = null;
  tip().hidden = true;
}

export function initTooltips() {
  const over = (event) => {
    const element = event.target instanceof Element ? event.target.closest("[data-tip]") : null;
    if (element) show(element);
    else hide();
  };
  document.addEventListener("pointerover", (event) => event.pointerType !== "touch" && over(event));
  document.addEventListener("focusin", (event) => {
    if (event.target.matches(":focus-visible")) over(event);
  });
  document.addEventListener("focusout", hide);
  document.addEventListener("scroll", hide, { capture: true, passive: true });
  document.addEventListener("pointerdown", (event) => {
    const badge = event.target instanceof Element ? event.target.closest(".badge[data-tip]") : null;
    if (badge && event.pointerType === "touch") show(badge); // touch has no hover
    else hide();
  });
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
}
