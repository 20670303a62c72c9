// Modal dialogs by <dialog>, so that the browser handles focus, Escape and the inert background.
import { h, iconButton, uniqueId } from "./dom.js";

const LIVE_REGIONS = ["live", "alarm", "toasts"];

/** Open a dialog, which removes itself when closed; `closed(returnValue)` is called once. */
export function openDialog({ title, look = "", body, actions = [], closed = null }) {
  const id = uniqueId("dialog");
  const back = document.activeElement;
  const dialog = h("dialog.dialog", { class: look, "aria-labelledby": id });
  const head = h("header.dialog-head", {}, h("h2.cut", { id, tabIndex: -1 }, title), iconButton("Close", "close", { onclick: () => dialog.close("") }));
  dialog.append(head, h("div.dialog-body", {}, body));
  if (actions.length) dialog.append(h("footer.dialog-foot", {}, actions));
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close(""));
  dialog.addEventListener("close", () => {
    for (const name of [...LIVE_REGIONS, "tip"]) document.body.append(document.getElementById(name));
    dialog.remove();
    if (back?.isConnected) back.focus({ preventScroll: true });
    closed?.(dialog.returnValue);
  });
  document.body.append(dialog);
  dialog.showModal();
  for (const name of LIVE_REGIONS) dialog.append(document.getElementById(name)); // live regions outside a modal are not announced
  return dialog;
}

/** A confirmation dialog; resolves to whether it was confirmed. */
export function confirmed(title, text, label) {
  return new Promise((resolve) => {
    const yes = h("button.button.danger", { type: "button", onclick: () => dialog.close("yes") }, label);
    const no = h("button.button", { type: "button", onclick: () => dialog.close("") }, "Cancel");
    const dialog = openDialog({ title, look: "narrow", body: h("p.quiet", {}, text), actions: [no, yes], closed: (value) => resolve(value === "yes") });
    no.focus();
  });
}
