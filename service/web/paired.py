"""The paired plot of two estimators: a line a seed from the one to the other, and the differences."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from service.resources import numbers
from service.resources.comparison_schemas import HeldAgainst, PairedSeed

TOP, BOTTOM = 10.0, 214.0
DIFFERENCES = 130.0
"""Where differences stand in their picture."""
SPREAD = 9.0
"""Between differences that would cover each other."""
TICKS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """A label of an axis."""

    y: float
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A seed; ``better`` where the first one is better, ``x`` and ``d`` place its difference."""

    label: str
    first: float
    second: float
    x: float
    d: float
    better: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class PairedPlot:
    """Positions in pixels, ready for a template.

    Attributes:
        ticks: of the values.
        lines: the seeds.
        marks: of the differences.
        zero, mean: heights on the axis of the differences.
        interval: of the mean, top end first; ``None`` below two seeds.
        margin: differences that do not matter, top end first; ``None`` without a margin.
        words: the plot in a sentence.
    """

    ticks: tuple[Mark, ...]
    lines: tuple[Line, ...]
    marks: tuple[Mark, ...]
    zero: float
    mean: float
    interval: tuple[float, float] | None
    margin: tuple[float, float] | None
    words: str


def paired_plot(held: HeldAgainst, *, margin: float, first: str, other: str) -> PairedPlot | None:
    """Lay out the seeds that both have; ``None`` where there is none.

    Above 0 on the axis of the differences the first one is better, whichever way the metric goes.
    """
    pairs = [pair for pair in held.pairs if pair.better_by is not None]
    if not pairs or held.mean is None:
        return None
    values = _Scale.over(
        [value for pair in pairs for value in (pair.first, pair.second) if value is not None]
    )
    ends = [end for end in (held.low, held.high) if end is not None]
    apart = [pair.better_by for pair in pairs if pair.better_by is not None]
    differences = _Scale.over([0.0, held.mean, *ends, *apart])
    return PairedPlot(
        ticks=values.ticks(),
        lines=tuple(_lines(pairs, values, differences)),
        marks=differences.ticks(signed=True),
        zero=differences.y(0.0),
        mean=differences.y(held.mean),
        interval=None if len(ends) < 2 else (differences.y(max(ends)), differences.y(min(ends))),
        margin=(differences.y(margin), differences.y(-margin)) if margin else None,
        words=_words(pairs, first, other),
    )


@dataclass(frozen=True, slots=True)
class _Scale:
    """Large values at the top."""

    low: float
    high: float

    @classmethod
    def over(cls, values: Sequence[float]) -> _Scale:
        """All of the values, with some room."""
        low, high = min(values), max(values)
        room = 0.06 * (high - low) or 0.01 * abs(high) or 1.0
        return cls(low - room, high + room)

    def y(self, value: float) -> float:
        """The height of a value in pixels from above."""
        share = (value - self.low) / (self.high - self.low)
        return round(BOTTOM - (BOTTOM - TOP) * min(max(share, 0.0), 1.0), 2)

    def ticks(self, *, signed: bool = False) -> tuple[Mark, ...]:
        """At round numbers."""
        step = _round_step((self.high - self.low) / TICKS)
        decimals = max(0, -math.floor(math.log10(step) + 1e-9))
        at = [i * step for i in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]
        return tuple(Mark(y=self.y(v), text=numbers.text(v, decimals, signed=signed)) for v in at)


def _round_step(rough: float) -> float:
    """The next 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * step for step in (1, 2, 5, 10) if power * step >= rough * (1 - 1e-9))


def _lines(pairs: Sequence[PairedSeed], values: _Scale, differences: _Scale) -> Iterator[Line]:
    shifts = _shifts([differences.y(pair.better_by or 0.0) for pair in pairs])
    for pair, shift in zip(pairs, shifts, strict=True):
        assert pair.first is not None
        assert pair.second is not None
        assert pair.better_by is not None
        ends = f"{numbers.five_digits(pair.first)} and {numbers.five_digits(pair.second)}"
        yield Line(
            label=f"seed {pair.seed}: {ends}",
            first=values.y(pair.first),
            second=values.y(pair.second),
            x=DIFFERENCES + shift,
            d=differences.y(pair.better_by),
            better=pair.better_by > 0,
        )


def _shifts(heights: Sequence[float]) -> list[float]:
    """To the right and to the left in turn, where differences would cover each other."""
    placed: list[tuple[float, float]] = []
    for height in heights:
        taken = {shift for at, shift in placed if abs(at - height) < SPREAD}
        steps = (SPREAD * step * side for step in range(len(heights) + 1) for side in (1, -1))
        placed.append((height, next(shift for shift in steps if shift not in taken)))
    return [shift for _, shift in placed]


def _words(pairs: Sequence[PairedSeed], first: str, other: str) -> str:
    better = sum(pair.better_by is not None and pair.better_by > 0 for pair in pairs)
    return f"{first} is better than {other} at {better} of {len(pairs)} seeds"
