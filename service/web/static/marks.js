// How an estimator looks in a picture, by the style classes that the server gives it ("e12 p3"): colour from the style sheet, dashes,
// symbol. Other scripts find these functions in `marks`.
"use strict";
const marks = (() => {
  // By pattern: Plotly's name of the dashes, the same for SVG, and Plotly's symbol, which has the shape of the key in tables.
  const PATTERNS = [
    { dash: "solid", array: "none", symbol: "circle" },
    { dash: "dash", array: "7 4", symbol: "square" },
    { dash: "dot", array: "2 3", symbol: "triangle-up" },
    { dash: "dashdot", array: "7 3 2 3", symbol: "diamond" },
    { dash: "longdash", array: "12 5", symbol: "triangle-down" },
    { dash: "longdashdot", array: "12 4 2 4", symbol: "cross" },
  ];
  const SVG = "http://www.w3.org/2000/svg";

  const pattern = (style) => PATTERNS[Number(/ p(\d)/.exec(style)?.[1] ?? 0)];

  const colour = (style) => {
    const probe = document.createElement("span");
    probe.className = style;
    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  };

  // A colour of the page by its variable, as in variable("--line").
  const variable = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // A piece of the line, for legends.
  const sample = (style) => {
    const svg = document.createElementNS(SVG, "svg");
    const line = document.createElementNS(SVG, "line");
    const set = (element, values) => Object.entries(values).forEach(([key, value]) => element.setAttribute(key, value));
    set(svg, { class: style, viewBox: "0 0 30 10", width: 30, height: 10, "aria-hidden": "true" });
    set(line, { x1: 1, x2: 29, y1: 5, y2: 5, stroke: "currentColor", "stroke-width": 2.5, "stroke-dasharray": pattern(style).array });
    svg.append(line);
    return svg;
  };

  return { colour, dash: (style) => pattern(style).dash, symbol: (style) => pattern(style).symbol, variable, sample };
})();
