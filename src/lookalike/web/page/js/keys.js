// The key prompt, and the settings: the key and the tenant are kept for this tab only.
import { access } from "./api.js";
import { say } from "./announce.js";
import { button, h } from "./dom.js";
import { openDialog } from "./dialog.js";
import { capital, count, distance, measuredBy, pipelines } from "./words.js";

let asking = null;

/** Asks for a key (one dialog, however many requests wait for it); gives whether one was given. */
function ask(problem) {
  asking ??= prompt(problem).finally(() => (asking = null));
  return asking;
}

function keyField() {
  return h("input.input", { type: "password", name: "key", autocomplete: "off", required: true, spellcheck: false, autocapitalize: "off" });
}

function prompt(problem) {
  return new Promise((resolve) => {
    const field = keyField();
    const wrong = access.key ? "The key was refused. " : "";
    const form = h("form.stack", {
      onsubmit: (event) => {
        event.preventDefault();
        access.key = field.value.trim();
        dialog.close("given");
      },
    },
    h("p.quiet", {}, `${wrong}${problem?.message || "This server wants an access key."}`),
    h("label.field", {}, "Access key", field),
    h("p.small.quiet", {}, "Kept for this tab only, and sent to this server only. An administrator makes keys with “lookalike keys create”."),
    h("div.dialog-foot", {}, button("Use this key", { type: "submit", look: "primary", symbol: "key" })));
    const dialog = openDialog({ title: "A key, please", look: "narrow", body: form, closed: (value) => resolve(value === "given") });
    field.focus();
  });
}

function facts(status) {
  const rows = pipelines().map((p) => h("tr", {},
    h("th", { scope: "row" }, capital(measuredBy(p.name))),
    h("td.numbers", {}, count(p.rows ?? 0)),
    h("td.numbers", {}, typeof p.threshold === "number" ? distance(p.threshold) : "–")));
  return h("section.stack", {},
    h("h3", {}, "This gallery"),
    h("table.facts-table", {},
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Measured by"), h("th", { scope: "col" }, "Pictures"), h("th", { scope: "col" }, "Threshold"))),
      h("tbody", {}, rows)),
    h("p.small.quiet", {}, `Lookalike ${status?.version ?? ""}`));
}

/** The settings; `changed` is called when another key or tenant is used from now on. */
function openSettings(status, changed) {
  const key = keyField();
  key.required = false;
  key.placeholder = access.key ? "A key is in use; type another to change it" : "None needed so far";
  const tenant = h("input.input", { name: "tenant", autocomplete: "off", value: access.tenant, placeholder: "default", spellcheck: false });
  const form = h("form.stack", {
    onsubmit: (event) => {
      event.preventDefault();
      if (key.value.trim()) access.key = key.value.trim();
      access.tenant = tenant.value.trim();
      dialog.close("changed");
    },
  },
  h("label.field", {}, "Access key", key),
  h("label.field", {}, "Tenant, where the key may choose", tenant),
  h("div.dialog-foot", {},
    access.key ? button("Forget the key", { onclick: () => {
      access.key = "";
      dialog.close("changed");
    } }) : null,
    button("Apply", { type: "submit", look: "primary" })));
  const dialog = openDialog({
    title: "Settings", look: "narrow", body: [form, facts(status)],
    closed: (value) => {
      if (value !== "changed") return;
      say("The settings are applied.");
      changed();
    },
  });
}

export function initKeys(settingsButton, statusNow, changed) {
  access.ask = ask;
  settingsButton.addEventListener("click", () => openSettings(statusNow(), changed));
}
