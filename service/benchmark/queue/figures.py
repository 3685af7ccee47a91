"""What is measured, what must be reached, and the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.commands.speed.report import aligned

HEADINGS = ("what", "database", "figure", "must", "goal", "verdict")


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """What must be reached, and what would be better still; of times and sizes less is better."""

    unit: str
    must: float | None = None
    goal: float | None = None
    more_is_better: bool = False

    def verdict(self, value: float) -> str:
        """``goal``, ``must`` or ``MISSED``; nothing where nothing is demanded."""
        if self.must is None:
            return ""
        if self.goal is not None and self._reaches(value, self.goal):
            return "goal"
        return "must" if self._reaches(value, self.must) else "MISSED"

    def _reaches(self, value: float, level: float) -> bool:
        return value >= level if self.more_is_better else value <= level


STORED = Target(unit="s", must=5.0, goal=2.0)
WAIT = Target(unit="s", must=1.0)
HOLD = Target(unit="s", must=0.2)
ANSWER = Target(unit="ms", must=100.0)
BOARD = Target(unit="ms", must=150.0, goal=25.0)
SIZE = Target(unit="kB", must=300.0)
COMPLETIONS = Target(unit="1/s", must=2_000.0, goal=5_000.0, more_is_better=True)
POINTS = {
    "sqlite": Target(unit="1/s", must=50_000.0, goal=100_000.0, more_is_better=True),
    "postgresql": Target(unit="1/s", must=30_000.0, goal=100_000.0, more_is_better=True),
}
NO_OPS = Target(unit="1/s", must=500.0, more_is_better=True)
GROWTH = Target(unit="MB", must=150.0)
FLAT = Target(unit="MB", must=50.0)
BESIDE_SOCKET = Target(unit="x", must=1.5)
FREE = Target(unit="ms")
"""Nothing is demanded."""
BESIDE = Target(unit="1/s", more_is_better=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """One number: what of, where, and how it stands to its target."""

    what: str
    where: str
    value: float
    target: Target

    @property
    def verdict(self) -> str:
        """As of its target."""
        return self.target.verdict(self.value)


def table(figures: Sequence[Figure]) -> str:
    """The figures as aligned text, in the order they were measured."""
    rows = [
        (
            one.what,
            one.where,
            f"{_number(one.value)} {one.target.unit}",
            _level(one.target.must),
            _level(one.target.goal),
            one.verdict,
        )
        for one in figures
    ]
    return "\n".join(aligned([HEADINGS, *rows]))


def _level(level: float | None) -> str:
    return "" if level is None else _number(level)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
