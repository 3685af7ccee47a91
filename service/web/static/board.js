// The page of a board: rows that open beneath themselves, text to copy, and seeds that one button asks for.
"use strict";
(() => {
  const said = document.getElementById("said");
  const dialog = document.getElementById("ask");

  // The address remembers which rows are open, so that it can be passed on.
  const remember = () => {
    const address = new URL(location.href);
    address.searchParams.delete("open");
    for (const link of document.querySelectorAll("a.toggle[aria-expanded=true]"))
      address.searchParams.append("open", link.dataset.estimator);
    history.replaceState(history.state, "", address);
  };

  const fill = async (row, path) => {
    const place = row.querySelector("td");
    place.textContent = "Loading …";
    const answer = await fetch(path).catch(() => null);
    if (!answer?.ok) {
      place.textContent = "The server does not answer; close the row and open it again.";
      return;
    }
    place.innerHTML = await answer.text(); // our own server-rendered, escaped HTML
    row.dataset.filled = "yes";
    listen(place);
  };

  const toggle = async (link) => {
    const row = document.getElementById(link.getAttribute("aria-controls"));
    const open = link.getAttribute("aria-expanded") !== "true";
    link.setAttribute("aria-expanded", open);
    row.hidden = !open;
    remember();
    if (open && !row.dataset.filled) await fill(row, link.dataset.part);
  };

  const send = (path, sweep) =>
    fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: sweep });

  const agreed = (question) =>
    new Promise((resolve) => {
      dialog.querySelector("p").textContent = question;
      dialog.returnValue = "";
      dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
      dialog.showModal();
    });

  const duration = (seconds) =>
    seconds < 90 ? `${Math.max(1, Math.round(seconds))} s` : seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;

  // What is missing, then what it would take, then, if that is agreed to, the sweep itself.
  const submit = async (button) => {
    button.disabled = true;
    said.textContent = "";
    try {
      const sweep = JSON.stringify(await answered(await fetch(button.dataset.more)));
      const plan = await answered(await send("/api/v1/sweeps/plan", sweep));
      const time = duration(plan.device_seconds.expected);
      if (await agreed(`Compute ${plan.to_compute} trials? On one device they take about ${time}.`)) {
        const { id } = await answered(await send("/api/v1/sweeps", sweep));
        location.assign(`/sweeps/${id}`);
        return;
      }
    } catch (error) {
      said.textContent = error instanceof TypeError ? "The server does not answer; nothing was done." : error.message;
    }
    button.disabled = false;
  };

  const answered = async (answer) => {
    const body = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Error(body.detail ?? `The server answered ${answer.status}.`);
    return body;
  };

  const copy = async (button) => {
    const text = document.getElementById(button.dataset.copy).textContent;
    await navigator.clipboard.writeText(text).then(
      () => (button.textContent = "Copied"),
      () => (said.textContent = "The browser does not allow to copy; select the text instead."),
    );
  };

  const listen = (root) => {
    const ready = (name, act) => {
      for (const button of root.querySelectorAll(`button[data-${name}]`)) {
        button.hidden = false; // of no use without this script
        button.addEventListener("click", () => act(button));
      }
    };
    if (!document.body.hasAttribute("data-reads-only")) ready("more", submit);
    ready("copy", copy);
  };

  for (const link of document.querySelectorAll("a.toggle"))
    link.addEventListener("click", (event) => {
      event.preventDefault();
      toggle(link);
    });
  listen(document);
})();
