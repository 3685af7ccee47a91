"""What pictures are made of: axes, lines, text and the style of SVG, without script. Does not import torch.

Colours follow the viewer's light or dark scheme.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape

from estimators.certification.record import Interval

WIDTH, HEIGHT = 760, 330
TOP, BOTTOM = 44, 270
FLOOR = 1e-6
"""What is below is drawn here."""

STYLE = """
svg:root { color-scheme: light dark }
.certificate { font: 12px system-ui, sans-serif; color: #16191d; background: #fff }
.certificate { color: light-dark(#16191d, #e9ebee); background: light-dark(#fff, #181b1f) }
.certificate text { fill: currentColor }
.certificate .muted { opacity: .65 }
.certificate .grid { stroke: currentColor; opacity: .13 }
.certificate .guide { stroke: currentColor; opacity: .45; stroke-dasharray: 4 4 }
.certificate .s0 { color: #0b62c4 } .certificate .s1 { color: #c8701a } .certificate .s2 { color: #b5384f }
.certificate .s3 { color: #12805c } .certificate .s4 { color: #8a5bc9 }
.certificate .s0 { color: light-dark(#0b62c4, #6aa9ff) } .certificate .s1 { color: light-dark(#c8701a, #f0a35a) }
.certificate .s2 { color: light-dark(#b5384f, #f07f92) } .certificate .s3 { color: light-dark(#12805c, #4fc795) }
.certificate .s4 { color: light-dark(#8a5bc9, #b896f0) }
.certificate .mark { fill: currentColor } .certificate .limit { fill: none; stroke: currentColor }
.certificate .line, .certificate .whisker { fill: none; stroke: currentColor; stroke-width: 1.6 }
"""
"""Pairs of colours, light and dark, follow the page that the picture is in, or the system where it is a file;
programs that do not know light-dark() take the light ones.
"""


@dataclass(frozen=True)
class Axis:
    """log10 of [low, high] onto pixels."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """The pixel of a value, which is one end of the axis for those beyond it."""
        share = (math.log10(value) - math.log10(self.low)) / (math.log10(self.high) - math.log10(self.low))
        return round(self.start + (self.end - self.start) * min(max(share, 0.0), 1.0), 1)


def decades(values: Iterable[float]) -> Axis:
    """A vertical axis of whole powers of ten around all values, none of which is below :data:`FLOOR`."""
    exponents = [math.log10(value) for value in values]
    low, high = math.floor(min(exponents)), math.ceil(max(exponents))
    return Axis(10.0**low, 10.0 ** max(high, low + 1), BOTTOM, TOP)


def document(title: str, parts: Iterable[str]) -> str:
    """A picture; valid by itself and inside a page."""
    return (
        f'<svg class="certificate" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'role="img" aria-label="{escape(title)}"><title>{escape(title)}</title><style>{STYLE}</style>'
        f"{''.join(parts)}</svg>\n"
    )


def grid(y: Axis, left: float, right: float) -> Iterator[str]:
    """A labelled line at every power of ten."""
    for power in range(round(math.log10(y.low)), round(math.log10(y.high)) + 1):
        value = 10.0**power
        yield line("grid", left, y.at(value), right, y.at(value))
        yield text(left - 8, y.at(value) + 4, f"{value:g}", anchor="end")


def series(x: Axis, y: Axis, points: Iterable[tuple[float, Interval, bool]]) -> Iterator[str]:
    """A line through what is seen, with intervals; a triangle at the upper end of the other intervals."""
    known = list(points)
    path = " ".join(f"{x.at(at)},{y.at(height(of, seen))}" for at, of, seen in known if seen)
    yield f'<polyline class="line" points="{path}"/>'
    for at, of, seen in known:
        h, top = x.at(at), y.at(height(of, seen))
        if not seen:
            yield f'<path class="limit" d="M{h - 4:g} {top}h8l-4 7z"/>'
            continue
        yield f'<circle class="mark" cx="{h}" cy="{top}" r="3.2"/>'
        yield line("whisker", h, y.at(max(FLOOR, of.low)), h, y.at(max(FLOOR, of.high)))


def height(of: Interval, seen: bool) -> float:
    """Where a figure is drawn: at its value, or at the upper end of its interval if it is not seen."""
    return max(FLOOR, of.value if seen else of.high)


def line(name: str, x1: float, y1: float, x2: float, y2: float) -> str:
    """A straight line of a style."""
    return f'<line class="{name}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def text(
    x: float, y: float, content: str, *, anchor: str = "start", weight: int = 400, muted: bool = False
) -> str:
    """A line of text, escaped."""
    name = ' class="muted"' if muted else ""
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}"'
    return f"<text{name} {place}>{escape(content)}</text>"
