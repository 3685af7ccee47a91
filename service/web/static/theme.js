// Light, dark, or as the system: the choice is kept in this browser. Loaded before the page is drawn, so that nothing flashes.
// "themechange" is sent to the root when colours change, for pictures that hold them.
"use strict";
(() => {
  const KEY = "heunboard-theme";
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");

  const kept = () => {
    try {
      return localStorage.getItem(KEY) ?? "system";
    } catch {
      return "system"; // a browser that keeps nothing
    }
  };
  const keep = (theme) => {
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // it holds for this page
    }
  };

  const show = (theme) => {
    if (theme === "system") delete root.dataset.theme;
    else root.dataset.theme = theme;
    const media = { light: "not all", dark: "all" }[theme] ?? system.media;
    for (const source of document.querySelectorAll("source[data-scheme=dark]")) source.media = media;
    root.dispatchEvent(new Event("themechange"));
  };

  show(kept());
  system.addEventListener("change", () => show(kept()));
  addEventListener("storage", (event) => {
    if (event.key === KEY) show(kept()); // chosen in another tab
  });
  document.addEventListener("DOMContentLoaded", () => {
    const field = document.getElementById("theme");
    field.value = kept();
    field.closest("label").hidden = false;
    field.addEventListener("change", () => {
      keep(field.value);
      show(field.value);
    });
    show(kept()); // pictures of the page
  });
})();
