// Training curves with Plotly. The best six stand out with labels at their ends, all others are grey until somebody wants them:
// a press on a line or on its button keeps it, pointing at one dims the rest. The address holds what was chosen.
"use strict";
(() => {
  const target = document.getElementById("curves");
  const data = JSON.parse(document.getElementById("curve-data").textContent); // lines come best first
  const FIRST = 6;
  const NARROW = 640;
  const LABEL = 16; // pixels of a label's line
  const AXES = {
    epoch: { title: "epoch", at: (line) => line.epochs },
    evaluations: { title: "evaluations of f for each example", at: (line) => scaled(line, line.evaluations_per_epoch) },
    seconds: { title: "seconds of training", at: (line) => scaled(line, line.seconds_per_epoch) },
  };
  const scaled = (line, each) => (each ? line.epochs.map((epoch) => epoch * each) : null);
  const axes = Object.keys(AXES).filter((name) => data.lines.some((line) => AXES[name].at(line)));
  const positive = data.lines.every((line) => line.mean.every((m) => m === null || m > 0));
  const best = data.lines.slice(0, FIRST).map((line) => line.estimator);

  // ---- what is chosen, in the address

  const asked = new URLSearchParams(location.search);
  const chosen = {
    x: axes.includes(asked.get("x")) ? asked.get("x") : axes[0],
    logX: (asked.get("log") ?? "").includes("x"),
    logY: positive && (asked.get("log") ?? "").includes("y"),
    kept: new Set(asked.has("lines") ? asked.get("lines").split(",") : best),
    others: asked.get("others") !== "hidden",
  };

  const remember = () => {
    const url = new URL(location.href);
    const kept = data.lines.map((line) => line.estimator).filter((id) => chosen.kept.has(id));
    const values = {
      x: chosen.x === axes[0] ? "" : chosen.x,
      log: `${chosen.logX ? "x" : ""}${chosen.logY ? "y" : ""}`,
      lines: kept.join() === best.join() ? null : kept.join(),
      others: chosen.others ? "" : "hidden",
    };
    for (const [key, value] of Object.entries(values)) {
      if (value || (key === "lines" && value !== null)) url.searchParams.set(key, value);
      else url.searchParams.delete(key);
    }
    history.replaceState(history.state, "", url);
  };

  // ---- the picture

  const narrow = () => target.clientWidth < NARROW;
  const isKept = (line) => chosen.kept.has(line.estimator);
  const shown = () => data.lines.filter((line) => AXES[chosen.x].at(line) && (isKept(line) || chosen.others));
  const faded = (colour) => colour.replace("rgb(", "rgba(").replace(")", ", 0.14)");

  // Ends of the band; on a logarithmic axis it stops at the smallest mean there is.
  const bandOf = (line, floor) => [1, -1].map((sign) =>
    line.mean.map((m, i) => (m === null ? null : Math.max(m + sign * (line.sd[i] ?? 0), floor))));

  const lineTrace = (line) => {
    const kept = isKept(line);
    const colour = kept ? marks.colour(line.colour) : marks.variable("--quiet");
    const last = line.mean.findLastIndex((m) => m !== null);
    return {
      x: AXES[chosen.x].at(line),
      y: line.mean,
      name: line.title,
      meta: line.estimator,
      mode: "lines+markers",
      line: { color: colour, width: kept ? 2 : 1.25, dash: kept ? marks.dash(line.colour) : "solid" },
      marker: { color: colour, symbol: marks.symbol(line.colour), size: line.mean.map((_, i) => (kept && i === last ? 8 : 0)) },
      hovertemplate: `${escaped(line.title)}<br>${AXES[chosen.x].title} %{x:,.6~g}: %{y:.6~g}<extra></extra>`,
      showlegend: false,
    };
  };

  const bandTraces = (line, floor) => {
    const edge = { mode: "lines", line: { width: 0 }, hoverinfo: "skip", showlegend: false, meta: line.estimator };
    const [upper, lower] = bandOf(line, floor);
    const x = AXES[chosen.x].at(line);
    return [{ ...edge, x, y: upper }, { ...edge, x, y: lower, fill: "tonexty", fillcolor: faded(marks.colour(line.colour)) }];
  };

  // Grey lines lie below all others.
  const traces = (floor) => {
    const lines = shown();
    const kept = lines.filter(isKept);
    return [
      ...lines.filter((line) => !isKept(line)).map(lineTrace),
      ...kept.flatMap((line) => bandTraces(line, floor)),
      ...kept.map(lineTrace),
    ];
  };

  const smallest = () => Math.min(...data.lines.flatMap((line) => line.mean.filter((m) => m !== null)));

  // The axis of values: all lines, the bands of those that stand out, and some room; logarithms on a logarithmic one.
  const extent = (floor) => {
    const scale = chosen.logY ? Math.log10 : (value) => value;
    const values = shown()
      .flatMap((line) => [line.mean, ...(isKept(line) ? bandOf(line, floor) : [])])
      .flat()
      .filter((value) => value !== null)
      .map(scale);
    if (!values.length) return [0, 1];
    const low = values.reduce((a, b) => Math.min(a, b));
    const high = values.reduce((a, b) => Math.max(a, b));
    const room = 0.04 * (high - low) || 1;
    return [low - room, high + room];
  };

  // Heights of labels as shares of the plot, pushed apart so that none overlaps another or leaves the plot.
  const spread = (range, height) => {
    const scale = chosen.logY ? Math.log10 : (value) => value;
    const room = LABEL / height;
    const ends = shown()
      .filter(isKept)
      .map((line) => ({ line, y: (scale(line.mean.findLast((m) => m !== null)) - range[0]) / (range[1] - range[0]) }))
      .filter((end) => Number.isFinite(end.y))
      .sort((a, b) => a.y - b.y);
    let floor = 0;
    for (const end of ends) floor = (end.y = Math.max(end.y, floor)) + room;
    let ceiling = 1;
    for (const end of ends.toReversed()) ceiling = (end.y = Math.min(end.y, ceiling)) - room;
    return ends;
  };

  const labels = (range, height) =>
    narrow() ? [] : spread(range, height).map(({ line, y }) => ({
      xref: "paper", x: 1, xanchor: "left", xshift: 8, yref: "paper", y, yanchor: "middle", showarrow: false,
      text: escaped(line.title), captureevents: true, name: line.estimator,
      font: { color: marks.colour(line.colour), size: 12 },
    }));

  // Plotly reads some HTML in texts; names may hold signs that look like it.
  const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");

  // Room at the right for the longest label; narrow pictures have theirs below.
  const labelWidth = () => {
    if (narrow()) return 12;
    const pen = document.createElement("canvas").getContext("2d");
    pen.font = `12px ${getComputedStyle(document.body).fontFamily}`;
    return 18 + Math.max(0, ...shown().filter(isKept).map((line) => pen.measureText(line.title).width));
  };

  const layout = (range) => {
    const axis = { gridcolor: marks.variable("--line"), zeroline: false, fixedrange: true, automargin: true };
    const epochs = new Set(data.lines.flatMap((line) => line.epochs));
    const ticks = chosen.x === "epoch" && !chosen.logX && epochs.size <= 8 ? { dtick: 1 } : {};
    return {
      margin: { l: 8, r: labelWidth(), t: 10, b: 8 },
      paper_bgcolor: marks.variable("--card"),
      plot_bgcolor: marks.variable("--card"),
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: marks.variable("--muted") },
      hoverlabel: { bgcolor: marks.variable("--card"), bordercolor: marks.variable("--line"), font: { color: marks.variable("--ink") } },
      hovermode: "closest",
      xaxis: { ...axis, title: { text: AXES[chosen.x].title, standoff: 6 }, showgrid: false, type: chosen.logX ? "log" : "linear", ...ticks },
      yaxis: { ...axis, range, title: { text: escaped(data.unit), standoff: 6 }, type: chosen.logY ? "log" : "linear" },
      annotations: labels(range, target.clientHeight - 60),
    };
  };

  const draw = () => {
    const floor = chosen.logY ? smallest() : -Infinity;
    target.style.minHeight = narrow() ? "" : `${Math.min(chosen.kept.size, data.lines.length) * LABEL + 90}px`;
    globalThis.Plotly.react(target, traces(floor), layout(extent(floor)), { displayModeBar: false, responsive: true });
    for (const { button, press } of switches) button.setAttribute("aria-pressed", press.now());
  };

  // ---- what can be pressed

  const switches = [];
  const button = (text, press) => {
    const made = Object.assign(document.createElement("button"), { type: "button", className: "button" });
    made.append(...[text].flat());
    made.addEventListener("click", () => {
      press.to();
      remember();
      draw();
    });
    switches.push({ button: made, press });
    return made;
  };

  const group = (name, ...children) => {
    const made = Object.assign(document.createElement("div"), { className: "choices" });
    made.setAttribute("role", "group");
    made.setAttribute("aria-label", name);
    made.append(...children);
    return made;
  };

  const toggle = (key) => ({ now: () => chosen[key], to: () => (chosen[key] = !chosen[key]) });
  const styles = new Map(data.lines.map((line) => [line.estimator, line.colour]));
  const ids = data.lines.map((line) => line.estimator);
  const several = (wanted) => ({
    now: () => ids.filter((id) => chosen.kept.has(id)).join() === wanted.join(),
    to: () => (chosen.kept = new Set(wanted)),
  });
  const keep = (id) => ({ now: () => chosen.kept.has(id), to: () => chosen.kept.delete(id) || chosen.kept.add(id) });

  // The picture in twice the pixels of the screen. Plotly's own way needs blob: in the content policy.
  const pixels = async (svg) => {
    const image = Object.assign(new Image(), { src: svg });
    await image.decode();
    const canvas = Object.assign(document.createElement("canvas"), { width: 2 * target.clientWidth, height: 2 * target.clientHeight });
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    return canvas.toDataURL("image/png");
  };

  const download = (format) => {
    const made = Object.assign(document.createElement("button"), { type: "button", className: "button", textContent: format.toUpperCase() });
    made.setAttribute("aria-label", `Save the picture as ${format.toUpperCase()}`);
    const name = document.title.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-+|-+$/g, "");
    made.addEventListener("click", async () => {
      const picture = await globalThis.Plotly.toImage(target, { format: "svg", width: target.clientWidth, height: target.clientHeight });
      const href = format === "svg" ? picture : await pixels(picture);
      Object.assign(document.createElement("a"), { href, download: `${name}.${format}` }).click();
    });
    return made;
  };

  const makeTools = () => {
    const tools = Object.assign(document.createElement("div"), { className: "bar" });
    const names = { epoch: "Epochs", evaluations: "Evaluations", seconds: "Seconds" };
    if (axes.length > 1) tools.append(group("Horizontal axis", ...axes.map((name) =>
      button(names[name], { now: () => chosen.x === name, to: () => (chosen.x = name) }))));
    const logarithms = [button("log x", toggle("logX")), ...(positive ? [button("log y", toggle("logY"))] : [])];
    const space = Object.assign(document.createElement("span"), { className: "space" });
    tools.append(group("Logarithmic axes", ...logarithms), space, group("Save the picture", download("svg"), download("png")));
    target.before(tools);
  };

  const makeLegend = () => {
    const legend = Object.assign(document.createElement("div"), { className: "legend" });
    const all = ids.length > FIRST
      ? [group("Which lines", button(`Best ${FIRST}`, several(best)), button("All", several(ids)), button("Others in grey", toggle("others")))]
      : [];
    const names = data.lines.map((line) => {
      const made = button([marks.sample(line.colour), line.title], keep(line.estimator));
      for (const [event, id] of [["pointerenter", line.estimator], ["focus", line.estimator], ["pointerleave", null], ["blur", null]])
        made.addEventListener(event, () => point(id));
      return made;
    });
    legend.append(...all, group("Lines that stand out", ...names));
    target.after(legend);
  };

  // Dim everything but one line; `null` ends it.
  const point = (id) => {
    const stays = (trace) => id === null || trace.meta === id;
    const band = (trace) => (stays(trace) ? faded(marks.colour(styles.get(trace.meta))) : "transparent");
    globalThis.Plotly.restyle(target, {
      opacity: target.data.map((trace) => (stays(trace) ? 1 : 0.15)),
      fillcolor: target.data.map((trace) => (trace.fill ? band(trace) : undefined)),
    });
  };

  const press = (id) => {
    keep(id).to();
    remember();
    draw();
  };

  makeTools();
  makeLegend();
  draw();
  target.on("plotly_hover", (event) => point(event.points[0].data.meta));
  target.on("plotly_unhover", () => point(null));
  target.on("plotly_click", (event) => press(event.points[0].data.meta));
  target.on("plotly_clickannotation", (event) => press(event.annotation.name));
  document.documentElement.addEventListener("themechange", draw);
  addEventListener("resize", draw);
  // The one line of a trial that is being computed has grown: event.detail is { epochs, mean }.
  target.addEventListener("grown", (event) => {
    const [line] = data.lines;
    Object.assign(line, event.detail, { sd: event.detail.mean.map(() => null) });
    draw();
  });
})();
