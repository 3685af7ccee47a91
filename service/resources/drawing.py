"""Pictures of exhibits as SVG or PNG. Matplotlib is loaded with the first one: the server starts fast."""

from __future__ import annotations

import io
import math
import threading
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from service.resources import describe
from service.resources.colours import Scheme, marks
from service.resources.figures import Level, Panel, Picture
from service.resources.numbers import five_digits

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

Format = Literal["svg", "png"]

GROUNDS = {
    "light": ("#ffffff", "#16191d", "#5f6771", "#e2e5e8"),
    "dark": ("#181b1f", "#e9ebee", "#9aa3ad", "#2b3036"),
}
"""Ground, ink, muted ink and lines of the style sheet."""

MARKS = ("o", "s", "^", "D", "v", "P")
DASHES = ("-", "--", ":", "-.", (0, (9, 4)), (0, (9, 3, 2, 3)))
"""By the pattern of a mark: nothing is told by colour alone."""

LEVEL_DASHES = ("--", "-.", ":")
COLUMNS = 3
INCHES = (4.0, 3.1)
ALONE_INCHES = (7.2, 4.2)
"""Of a panel; of one that is alone."""
ROW_INCHES = 0.24
"""Height of a row of numbers."""
MOST_COLUMNS, MARK_INCHES, LETTER_INCHES, LINE_INCHES = 4, 0.55, 0.068, 0.18
"""Of a legend: entries side by side, the width of the line and of a letter of one, and its height."""
FEW, LEGEND_POINTS, SMALL_POINTS = 12, 8.0, 6.5
"""Entries that a legend sets in letters of the usual size; those of more are smaller."""
MOST_TICKS = 6
"""Whole costs that are all marked on their axis."""
DPI = 160

_lock = threading.Lock()  # matplotlib's settings are global


def draw(picture: Picture, *, format: Format, scheme: Scheme = "light") -> bytes:
    """The picture as a file. The same results give the same bytes; text is drawn as paths."""
    import matplotlib

    with _lock, matplotlib.rc_context():
        matplotlib.rcParams.update(_settings(scheme))
        figure = _figure(picture, scheme)
        file = io.BytesIO()
        told = {"Title": picture.title} | ({"Date": None} if format == "svg" else {})
        figure.savefig(file, format=format, dpi=DPI, metadata=told)
    return file.getvalue()


def _settings(scheme: Scheme) -> Any:
    ground, ink, muted, line = GROUNDS[scheme]
    return {
        "text.parse_math": False,  # names may hold dollar signs
        "svg.fonttype": "path",
        "svg.hashsalt": "heunboard",
        "font.size": 9,
        "figure.facecolor": ground,
        "axes.facecolor": ground,
        "savefig.facecolor": ground,
        "text.color": ink,
        "axes.labelcolor": ink,
        "axes.edgecolor": muted,
        "xtick.color": muted,
        "ytick.color": muted,
        "grid.color": line,
        "legend.edgecolor": line,
    }


def _figure(picture: Picture, scheme: Scheme) -> Figure:
    from matplotlib.figure import Figure

    columns = min(COLUMNS, len(picture.panels))
    rows = math.ceil(len(picture.panels) / columns)
    width, height = _panel_inches(picture)
    width, height = width * columns, height * rows + _legend_inches(picture, width * columns)
    figure = Figure(figsize=(width, height), layout="constrained")
    places = list(figure.subplots(rows, columns, squeeze=False).flat)
    for panel, axes in zip(picture.panels, places, strict=False):
        axes.set_title(panel.title, fontsize=9.5)
        _PANELS[picture.kind](axes, panel, picture, scheme)
    for axes in places[len(picture.panels) :]:
        axes.set_axis_off()
    if picture.kind != "heatmap" and picture.estimators:
        _legend(figure, picture, scheme)
    return figure


def _panel_inches(picture: Picture) -> tuple[float, float]:
    """Width and height of a panel; higher for many rows of numbers."""
    width, height = INCHES if len(picture.panels) > 1 else ALONE_INCHES
    most = max(len(panel.numbers) for panel in picture.panels)
    return width, max(height, ROW_INCHES * most + 0.8)


def _style(estimator: str, picture: Picture, scheme: Scheme) -> dict[str, Any]:
    """Colour, dashes and mark of an estimator, as on the pages."""
    mark = marks(picture.estimators)[estimator]
    return {
        "color": mark.colour(scheme),
        "linestyle": DASHES[mark.pattern],
        "marker": MARKS[mark.pattern],
    }


def _curves(axes: Axes, panel: Panel, picture: Picture, scheme: Scheme) -> None:
    from matplotlib.ticker import MaxNLocator

    for curve in panel.curves:
        style = _style(curve.estimator, picture, scheme)
        mean = [math.nan if one is None else one for one in curve.mean]
        sd = [0.0 if one is None else one for one in curve.sd]
        every = max(len(mean) // 6, 1)
        axes.plot(curve.epochs, mean, linewidth=1.5, markersize=4, markevery=every, **style)
        low = [m - s for m, s in zip(mean, sd, strict=True)]
        high = [m + s for m, s in zip(mean, sd, strict=True)]
        axes.fill_between(curve.epochs, low, high, color=style["color"], alpha=0.15, linewidth=0)
    for place, level in enumerate(panel.levels):
        _level(axes, level, place)
    if picture.log:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if max((len(curve.epochs) for curve in panel.curves), default=0) == 1:
        axes.set_xlim(0, 2)
    axes.set_xlabel(picture.across or "Epoch")
    axes.set_ylabel(picture.axis)
    axes.grid(visible=True, linewidth=0.6)
    if not panel.curves:
        _nothing(axes)


def _level(axes: Axes, level: Level, place: int) -> None:
    """A line with its label, in turn at the right and at the left so that near ones stay legible."""
    dashes = LEVEL_DASHES[place % len(LEVEL_DASHES)]
    axes.axhline(level.value, color=axes.xaxis.label.get_color(), linewidth=1, linestyle=dashes)
    left = place % 2
    axes.annotate(
        level.label,
        xy=(0 if left else 1, level.value),
        xycoords=("axes fraction", "data"),
        xytext=(2 if left else -2, 2),
        textcoords="offset points",
        ha="left" if left else "right",
        fontsize=7.5,
    )


def _numbers(axes: Axes, panel: Panel, picture: Picture, scheme: Scheme) -> None:
    """Rows of estimators, columns of the hyper-parameter; light is good, the best number of a row is bold."""
    across = sorted({at for own in panel.numbers.values() for at in own})
    table = [[own.get(at, math.nan) for at in across] for own in panel.numbers.values()]
    if not any(math.isfinite(value) for row in table for value in row):
        _nothing(axes)
        return
    image = axes.imshow(table, aspect="auto", cmap="Greys_r" if picture.maximize else "Greys")
    for y, row in enumerate(table):
        best = (max if picture.maximize else min)((v for v in row if math.isfinite(v)), default=math.nan)
        for x, value in enumerate(row):
            _number(axes, image, (x, y), value, bold=value == best)
    axes.set_xticks(range(len(across)), [f"{at:g}" for at in across])
    axes.set_yticks(range(len(table)), [describe.title_of_estimator(id) for id in panel.numbers], fontsize=8)
    for label, id in zip(axes.get_yticklabels(), panel.numbers, strict=True):
        label.set_color(_style(id, picture, scheme)["color"])
    axes.set_xlabel(picture.across)


def _number(axes: Axes, image: AxesImage, at: tuple[int, int], value: float, *, bold: bool) -> None:
    """A number in its cell, dark on light and light on dark; a dash where there is none."""
    text, ink = "–", axes.xaxis.label.get_color()
    if math.isfinite(value):
        grey = image.to_rgba(np.array([[value]]))[0, 0, 0]
        text, ink = five_digits(value), "#16191d" if grey > 0.5 else "#ffffff"
    weight = "bold" if bold else "normal"
    axes.text(*at, text, ha="center", va="center", fontsize=7, fontweight=weight, color=ink)


def _points(axes: Axes, panel: Panel, picture: Picture, scheme: Scheme) -> None:
    """Quality against cost; a line joins those that no other beats for less."""
    from matplotlib.ticker import LogLocator

    for point in panel.points:
        style = _style(point.estimator, picture, scheme) | {"linestyle": "none"}
        half = 0.0 if point.low is None or point.high is None else (point.high - point.low) / 2
        axes.errorbar(point.cost, point.mean, yerr=half, markersize=6, elinewidth=1.2, **style)
    front = sorted((point.cost, point.mean) for point in panel.points if point.front)
    ink = axes.xaxis.label.get_color()
    axes.plot([x for x, _ in front], [y for _, y in front], color=ink, linewidth=0.9, linestyle=":", zorder=1)
    costs = [point.cost for point in panel.points]
    if costs and max(costs) > 3 * min(costs) > 0:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("")
    if all(cost == int(cost) for cost in costs) and len(set(costs)) <= MOST_TICKS:
        axes.set_xticks(sorted(set(costs)))
    axes.set_ylabel(picture.axis)
    axes.grid(visible=True, linewidth=0.6)
    if not panel.points:
        _nothing(axes)


def _traces(axes: Axes, panel: Panel, picture: Picture, scheme: Scheme) -> None:
    """Answers to a hyper-parameter, everything else at its best for each of its values."""
    for trace in panel.traces:
        style = _style(trace.estimator, picture, scheme)
        axes.errorbar(
            trace.at, trace.means, yerr=trace.halves, markersize=4, linewidth=1.4, elinewidth=0.9, **style
        )
    if panel.log_across:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("")
    values = sorted({value for trace in panel.traces for value in trace.at})
    if len(values) <= MOST_TICKS:
        axes.set_xticks(values)
    axes.set_ylabel(picture.axis)
    axes.grid(visible=True, linewidth=0.6)


def _nothing(axes: Axes) -> None:
    axes.text(0.5, 0.5, "no results yet", transform=axes.transAxes, ha="center", va="center")


def _legend(figure: Figure, picture: Picture, scheme: Scheme) -> None:
    from matplotlib.lines import Line2D

    unjoined = {"linestyle": "none"} if picture.kind == "cost" else {}
    handles = [
        Line2D([], [], markersize=4, **(_style(id, picture, scheme) | unjoined)) for id in picture.estimators
    ]
    columns, size = _legend_columns(picture, figure.get_figwidth()), _legend_points(picture)
    figure.legend(handles, _titles(picture), loc="outside lower center", ncols=columns, fontsize=size)


def _titles(picture: Picture) -> list[str]:
    return [describe.title_of_estimator(id) for id in picture.estimators]


def _legend_columns(picture: Picture, width: float) -> int:
    titles = _titles(picture)
    letter = LETTER_INCHES * _legend_points(picture) / LEGEND_POINTS
    widest = MARK_INCHES + letter * max(map(len, titles))
    return max(1, min(len(titles), MOST_COLUMNS, int(width / widest)))


def _legend_points(picture: Picture) -> float:
    return LEGEND_POINTS if len(picture.estimators) <= FEW else SMALL_POINTS


def _legend_inches(picture: Picture, width: float) -> float:
    """Its height; what a picture without one has below it."""
    if picture.kind == "heatmap" or not picture.estimators:
        return 0.5
    lines = math.ceil(len(picture.estimators) / _legend_columns(picture, width))
    return 0.3 + LINE_INCHES * lines


_PANELS = {"curves": _curves, "heatmap": _numbers, "cost": _points, "sensitivity": _traces}
