"""Numbers of a column that stand point under point: those with fewer decimals are filled up, unseen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from service.resources import numbers


@dataclass(frozen=True, kw_only=True, slots=True)
class Digits:
    """A number as it is written.

    Attributes:
        certain: its digits, the uncertain ones at its end left out.
        uncertain: those inside the half-width of its interval.
        pad: digits that it lacks beside the longest of its column.
    """

    certain: str
    uncertain: str = ""
    pad: str = ""

    @property
    def text(self) -> str:
        """All that is seen."""
        return self.certain + self.uncertain


ABSENT = Digits(certain="–")
"""Stands for a number that there is not."""


def digits(text: str) -> Digits:
    """A number without uncertain digits."""
    return Digits(certain=text)


def measured(mean: float, half_width: float | None) -> Digits:
    """A mean whose digits inside the half-width of its interval are uncertain."""
    certain, uncertain = numbers.split_digits(mean, half_width)
    return Digits(certain=certain, uncertain=uncertain)


def aligned(column: Iterable[Digits]) -> list[Digits]:
    """The same numbers, each with what it lacks beside the one with the most decimals."""
    found = list(column)
    most = max((_decimals(one) for one in found), default=0)
    return [replace(one, pad=_pad(_decimals(one), most)) for one in found]


def aligned_columns(rows: Sequence[Sequence[Digits]]) -> list[list[Digits]]:
    """Rows of equal length, every column of which is :func:`aligned`."""
    columns = [aligned(column) for column in zip(*rows, strict=True)]
    return [list(row) for row in zip(*columns, strict=True)]


def _decimals(one: Digits) -> int:
    return len(one.text.partition(".")[2])


def _pad(decimals: int, most: int) -> str:
    missing = "0" * (most - decimals)
    return f".{missing}" if missing and not decimals else missing
