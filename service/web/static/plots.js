// Pictures of a board with Plotly: points and lines in the marks of their estimators; the best are labelled and full, the others
// pale. What a picture shows stands in the JSON beside it, and again in a table.
"use strict";
(() => {
  const LABEL = 15; // pixels that a label takes
  const NARROW = 460;
  const MEDIUM = 900;

  // Plotly reads some HTML in texts; names may hold signs that look like it.
  const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");

  const trace = (one, figure) => ({
    x: one.x,
    y: one.y,
    mode: figure.mode,
    opacity: one.strong ? 1 : 0.45,
    line: { color: marks.colour(one.colour), dash: marks.dash(one.colour), width: one.strong ? 2 : 1.25 },
    marker: { color: marks.colour(one.colour), symbol: marks.symbol(one.colour), size: one.strong ? 9 : 7 },
    hovertemplate: `${escaped(one.title)}<br>${escaped(figure.x.short)} %{x:.4~g}: %{y:.6~g}<extra></extra>`,
    showlegend: false,
  });

  const front = (figure) => ({
    ...figure.front,
    mode: "lines",
    line: { color: marks.variable("--muted"), width: 1, dash: "dot", shape: "hv" },
    hoverinfo: "skip",
    showlegend: false,
  });

  // Of logarithmic axes, written out: Plotly would write 2 for 20.
  const TICKS = Array.from({ length: 16 }, (_, k) => [1, 2, 5].map((digit) => Number(`${digit}e${k - 6}`))).flat();
  const scaled = (value, axis) => (axis.log ? Math.log10(value) : value);
  const rangeOf = (values, axis, share) => {
    const known = values.filter((value) => value !== null && (!axis.log || value > 0)).map((value) => scaled(value, axis));
    if (!known.length) return [0, 1];
    const [low, high] = [Math.min(...known), Math.max(...known)];
    const room = share * (high - low) || 0.5;
    return [low - room, high + room];
  };

  // Labels at the last point, in the column at the right, pushed apart so that none overlaps another or leaves the picture.
  const labels = (figure, range, target) => {
    const room = LABEL / (target.clientHeight - 60);
    const ends = figure.series
      .filter((one) => one.strong && one.y.some((y) => y !== null))
      .map((one) => ({ one, y: (scaled(one.y.findLast((y) => y !== null), figure.y) - range[0]) / (range[1] - range[0]) }))
      .filter((end) => Number.isFinite(end.y))
      .sort((a, b) => a.y - b.y);
    let floor = 0;
    for (const end of ends) floor = (end.y = Math.max(end.y, floor)) + room;
    let ceiling = 1;
    for (const end of ends.toReversed()) ceiling = (end.y = Math.min(end.y, ceiling)) - room;
    return ends.map(({ one, y }) => ({
      xref: "paper", x: 1, xanchor: "left", xshift: 8, yref: "paper", y, yanchor: "middle", showarrow: false,
      text: escaped(label(one, target)), font: { color: marks.colour(one.colour), size: 12 },
    }));
  };

  // Beside a small picture the id takes the place of a long title.
  const label = (one, target) => (target.clientWidth < MEDIUM && one.title.length > one.short.length ? one.short : one.title);

  const labelWidth = (figure, target) => {
    const pen = document.createElement("canvas").getContext("2d");
    pen.font = `12px ${getComputedStyle(document.body).fontFamily}`;
    return 18 + Math.max(0, ...figure.series.filter((one) => one.strong).map((one) => pen.measureText(label(one, target)).width));
  };

  const layout = (figure, target) => {
    const base = { gridcolor: marks.variable("--line"), zeroline: false, fixedrange: true, automargin: true };
    const whole = { tickmode: "array", tickvals: TICKS, ticktext: TICKS.map((tick) => tick.toLocaleString("en")) };
    const axis = (of) => ({ ...base, type: of.log ? "log" : "linear", ...(of.log ? whole : {}), title: { text: escaped(of.title), standoff: 6 } });
    const narrow = target.clientWidth < NARROW;
    const [x, y] = ["x", "y"].map((name) => figure.series.flatMap((one) => one[name]));
    const range = rangeOf(y, figure.y, 0.06);
    return {
      margin: { l: 8, r: narrow ? 12 : labelWidth(figure, target), t: 10, b: 8 },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      hovermode: "closest",
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: marks.variable("--muted") },
      hoverlabel: { bgcolor: marks.variable("--card"), bordercolor: marks.variable("--line"), font: { color: marks.variable("--ink") } },
      xaxis: { ...axis(figure.x), range: rangeOf(x, figure.x, 0.04) },
      yaxis: { ...axis(figure.y), range },
      annotations: narrow ? [] : labels(figure, range, target),
    };
  };

  const draw = (target) => {
    const figure = JSON.parse(document.getElementById(target.dataset.figure).textContent);
    const [pale, strong] = [false, true].map((wanted) => figure.series.filter((one) => one.strong === wanted));
    const traces = [...(figure.front ? [front(figure)] : []), ...[...pale, ...strong].map((one) => trace(one, figure))];
    globalThis.Plotly.react(target, traces, layout(figure, target), { displayModeBar: false, responsive: true });
    target.dataset.drawn = "yes";
  };

  const all = [...document.querySelectorAll(".plot[data-figure]")];
  const near = new IntersectionObserver(
    (entries) => {
      for (const { target } of entries.filter((one) => one.isIntersecting)) {
        near.unobserve(target);
        draw(target);
      }
    },
    { rootMargin: "400px" }, // drawn before it is scrolled to
  );
  all.forEach((target) => near.observe(target));
  const redraw = () => all.filter((target) => target.dataset.drawn).forEach(draw);
  document.documentElement.addEventListener("themechange", redraw);
  addEventListener("resize", redraw);
})();
