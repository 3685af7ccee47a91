// Training curves with Plotly: bands, one colour per estimator taken from the style sheet, labels at the ends.
"use strict";
(() => {
  const target = document.getElementById("curves");
  const data = JSON.parse(document.getElementById("curve-data").textContent);

  const colourOf = (name) => {
    const probe = document.createElement("span");
    probe.className = name; // a second class, p1 or p2, is the pattern
    document.body.append(probe);
    const colour = getComputedStyle(probe).color;
    probe.remove();
    return colour;
  };
  const dashOf = (name) => (name.endsWith(" p1") ? "dash" : name.endsWith(" p2") ? "dot" : "solid");
  const variable = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const faded = (colour) => colour.replace("rgb(", "rgba(").replace(")", ", 0.14)");

  const traces = () =>
    data.lines.flatMap((line) => {
      const colour = colourOf(line.colour);
      const edge = { mode: "lines", line: { width: 0 }, hoverinfo: "skip", showlegend: false, x: line.epochs };
      const upper = line.mean.map((m, i) => (m === null ? null : m + (line.sd[i] ?? 0)));
      const lower = line.mean.map((m, i) => (m === null ? null : m - (line.sd[i] ?? 0)));
      return [
        { ...edge, y: upper },
        { ...edge, y: lower, fill: "tonexty", fillcolor: faded(colour) },
        {
          x: line.epochs,
          y: line.mean,
          name: line.title,
          mode: line.epochs.length > 1 ? "lines" : "markers",
          line: { color: colour, width: 2, dash: dashOf(line.colour) },
          marker: { color: colour, size: 7 },
          hovertemplate: `${line.title}<br>epoch %{x}: %{y:.6~g}<extra></extra>`,
          showlegend: false,
        },
      ];
    });

  // Ends of the curves, pushed apart so that no two labels overlap; heights as shares of the plot.
  const spread = (range, height) => {
    const room = 16 / height;
    const ends = data.lines
      .map((line) => ({ line, y: (line.mean.findLast((m) => m !== null) - range[0]) / (range[1] - range[0]) }))
      .filter((end) => Number.isFinite(end.y))
      .sort((a, b) => a.y - b.y);
    for (let i = 1; i < ends.length; i += 1) ends[i].y = Math.max(ends[i].y, ends[i - 1].y + room);
    const over = ends.length ? Math.max(0, ends[ends.length - 1].y - 1) : 0;
    for (const end of ends) end.y -= over;
    return ends;
  };

  const labels = (range, height) =>
    spread(range, height).map(({ line, y }) => ({
      xref: "paper", x: 1, xanchor: "left", xshift: 6, yref: "paper", y, yanchor: "middle", showarrow: false,
      text: target.clientWidth < 520 ? line.short : line.title,
      font: { color: colourOf(line.colour), size: 12 },
    }));

  const extent = () => {
    const values = data.lines.flatMap((l) => l.mean.flatMap((m, i) => (m === null ? [] : [m - (l.sd[i] ?? 0), m + (l.sd[i] ?? 0)])));
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const room = 0.04 * (high - low) || 1;
    return [low - room, high + room];
  };

  // Room at the right for the longest label.
  const labelWidth = (narrow) => {
    const pen = document.createElement("canvas").getContext("2d");
    pen.font = `12px ${getComputedStyle(document.body).fontFamily}`;
    return 14 + Math.max(...data.lines.map((l) => pen.measureText(narrow ? l.short : l.title).width));
  };

  const layout = (range) => {
    const axis = { gridcolor: variable("--line"), zeroline: false, fixedrange: true, automargin: true };
    const narrow = target.clientWidth < 520;
    const epochs = new Set(data.lines.flatMap((line) => line.epochs));
    return {
      margin: { l: 8, r: labelWidth(narrow), t: 10, b: 8 },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: variable("--muted") },
      hoverlabel: { bgcolor: variable("--card"), bordercolor: variable("--line"), font: { color: variable("--ink") } },
      xaxis: { ...axis, title: { text: "epoch", standoff: 6 }, showgrid: false, ...(epochs.size <= 8 ? { dtick: 1 } : {}) },
      yaxis: { ...axis, range, title: { text: data.unit, standoff: 6 } },
      annotations: labels(range, target.clientHeight - 50),
    };
  };

  // A label takes 16 pixels; a board of many estimators needs a taller picture than the style sheet gives.
  target.style.minHeight = `${data.lines.length * 16 + 80}px`;

  const draw = () => {
    const options = { displaylogo: false, displayModeBar: false, responsive: true };
    globalThis.Plotly.react(target, traces(), layout(extent()), options);
  };
  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  addEventListener("resize", draw);
})();
