"""The interval rail of a board: where interval, seeds, mean and reference lie on one common axis."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from service.resources import numbers
from service.resources.board_schemas import BoardRow, ReferenceNumber, Summary

WIDTH = 200.0
MARGIN = 8.0

MANY = 8
"""Rows from which on the axis spans the better half of them, unless the reader wants all: the spread of the
bad ones would press the good ones into a point."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """A linear map from [low, high] to the width of the rail."""

    low: float
    high: float

    def x(self, value: float) -> float:
        """Position in pixels; values beyond the ends stay on the ends."""
        share = (value - self.low) / (self.high - self.low)
        return round(MARGIN + (WIDTH - 2 * MARGIN) * min(max(share, 0.0), 1.0), 2)

    def outside(self, value: float) -> bool:
        """Whether a value lies beyond the ends."""
        return not self.low <= value <= self.high

    @property
    def labels(self) -> tuple[str, str]:
        """The ends in words."""
        decimals = numbers.decimals_for((self.high - self.low) / 10, self.high)
        return numbers.text(self.low, decimals), numbers.text(self.high, decimals)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rail:
    """Positions in pixels, ready for a template.

    Attributes:
        interval: its ends on the rail; ``cut`` names those beyond which it goes on.
        mean: ``None`` where it lies beyond an end; ``beyond`` is that end.
        far: ends beyond which a seed lies, each once.
        references: of comparable numbers on the axis.
    """

    interval: tuple[float, float] | None
    cut: tuple[float, ...]
    mean: float | None
    beyond: float | None
    seeds: tuple[float, ...]
    far: tuple[float, ...]
    references: tuple[float, ...]
    label: str


def better_half(rows: Sequence[BoardRow]) -> Sequence[BoardRow]:
    """The better half of ranked rows, and all that tie with the best."""
    tied = sum(row.standing.tied_with_best for row in rows)
    return rows[: max(-(-len(rows) // 2), tied)]


def axis_for(rows: Sequence[BoardRow], metric: str, levels: Sequence[ReferenceNumber]) -> Axis | None:
    """The axis that holds every mean, reference and seed but outliers, with a tenth of room around.

    Outlying seeds and wide intervals are drawn at the ends: one collapsed seed must not press all others
    into a point. References that are not like with like (another budget, say) are not drawn.
    """
    summaries = [row.metrics[metric] for row in rows if metric in row.metrics]
    if not summaries:
        return None
    values = [s.value for m in summaries for s in m.seeds if not s.outlier]
    values += [value for m in summaries for value in (m.mean, m.median)]
    values += [r.mean for r in comparable(metric, (*levels, *(r for row in rows for r in row.references)))]
    low, high = min(values), max(values)
    room = 0.1 * (high - low) or 0.01 * abs(high) or 1.0
    return Axis(low=low - room, high=high + room)


def rail(summary: Summary, axis: Axis, references: Iterable[ReferenceNumber]) -> Rail:
    """Lay out one row."""
    ends = () if summary.low is None or summary.high is None else (summary.low, summary.high)
    values = [s.value for s in summary.seeds]
    beyond = axis.outside(summary.mean)
    return Rail(
        interval=(axis.x(ends[0]), axis.x(ends[1])) if ends and not beyond else None,
        cut=tuple(axis.x(end) for end in ends if axis.outside(end) and not beyond),
        mean=None if beyond else axis.x(summary.mean),
        beyond=axis.x(summary.mean) if beyond else None,
        seeds=tuple(dict.fromkeys(axis.x(v) for v in values if not axis.outside(v))),
        far=() if beyond else tuple(dict.fromkeys(axis.x(v) for v in values if axis.outside(v))),
        references=tuple(axis.x(r.mean) for r in references if not axis.outside(r.mean)),
        label=_label(summary),
    )


def comparable(metric: str, references: Iterable[ReferenceNumber]) -> list[ReferenceNumber]:
    """Those of one metric that are like with like."""
    return [r for r in references if r.metric == metric and not r.comparable]


def _label(summary: Summary) -> str:
    if summary.low is None or summary.high is None:
        return f"mean {numbers.five_digits(summary.mean)}, one seed, no interval"
    decimals = numbers.decimals_for((summary.high - summary.low) / 2, summary.mean)
    low, high = (numbers.text(end, decimals) for end in (summary.low, summary.high))
    return f"95 % interval {low} to {high}, {summary.n} seeds"
