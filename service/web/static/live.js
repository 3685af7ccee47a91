// Live progress of one sweep: polls its JSON, rewrites the numbers, and fetches the table again when they change.
"use strict";
(() => {
  const root = document.getElementById("live");
  const cells = document.getElementById("cells");
  const id = root.dataset.sweep;
  const number = new Intl.NumberFormat("en-US");
  const close = Number(root.dataset.close); // bounds within this factor are one number
  let shown = "";

  const duration = (seconds) => {
    const s = Math.round(seconds);
    if (s < 60) return `${s} s`;
    if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
    return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  };

  const timeLeft = (progress) => {
    const { seconds_left_low: low, seconds_left_high: high } = progress;
    if (high !== null && high <= close * low) return `about ${duration((low + high) / 2)} left`;
    if (high !== null) return `${duration(low)} to ${duration(high)} left`;
    return progress.counts.running || root.dataset.held !== "active" ? "" : "waiting for a worker";
  };

  const refreshCells = async () => {
    const open = [...cells.querySelectorAll("details[open]")].map((d) => d.id);
    const answer = await fetch(`/sweeps/${id}/cells${location.search}`);
    if (!answer.ok) return;
    cells.innerHTML = await answer.text(); // our own server-rendered, escaped HTML
    for (const detail of open) document.getElementById(detail)?.setAttribute("open", "");
  };

  const show = async (sweep) => {
    const { progress } = sweep;
    const done = sweep.finished_at !== null;
    if (sweep.held !== root.dataset.held) location.reload(); // other buttons now
    const state = document.getElementById("state");
    state.textContent = sweep.state;
    state.className = `chip ${sweep.state}`;
    const share = progress.steps_total ? progress.steps_done / progress.steps_total : 0;
    document.getElementById("percent").textContent = `${Math.floor(100 * share)} %`;
    document.getElementById("steps").textContent =
      `${number.format(progress.steps_done)} of ${number.format(progress.steps_total)} steps`;
    document.getElementById("left").textContent = done ? "" : timeLeft(progress);
    const bar = document.getElementById("bar");
    bar.max = Math.max(progress.steps_total, 1);
    bar.value = progress.steps_done;
    for (const cell of document.querySelectorAll("[data-count]"))
      cell.textContent = number.format(progress.counts[cell.dataset.count] ?? 0);
    const now = JSON.stringify(progress.counts);
    if (now !== shown) await refreshCells();
    shown = now;
    if (done) location.reload();
    return done;
  };

  const poll = async () => {
    let done = false;
    try {
      const answer = await fetch(`/api/v1/sweeps/${id}`, { headers: { Accept: "application/json" } });
      if (answer.ok) done = await show(await answer.json());
    } catch {
      document.getElementById("left").textContent = "the server does not answer; trying again";
    }
    if (!done) setTimeout(poll, document.hidden ? 5000 : 1000);
  };
  poll();
})();
