"""A certificate as a picture: bias against scale, both logarithmic, and variance by problem. SVG, no script.

Does not import torch. Colours follow the viewer's light or dark scheme.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from estimators.certification.record import Certificate, Point, ProblemResult

WIDTH, HEIGHT = 760, 330
_LEFT, _TOP, _PLOT, _BOTTOM = 62, 44, 350, 270
_BARS_LEFT, _BARS = 560, 150
_LABEL = 44
"""Width of the label of a guide."""
_FLOOR = 1e-6
"""Biases below are drawn here."""
_USUAL = (1e-4, 1.0)
"""Shown at least, so that pictures can be compared."""

_STYLE = """
.certificate { font: 12px system-ui, sans-serif; color: #16191d; background: #fff }
.certificate text { fill: currentColor }
.certificate .muted { opacity: .65 }
.certificate .grid { stroke: currentColor; opacity: .13 }
.certificate .guide { stroke: currentColor; opacity: .45; stroke-dasharray: 4 4 }
.certificate .s0 { color: #0b62c4 } .certificate .s1 { color: #c8701a } .certificate .s2 { color: #b5384f }
.certificate .s3 { color: #12805c } .certificate .s4 { color: #8a5bc9 }
.certificate .mark { fill: currentColor } .certificate .limit { fill: none; stroke: currentColor }
.certificate .line, .certificate .whisker { fill: none; stroke: currentColor; stroke-width: 1.6 }
@media (prefers-color-scheme: dark) {
  .certificate { color: #e9ebee; background: #181b1f }
  .certificate .s0 { color: #6aa9ff } .certificate .s1 { color: #f0a35a } .certificate .s2 { color: #f07f92 }
  .certificate .s3 { color: #4fc795 } .certificate .s4 { color: #b896f0 }
}
"""


@dataclass(frozen=True)
class _Axis:
    """log10 of [low, high] onto pixels."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        share = (math.log10(value) - math.log10(self.low)) / (math.log10(self.high) - math.log10(self.low))
        return round(self.start + (self.end - self.start) * min(max(share, 0.0), 1.0), 1)


def svg(certificate: Certificate) -> str:
    """The picture; valid by itself and inside a page."""
    title = f"{certificate.title}: bias against the scale of f, and variance"
    body = [*_bias_panel(certificate.problems), *_variance_panel(certificate.problems)]
    return (
        f'<svg class="certificate" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'role="img" aria-label="{escape(title)}"><title>{escape(title)}</title><style>{_STYLE}</style>'
        f"{''.join(body)}</svg>\n"
    )


def html(certificate: Certificate) -> str:
    """A page with nothing but the picture, which needs no other file."""
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="color-scheme" content="light dark">'
        f"<title>{escape(certificate.title)}</title><h1>{escape(certificate.title)}</h1>{svg(certificate)}</html>\n"
    )


def _bias_panel(problems: Sequence[ProblemResult]) -> Iterator[str]:
    points = [point for problem in problems for point in problem.points]
    shown = [*_USUAL, *(_height(point) for point in points)]
    low, high = 10 ** math.floor(math.log10(min(shown))), 10 ** math.ceil(math.log10(max(shown)))
    scales = sorted({point.scale for point in points})
    x = _Axis(scales[0], scales[-1], _LEFT, _LEFT + _PLOT)
    y = _Axis(low, high, _BOTTOM, _TOP)
    yield _text(_LEFT, 20, "Bias relative to the gradient", weight=600)
    yield _text(_LEFT + _PLOT / 2, _BOTTOM + 36, "scale s of f", anchor="middle")
    for power in range(round(math.log10(low)), round(math.log10(high)) + 1):
        yield _line("grid", _LEFT, y.at(10**power), _LEFT + _PLOT, y.at(10**power))
        yield _text(_LEFT - 8, y.at(10**power) + 4, f"{10.0**power:g}", anchor="end")
    for scale in scales:
        yield _text(
            x.at(scale), _BOTTOM + 18, f"{scale:g}" if scale >= 1 else f"1/{1 / scale:g}", anchor="middle"
        )
    yield from _guides(x, y)
    for number, problem in enumerate(problems):
        yield f'<g class="s{number % 5}">{"".join(_series(problem, x, y))}</g>'


def _guides(x: _Axis, y: _Axis) -> Iterator[str]:
    """Slopes 1 and 2 from the upper right corner, as far as they stay inside."""
    for order in (1, 2):
        reach = min(x.high / x.low, (y.high / y.low) ** (1 / order))
        right, top = x.at(x.high), y.at(y.high)
        left, bottom = x.at(x.high / reach), y.at(y.high / reach**order)
        yield _line("guide", right, top, left, bottom)
        rise = _LABEL * (bottom - top) / (right - left)  # of the line below the label
        yield _text(left + 4, bottom - rise - 6, f"order {order}", muted=True)


def _series(problem: ProblemResult, x: _Axis, y: _Axis) -> Iterator[str]:
    """A line through the biases that are seen, a triangle at the upper end of the interval of others."""
    seen = [point for point in problem.points if point.detected]
    path = " ".join(f"{x.at(p.scale)},{y.at(_height(p))}" for p in seen)
    yield f'<polyline class="line" points="{path}"/>'
    for point in problem.points:
        h, top = x.at(point.scale), y.at(_height(point))
        if not point.detected:
            yield f'<path class="limit" d="M{h - 4} {top}h8l-4 7z"/>'
            continue
        yield f'<circle class="mark" cx="{h}" cy="{top}" r="3.2"/>'
        yield _line("whisker", h, y.at(max(_FLOOR, point.bias.low)), h, y.at(max(_FLOOR, point.bias.high)))


def _variance_panel(problems: Sequence[ProblemResult]) -> Iterator[str]:
    """Bars of the variance at scale 1, with the name that the colours of both panels go by."""
    yield _text(_BARS_LEFT - 118, 20, "Variance / squared gradient, s = 1", weight=600)
    variances = [next(p.variance for p in problem.points if p.scale == 1.0) for problem in problems]
    longest = max([v.high for v in variances] + [1e-12])
    for number, (problem, variance) in enumerate(zip(problems, variances, strict=True)):
        y = _TOP + 42 * number
        length, low, high = (_BARS * v / longest for v in (variance.value, variance.low, variance.high))
        yield f'<g class="s{number % 5}">'
        yield f'<rect class="mark" x="{_BARS_LEFT}" y="{y}" width="{length:.1f}" height="16" opacity=".75"/>'
        yield _line("whisker", _BARS_LEFT + low, y + 8, _BARS_LEFT + high, y + 8)
        yield "</g>"
        yield _text(_BARS_LEFT - 8, y + 13, problem.problem, anchor="end")
        yield _text(_BARS_LEFT, y + 30, f"{variance.value:.3g}", muted=True)
    yield _text(_BARS_LEFT - 118, _BOTTOM + 36, "▽ no bias seen: upper end of the interval", muted=True)


def _height(point: Point) -> float:
    return max(_FLOOR, point.bias.value if point.detected else point.bias.high)


def _line(name: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{name}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", weight: int = 400, muted: bool = False
) -> str:
    name = ' class="muted"' if muted else ""
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}"'
    return f"<text{name} {place}>{escape(text)}</text>"
