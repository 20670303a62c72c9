// The key prompt, and the settings.
import { access } from "./api.js";
import { alarm, say } from "./announce.js";
import { button, h } from "./dom.js";
import { openDialog } from "./dialog.js";
import { capital, count, distance, measuredBy, pipelines, told } from "./words.js";

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
    const wrong = h("p.notice", { hidden: true });
    const form = h("form.stack", {
      onsubmit: async (event) => {
        event.preventDefault();
        try {
          await access.signIn(field.value.trim());
          dialog.close("given");
        } catch (refused) {
          wrong.textContent = `${refused.status === 401 ? "The key was refused" : told(refused).title}. ${told(refused).detail}`;
          wrong.hidden = false;
          alarm(wrong.textContent);
          field.select();
        }
      },
    },
    h("p.quiet", {}, problem?.status === 401 ? "This server shows its images to those who have an access key." : (problem?.message ?? "")),
    h("label.field", {}, "Access key", field),
    wrong,
    h("p.small.quiet", {}, "It is kept in a cookie until the browser is closed, where no script can read it. “lookalike keys create” makes keys."),
    h("div.dialog-foot", {}, button("Use this key", { type: "submit", look: "primary", symbol: "key" })));
    const dialog = openDialog({ title: "A key, please", look: "narrow key-prompt", body: form, closed: (value) => resolve(value === "given") });
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
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Measured by"), h("th", { scope: "col" }, "Images"), h("th", { scope: "col" }, "Threshold"))),
      h("tbody", {}, rows)),
    h("p.small.quiet", {}, `Lookalike ${status?.version ?? ""}`));
}

/** The settings; `changed` is called when another key or tenant is used from now on. */
function openSettings(status, changed) {
  const key = keyField();
  key.required = false;
  key.placeholder = access.signedIn ? "A key is in use; another takes its place" : "For servers that want one";
  const tenant = h("input.input", { name: "tenant", autocomplete: "off", value: access.tenant, placeholder: "default", spellcheck: false });
  const wrong = h("p.notice", { hidden: true });
  const attempt = async (work) => {
    try {
      await work();
      dialog.close("changed");
    } catch (problem) {
      wrong.textContent = `${told(problem).title}. ${told(problem).detail}`;
      wrong.hidden = false;
      alarm(wrong.textContent);
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
  h("label.field", {}, "Access key", key),
  h("label.field", {}, "Tenant, where the key may choose", tenant),
  wrong,
  h("div.dialog-foot", {},
    access.signedIn ? button("Forget the key", { onclick: () => attempt(() => access.signOut()) }) : null,
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
