// The toolbar of the duplicates view: rule, scope, applying to all groups, export, keys.
import { button, h, iconButton, uniqueId } from "./dom.js";
import { bytes, plural } from "./format.js";
import { openKeyHelp } from "./group-keys.js";
import { SCOPES } from "./group-model.js";
import { ORDERS } from "./keep-rules.js";

function choice(label, entries, chosen) {
  return h("label.field", {}, label, h("select.input.little", { onchange: (event) => chosen(event.target.value) }, entries.map(([id, words]) => h("option", { value: id }, words))));
}

/** `changed({rule, scope})` after every choice; `apply()` opens the review; `save()` exports the list. */
export function duplicatesToolbar({ changed, apply, save }) {
  const rule = { order: "best", folder: "" };
  const scope = { kind: "all", folder: "" };
  const suggestions = h("datalist", { id: uniqueId("folders") });
  const tell = () => {
    preferred.hidden = rule.order !== "folder";
    within.hidden = scope.kind !== "folder";
    changed({ rule: { ...rule }, scope: { ...scope } });
  };
  const folderField = (label, target) => {
    const input = h("input.input.little", { list: suggestions.id, placeholder: "folder", spellcheck: false, autocomplete: "off", autocapitalize: "off", onchange: () => {
      target.folder = input.value.trim().replace(/\/+$/, "");
      tell();
    } });
    return h("label.field", { hidden: true }, label, input);
  };
  const preferred = folderField("Preferred folder", rule);
  const within = folderField("Only in", scope);
  const act = button("", { look: "primary", onclick: apply });
  const element = h("div.dup-bar", { role: "toolbar", "aria-label": "Clean-up of all groups", hidden: true },
    choice("Keep", Object.entries(ORDERS).map(([id, { label }]) => [id, label]), (id) => {
      rule.order = id;
      tell();
    }), preferred,
    choice("Groups", Object.entries(SCOPES), (id) => {
      scope.kind = id;
      tell();
    }), within, suggestions,
    h("div.dup-bar-acts", {}, h("span.needs-write", {}, act), button("Export list", { symbol: "download", "data-tip": "A CSV file with every image of every group, whether it is kept, and why", onclick: save }), iconButton("Keys", "keyboard", { onclick: openKeyHelp })));
  return {
    element,
    /** Show the totals; `complete`: all groups are known; `files`: files may be moved. */
    show({ total, complete, files, folders, any }) {
      element.hidden = !any;
      act.disabled = !complete || total.removed === 0;
      const frees = files && total.files ? ` (frees ${bytes(total.fileBytes)})` : ` (${bytes(total.bytes)} in copies)`;
      act.textContent = complete ? `Apply to all ${plural(total.groups, "group")}${total.removed ? frees : ""}\u00a0…` : "Searching for duplicates …";
      suggestions.replaceChildren(...folders.map((value) => h("option", { value })));
    },
  };
}
