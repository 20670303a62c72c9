// Runs before the first paint, so that a chosen theme never flashes in the other one.
(function () {
  try {
    const chosen = localStorage.getItem("lookalike.theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  } catch {
    // Storage may be forbidden; the system's preference then stands.
  }
})();
