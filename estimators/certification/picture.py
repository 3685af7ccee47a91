"""A certificate as pictures. SVG, no script. Does not import torch.

``svg`` shows bias against scale, both logarithmic, and variance by problem; ``temperatures_svg`` shows both
against temperature.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from estimators.certification.drawing import (
    BOTTOM,
    TOP,
    Axis,
    decades,
    document,
    grid,
    height,
    line,
    series,
    text,
)
from estimators.certification.record import (
    COMMON_PROBLEM,
    Certificate,
    Interval,
    ProblemResult,
)

_LEFT, _PLOT = 62, 350
_BARS_LEFT, _BARS = 560, 150
_HALF, _RIGHT = 290, 448
"""Width of each of two plots, and where the right one begins."""
_LABEL = 44
"""Width of the label of a guide."""
_USUAL = (1e-4, 1.0)
"""Biases shown at least, so that pictures can be compared."""
_USUAL_TEMPERATURES = (0.1, 5.0)
_NOT_SEEN = "▽ no bias seen: upper end of the interval"


def svg(certificate: Certificate) -> str:
    """Bias against the scale of f, and variance; valid by itself and inside a page."""
    title = f"{name_of(certificate)}: bias against the scale of f, and variance"
    return document(title, [*_bias_panel(certificate.problems), *_variance_panel(certificate.problems)])


def temperatures_svg(certificate: Certificate) -> str:
    """Bias and variance against temperature; empty for a certificate without temperatures."""
    points = certificate.temperatures
    if not points:
        return ""
    title = f"{name_of(certificate)}: bias and variance against temperature, on {COMMON_PROBLEM} at scale 1"
    biases = [(at.temperature, at.point.bias, at.point.detected) for at in points]
    variances = [(at.temperature, at.point.variance, True) for at in points]
    body = [
        *_temperature_panel("Bias relative to the gradient", _LEFT, "s0", biases),
        *_temperature_panel("Variance / squared gradient", _RIGHT, "s1", variances),
    ]
    return document(title, body)


def html(certificate: Certificate) -> str:
    """A page with nothing but the pictures, which needs no other file."""
    name = escape(name_of(certificate))
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="color-scheme" content="light dark">'
        f"<title>{name}</title><h1>{name}</h1>{svg(certificate)}{temperatures_svg(certificate)}</html>\n"
    )


def name_of(certificate: Certificate) -> str:
    """The title, with the parameters that were set."""
    return f"{certificate.title}, {certificate.settings}" if certificate.settings else certificate.title


def _bias_panel(problems: Sequence[ProblemResult]) -> Iterator[str]:
    points = [point for problem in problems for point in problem.points]
    scales = sorted({point.scale for point in points})
    x = Axis(scales[0], scales[-1], _LEFT, _LEFT + _PLOT)
    y = decades([*_USUAL, *(height(point.bias, point.detected) for point in points)])
    yield text(_LEFT, 20, "Bias relative to the gradient", weight=600)
    yield text(_LEFT + _PLOT / 2, BOTTOM + 36, "scale s of f", anchor="middle")
    yield from grid(y, _LEFT, _LEFT + _PLOT)
    for scale in scales:
        label = f"{scale:g}" if scale >= 1 else f"1/{1 / scale:g}"
        yield text(x.at(scale), BOTTOM + 18, label, anchor="middle")
    yield from _guides(x, y)
    for number, problem in enumerate(problems):
        marks = series(x, y, ((p.scale, p.bias, p.detected) for p in problem.points))
        yield f'<g class="s{number % 5}">{"".join(marks)}</g>'


def _guides(x: Axis, y: Axis) -> Iterator[str]:
    """Slopes 1 and 2 from the upper right corner, as far as they stay inside."""
    for order in (1, 2):
        reach = min(x.high / x.low, (y.high / y.low) ** (1 / order))
        right, top = x.at(x.high), y.at(y.high)
        left, bottom = x.at(x.high / reach), y.at(y.high / reach**order)
        yield line("guide", right, top, left, bottom)
        rise = _LABEL * (bottom - top) / (right - left)  # of the line below the label
        yield text(left + 4, bottom - rise - 6, f"order {order}", muted=True)


def _variance_panel(problems: Sequence[ProblemResult]) -> Iterator[str]:
    """Bars of the variance at scale 1, with the name that the colours of both panels go by."""
    yield text(_BARS_LEFT - 118, 20, "Variance / squared gradient, s = 1", weight=600)
    variances = [next(p.variance for p in problem.points if p.scale == 1.0) for problem in problems]
    longest = max([v.high for v in variances] + [1e-12])
    for number, (problem, variance) in enumerate(zip(problems, variances, strict=True)):
        y = TOP + 42 * number
        length, low, high = (_BARS * v / longest for v in (variance.value, variance.low, variance.high))
        yield f'<g class="s{number % 5}">'
        yield f'<rect class="mark" x="{_BARS_LEFT}" y="{y}" width="{length:.1f}" height="16" opacity=".75"/>'
        yield line("whisker", _BARS_LEFT + low, y + 8, _BARS_LEFT + high, y + 8)
        yield "</g>"
        yield text(_BARS_LEFT - 8, y + 13, problem.problem, anchor="end")
        yield text(_BARS_LEFT, y + 30, f"{variance.value:.3g}", muted=True)
    yield text(_BARS_LEFT - 118, BOTTOM + 36, _NOT_SEEN, muted=True)


def _temperature_panel(
    title: str, left: float, style: str, points: Sequence[tuple[float, Interval, bool]]
) -> Iterator[str]:
    """One figure, (temperature, figure, whether it is seen) each, on two logarithmic axes."""
    temperatures = [temperature for temperature, _, _ in points]
    shown = [*_USUAL_TEMPERATURES, *temperatures]
    x = Axis(min(shown), max(shown), left, left + _HALF)
    y = decades(height(of, seen) for _, of, seen in points)
    yield text(left, 20, title, weight=600)
    yield text(left + _HALF / 2, BOTTOM + 36, "temperature", anchor="middle")
    yield from grid(y, left, left + _HALF)
    for temperature in temperatures:
        yield text(x.at(temperature), BOTTOM + 18, f"{temperature:g}", anchor="middle")
    yield f'<g class="{style}">{"".join(series(x, y, points))}</g>'
    if not all(seen for _, _, seen in points):
        yield text(left, BOTTOM + 54, _NOT_SEEN, muted=True)
