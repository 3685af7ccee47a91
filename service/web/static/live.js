// What goes on, without asking again and again: one stream of events for the page while it is looked at.
//
// Marks in the page say what it is about and where what is told goes:
//   data-live-sweep="ID"     a sweep; in it data-live="state|percent|steps|left|bar", data-count="STATE"
//     data-live-page           its own page: percent in the tab's title, loaded again when it is held or ends
//     data-live-part="PATH"    (anywhere) a part that is fetched again when trials change state
//   data-live-board="ID"     a board, with data-ended="N" results; in it data-live="succeeded|trials"
//     data-live-page           its own page: offers to show new results, or shows the first ones
//   data-live-newest="ID"    a list whose newest sweep this is
//   data-live-trial="KEY"    the picture of a trial that goes on, with data-metric and data-state; its curve grows
"use strict";
(() => {
  const PARTS_EVERY = 2000; // milliseconds between two fetches of a part
  const ASK_EVERY = 3000; // where there is no stream
  const STREAM_AGAIN = 60000;
  const SILENCE = 10000; // a stream that has brought nothing for so long is held up on its way
  const LOAD_EVERY = 10000; // of a page that is to show always what is new
  const ALWAYS = "heunboard-live-always"; // the page that is
  const KEPT = "heunboard-live"; // what is open and where the page stood, over loading it again

  const number = new Intl.NumberFormat("en-US");
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const sweepsOf = (id) => all(`[data-live-sweep="${CSS.escape(id)}"]`);
  const boardsOf = (id) => all(`[data-live-board="${CSS.escape(id)}"]`);
  const write = (root, name, text) => {
    for (const place of all(`[data-live="${name}"]`, root)) if (place.textContent !== text) place.textContent = text;
  };

  // ---- The page, loaded again where it was: open rows, scroll, focus. ----

  const nameOf = (one) => one.id || one.getAttribute("aria-controls") || one.firstElementChild?.textContent;
  const opened = (root = document) => all("details[open], [aria-expanded=true]", root).map(nameOf);
  const open = (names, root = document) => {
    for (const one of all("details:not([open]), [aria-expanded=false]", root)) {
      if (!names.includes(nameOf(one))) continue;
      if (one.localName === "details") one.open = true;
      else one.click();
    }
  };
  const loadAgain = () => {
    const kept = { page: location.href, open: opened(), top: scrollY, focus: document.activeElement?.id };
    sessionStorage.setItem(KEPT, JSON.stringify(kept));
    location.reload();
  };
  const restore = () => {
    const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "null");
    sessionStorage.removeItem(KEPT);
    if (kept?.page !== location.href) return;
    open(kept.open);
    if (kept.focus) document.getElementById(kept.focus)?.focus({ preventScroll: true });
    scrollTo({ top: kept.top, behavior: "instant" });
  };

  // ---- What is said beside the page itself. ----

  const said = document.createElement("p"); // for those who hear the page: states, no numbers
  said.className = "sr";
  said.setAttribute("role", "status");
  const offer = document.createElement("div");
  offer.className = "live-offer";
  offer.innerHTML = '<span></span><button type="button" class="button">Show</button><button type="button" class="button"></button>';
  const [offered, showNow, always] = offer.children;
  showNow.addEventListener("click", loadAgain);
  document.getElementById("main").prepend(said, offer);

  const showsAlways = () => sessionStorage.getItem(ALWAYS) === location.pathname;
  const setOffer = () => {
    const [on, there] = [showsAlways(), Boolean(offered.textContent)];
    offer.hidden = !on && !there;
    showNow.hidden = on;
    always.textContent = on ? "Stop" : "Always show";
    if (on) offered.textContent = "What is new is shown as it comes";
  };
  const loaded = Date.now();
  let next = null; // when this page is loaded again by itself
  const offerToShow = (text, inWords) => {
    if (showsAlways()) {
      next ??= setTimeout(() => showsAlways() && loadAgain(), loaded + LOAD_EVERY - Date.now());
      return;
    }
    if (offer.hidden) said.textContent = inWords; // once: the number goes on
    offered.textContent = text;
    setOffer();
  };
  always.addEventListener("click", () => {
    sessionStorage.setItem(ALWAYS, showsAlways() ? "" : location.pathname);
    if (showsAlways()) return loadAgain();
    offered.textContent = "";
    setOffer();
  });
  setOffer();

  // ---- Parts of the page that the server writes. ----

  let fetched = 0;
  let waiting = null;
  const fetchParts = async () => {
    waiting = null;
    fetched = Date.now();
    for (const part of all("[data-live-part]")) {
      const answer = await fetch(`${part.dataset.livePart}${location.search}`).catch(() => null);
      if (!answer?.ok) continue;
      const names = opened(part);
      part.innerHTML = await answer.text(); // our own server-rendered, escaped HTML
      open(names, part);
    }
  };
  const partsChanged = () => {
    waiting ??= setTimeout(fetchParts, Math.max(0, fetched + PARTS_EVERY - Date.now()));
  };

  // ---- The curve of a trial; its page is loaded again when there is a first epoch, and in another state. ----

  let drawn = 0;
  let growing = null;
  const growCurve = async () => {
    growing = null;
    drawn = Date.now();
    const root = document.querySelector("[data-live-trial]");
    const path = `/api/v1/trials/${encodeURIComponent(root.dataset.liveTrial)}`;
    const [trial, found] = await Promise.all(
      [path, `${path}/curves`].map((one) => fetch(one).then((answer) => (answer.ok ? answer.json() : null)).catch(() => null)),
    );
    if (!trial || !found) return;
    const curve = found.curves.find((one) => one.metric === root.dataset.metric);
    if (trial.state !== root.dataset.state || (!root.dataset.metric && found.curves.length)) loadAgain();
    else if (curve) root.dispatchEvent(new CustomEvent("grown", { detail: { epochs: curve.epochs, mean: curve.values } }));
  };

  const curveChanged = () => {
    if (document.querySelector("[data-live-trial]"))
      growing ??= setTimeout(growCurve, Math.max(0, drawn + PARTS_EVERY - Date.now()));
  };

  // ---- One function for each kind of event. ----

  const title = document.title;

  const showRunning = (data) => {
    const chip = document.getElementById("running");
    chip.hidden = !data.title;
    write(chip, "title", data.title);
    write(chip, "detail", data.detail);
    const list = document.querySelector("[data-live-newest]");
    const more = Number(data.newest ?? 0) - Number(list?.dataset.liveNewest || 0);
    if (list && more > 0) offerToShow(more === 1 ? "A new sweep" : "New sweeps", "There are new sweeps.");
  };

  const showProgress = (data) => {
    const { progress } = data;
    let moved = false;
    for (const root of sweepsOf(data.sweep)) {
      write(root, "percent", data.percent);
      write(root, "steps", data.steps);
      write(root, "left", data.time_left);
      for (const bar of all("progress[data-live=bar]", root)) {
        bar.max = Math.max(progress.steps_total, 1);
        bar.value = progress.steps_done;
      }
      for (const cell of all("[data-count]", root)) {
        const count = number.format(progress.counts[cell.dataset.count] ?? 0);
        moved ||= cell.textContent !== count;
        cell.textContent = count;
      }
      if ("livePage" in root.dataset && !("finished" in root.dataset)) document.title = `${data.percent} · ${title}`;
    }
    if (moved) partsChanged();
    curveChanged();
  };

  const showSweep = (data) => {
    curveChanged();
    for (const root of sweepsOf(data.sweep)) {
      for (const chip of all("[data-live=state]", root)) {
        if (chip.textContent !== data.state && chip.textContent) said.textContent = `${data.name}: ${data.state}`;
        chip.textContent = data.state;
        chip.className = `chip ${data.state}`;
      }
      if (!("livePage" in root.dataset)) continue;
      const other = data.finished !== "finished" in root.dataset || data.held !== root.dataset.held;
      if (other) loadAgain(); // other buttons now
    }
  };

  const showBoard = (data) => {
    const ended = data.succeeded + data.failed + data.cancelled;
    for (const root of boardsOf(data.board)) {
      write(root, "succeeded", number.format(data.succeeded));
      write(root, "trials", number.format(data.trials));
      const more = ended - Number(root.dataset.ended ?? ended);
      if (!("livePage" in root.dataset) || more === 0) continue;
      if (Number(root.dataset.ended) === 0) loadAgain(); // it says that nothing is there yet
      else offerToShow(more > 0 ? `${number.format(more)} new result${more === 1 ? "" : "s"}` : "Other results", "There are new results.");
    }
  };

  const show = { running: showRunning, progress: showProgress, sweep: showSweep, board: showBoard };

  // ---- The stream; where there is none, asking from time to time. Neither while nobody looks. ----

  const query = () => {
    const wanted = new URLSearchParams();
    const ids = (name) => new Set(all(`[data-live-${name}]`).map((e) => e.getAttribute(`data-live-${name}`)));
    for (const name of ["sweep", "board"]) for (const id of ids(name)) wanted.append(name, id);
    if (![...wanted].length) wanted.append("kind", "running");
    return wanted;
  };

  let stream = null;
  let timer = null;
  let failures = 0;
  let turn = 0; // what was begun before it was stopped last goes no further
  const lost = () => {
    for (const place of all("[data-live-page] [data-live=left]")) {
      place.dataset.before ??= place.textContent;
      place.textContent = "the server does not answer; trying again";
    }
  };
  const found = () => {
    failures = 0;
    for (const place of all("[data-before]")) {
      place.textContent = place.dataset.before;
      delete place.dataset.before;
    }
  };
  const stop = () => {
    turn += 1;
    stream?.close();
    clearTimeout(timer);
    stream = timer = null;
  };

  const ask = async (until) => {
    const mine = turn;
    const answer = await fetch(`/api/v1/events/latest?${query()}`).catch(() => null);
    const told = answer?.ok ? await answer.json().catch(() => null) : null;
    if (mine !== turn) return;
    if (told) {
      found();
      for (const one of told.events) show[one.event](one.data);
    } else lost();
    timer = setTimeout(() => (Date.now() < until ? ask(until) : listen()), ASK_EVERY);
  };
  const fallBack = () => {
    stop();
    ask(Date.now() + STREAM_AGAIN);
  };

  const listen = () => {
    stop();
    if (document.hidden) return;
    if (!globalThis.EventSource) return fallBack();
    const mine = new EventSource(`/api/v1/events?${query()}`);
    stream = mine;
    timer = setTimeout(fallBack, SILENCE);
    for (const [kind, told] of Object.entries(show))
      mine.addEventListener(kind, (event) => {
        clearTimeout(timer);
        told(JSON.parse(event.data));
      });
    mine.addEventListener("open", found);
    mine.addEventListener("error", () => {
      failures += 1;
      if (mine.readyState === EventSource.CLOSED || failures > 1) fallBack();
      else lost();
    });
  };

  document.addEventListener("DOMContentLoaded", restore); // after the other scripts of the page
  document.addEventListener("visibilitychange", () => (document.hidden ? stop() : listen()));
  addEventListener("pagehide", stop);
  addEventListener("pageshow", (event) => event.persisted && listen());
  listen();
})();
