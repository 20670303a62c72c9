// Theme: light, dark or the system's; the choice is stored.
import { icon } from "./dom.js";
import { announce } from "./live-region.js";

const NAME = "lookalike.theme";
const ORDER = ["auto", "light", "dark"];
const SYMBOL = { auto: "auto", light: "sun", dark: "moon" };
const WORDS = { auto: "system", light: "light", dark: "dark" };

function chosen() {
  try {
    return localStorage.getItem(NAME) ?? "auto";
  } catch {
    return "auto";
  }
}

function apply(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

export function initTheme(toggle) {
  const show = () => {
    const theme = chosen();
    const label = `Theme: ${WORDS[theme]}`;
    toggle.replaceChildren(icon(SYMBOL[theme] ?? "auto"));
    toggle.setAttribute("aria-label", label);
    toggle.dataset.tip = label;
  };
  toggle.addEventListener("click", () => {
    const theme = ORDER[(ORDER.indexOf(chosen()) + 1) % ORDER.length];
    try {
      if (theme === "auto") localStorage.removeItem(NAME);
      else localStorage.setItem(NAME, theme);
    } catch {
      announce("This browser does not store settings.");
    }
    apply(theme);
    show();
    announce(toggle.getAttribute("aria-label"));
  });
  show();
}
