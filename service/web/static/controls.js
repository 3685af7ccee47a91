// Buttons that act on a sweep or a node: what cannot be undone at once is asked about first, then the page shows what came of it.
"use strict";
(() => {
  const dialog = document.getElementById("confirm");
  const said = document.getElementById("said");
  const requests = {
    delete: (id) => fetch(`/api/v1/sweeps/${id}`, { method: "DELETE" }),
    priority: (id, value) => send(`/api/v1/sweeps/${id}`, "PATCH", { priority: value }),
  };

  const send = (path, method, body) =>
    fetch(path, { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

  const confirmed = (question, word) =>
    new Promise((resolve) => {
      dialog.querySelector("p").textContent = question;
      dialog.querySelector("[value=yes]").textContent = word;
      dialog.returnValue = "";
      dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
      dialog.showModal();
    });

  const act = async (button) => {
    const { action, sweep, node, question, after } = button.dataset;
    if (question && !(await confirmed(question, `Yes, ${button.textContent.toLowerCase()} it`))) return;
    button.disabled = true;
    said.textContent = "";
    try {
      const thing = node ? `nodes/${encodeURIComponent(node)}` : `sweeps/${sweep}`;
      const path = `/api/v1/${thing}/${action}`;
      const answer = await (requests[action]?.(sweep) ?? send(path, "POST", {}));
      if (answer.ok) {
        if (after) location.assign(after);
        else location.reload();
        return;
      }
      const problem = await answer.json().catch(() => ({}));
      said.textContent = problem.detail ?? `The server answered ${answer.status}.`;
    } catch {
      said.textContent = "The server does not answer; nothing was done.";
    }
    button.disabled = false;
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-action]"); // also one that came later
    if (button) act(button);
  });

  const priority = document.getElementById("priority");
  priority?.addEventListener("submit", async (event) => {
    event.preventDefault();
    const field = priority.elements.namedItem("priority");
    const answer = await requests.priority(priority.dataset.sweep, Number(field.value)).catch(() => null);
    if (answer?.ok) location.reload();
    else said.textContent = answer ? (await answer.json()).detail : "The server does not answer; nothing was done.";
  });
})();
