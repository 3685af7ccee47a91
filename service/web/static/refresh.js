// Parts of a page that are fetched again every few seconds while somebody looks: <div id="nodes" data-refresh="10">.
"use strict";
(() => {
  const refresh = async (part) => {
    if (document.hidden || part.contains(document.activeElement)) return; // nothing is taken from under a key
    const answer = await fetch(location.href).catch(() => null);
    if (!answer?.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(part.id);
    part.replaceChildren(...(fresh?.childNodes ?? []));
  };
  for (const part of document.querySelectorAll("[data-refresh]"))
    setInterval(refresh, 1000 * Number(part.dataset.refresh), part);
})();
