// The API key prompt and the settings dialog.
import { access } from "./api.js";
import { openDialog } from "./dialog.js";
import { button, h } from "./dom.js";
import { capital, count, describeProblem, distance, pipelineLabel, pipelines, problemText } from "./format.js";
import { announce, announceError } from "./live-region.js";

let pending = null;

/** Show the API key dialog (one for all waiting requests); resolves to whether a key was accepted. */
function requestKey(problem) {
  pending ??= prompt(problem).finally(() => (pending = null));
  return pending;
}

function keyField() {
  return h("input.input", { type: "password", name: "key", autocomplete: "off", required: true, spellcheck: false, autocapitalize: "off" });
}

function prompt(problem) {
  return new Promise((resolve) => {
    const field = keyField();
    const wrong = h("p.notice", { hidden: true });
    const form = h("form.stack", {
      onsubmit: async (event) => {
        event.preventDefault();
        try {
          await access.signIn(field.value.trim());
          dialog.close("given");
        } catch (refused) {
          wrong.textContent = `${refused.status === 401 ? "Invalid API key" : describeProblem(refused).title}. ${describeProblem(refused).detail}`;
          wrong.hidden = false;
          announceError(wrong.textContent);
          field.select();
        }
      },
    },
    h("p.quiet", {}, problem?.status === 401 ? "This server requires an API key." : (problem?.message ?? "")),
    h("label.field", {}, "API key", field),
    wrong,
    h("p.small.quiet", {}, "It is stored in a session cookie that scripts cannot read. Create keys with “lookalike keys create”."),
    h("div.dialog-foot", {}, button("Sign in", { type: "submit", look: "primary", symbol: "key" })));
    const dialog = openDialog({ title: "API key required", look: "narrow key-prompt", body: form, closed: (value) => resolve(value === "given") });
    field.focus();
  });
}

function facts(status) {
  const rows = pipelines().map((p) => h("tr", {},
    h("th", { scope: "row" }, capital(pipelineLabel(p.name))),
    h("td.numbers", {}, count(p.rows ?? 0)),
    h("td.numbers", {}, typeof p.threshold === "number" ? distance(p.threshold) : "–")));
  return h("section.stack", {},
    h("h3", {}, "This gallery"),
    h("table.facts-table", {},
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Measured by"), h("th", { scope: "col" }, "Images"), h("th", { scope: "col" }, "Threshold"))),
      h("tbody", {}, rows)),
    h("p.small.quiet", {}, `Lookalike ${status?.version ?? ""}`));
}

/** The settings dialog; `changed` is called after the API key or the tenant has changed. */
function openSettings(status, changed) {
  const key = keyField();
  key.required = false;
  key.placeholder = access.signedIn ? "Signed in; enter another API key to replace it" : "If the server requires one";
  const tenant = h("input.input", { name: "tenant", autocomplete: "off", value: access.tenant, placeholder: "default", spellcheck: false });
  const wrong = h("p.notice", { hidden: true });
  const attempt = async (work) => {
    try {
      await work();
      dialog.close("changed");
    } catch (problem) {
      wrong.textContent = problemText(problem);
      wrong.hidden = false;
      announceError(wrong.textContent);
    }
  };
  const apply = async () => {
    if (key.value.trim()) await access.signIn(key.value.trim());
    access.tenant = tenant.value.trim();
  };
  const form = h("form.stack", {
    onsubmit: (event) => {
      event.preventDefault();
      attempt(apply);
    },
  },
  h("label.field", {}, "API key", key),
  h("label.field", {}, "Tenant (for API keys bound to none)", tenant),
  wrong,
  h("div.dialog-foot", {},
    access.signedIn ? button("Sign out", { onclick: () => attempt(() => access.signOut()) }) : null,
    button("Apply", { type: "submit", look: "primary" })));
  const dialog = openDialog({
    title: "Settings", look: "narrow", body: [form, facts(status)],
    closed: (value) => {
      if (value !== "changed") return;
      announce("Settings applied.");
      changed();
    },
  });
}

export function initKeys(settingsButton, statusNow, changed) {
  access.requestKey = requestKey;
  settingsButton.addEventListener("click", () => openSettings(statusNow(), changed));
}
