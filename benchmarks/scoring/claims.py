"""Sentences of a paper as tests: how often a sentence holds in joint draws of what the seeds leave open.

Pure functions of numbers, without torch. docs/statistics.md explains the verdicts with examples.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.scoring.posterior import DRAWS, MIN_SEEDS, Boards, Cell, Metric, Posterior, posteriors

SUPPORTED_FROM = 0.95
"""Share of draws from which a claim is supported."""

CONTRADICTED_TO = 0.05
"""Share of draws up to which a claim is contradicted."""

Flags = NDArray[np.bool_]


class ClaimVerdict(StrEnum):
    """What the measurements say of a claim."""

    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    UNDECIDED = "undecided"
    NOT_TRIED = "not tried"


class Claim(Protocol):
    """A part of a sentence, which holds or does not, given the means on a board; it speaks of all its
    boards."""

    @property
    def boards(self) -> tuple[Hashable, ...]:
        """The boards of which it speaks."""
        ...

    def needs(self, tried: Sequence[str]) -> tuple[str, ...]:
        """The estimators of which it speaks on a board where these were tried."""
        ...

    def holds(self, board: Hashable, posterior: Posterior) -> Flags:
        """(draws,) whether it holds on a board."""
        ...


@dataclass(frozen=True, slots=True)
class Best:
    """The estimator is the best on every board, or at most ``at_most_behind`` behind the best.

    Among the named rivals, or among all others of a board if none is named. Estimators that failed are last.
    """

    estimator: str
    boards: tuple[Hashable, ...]
    at_most_behind: float = 0.0
    rivals: tuple[str, ...] = ()

    def needs(self, tried: Sequence[str]) -> tuple[str, ...]:
        """The estimator and its rivals, of which there must be one."""
        others = [name for name in tried if name != self.estimator]
        return (self.estimator, *(self.rivals or others or ["any rival"]))

    def holds(self, board: Hashable, posterior: Posterior) -> Flags:
        """Its cost is finite and at most that of every rival, plus ``at_most_behind``."""
        own = posterior.costs(self.estimator)
        rivals = [name for name in self.needs(posterior.estimators) if name != self.estimator]
        best = np.min([posterior.costs(name) for name in rivals], axis=0)
        return np.asarray(np.isfinite(own) & (own <= best + self.at_most_behind))


@dataclass(frozen=True, slots=True)
class Better:
    """The estimator is better than another on every board, by more than ``by``."""

    estimator: str
    than: str
    boards: tuple[Hashable, ...]
    by: float = 0.0

    def needs(self, tried: Sequence[str]) -> tuple[str, ...]:
        """Both estimators."""
        return (self.estimator, self.than)

    def holds(self, board: Hashable, posterior: Posterior) -> Flags:
        """Its cost is below the other's, less ``by``."""
        return posterior.costs(self.estimator) < posterior.costs(self.than) - self.by


@dataclass(frozen=True, slots=True)
class Bound:
    """The estimator's mean is finite and lies in [low, high] on every board; ``None`` is no bound."""

    estimator: str
    boards: tuple[Hashable, ...]
    low: float | None = None
    high: float | None = None

    def needs(self, tried: Sequence[str]) -> tuple[str, ...]:
        """The estimator."""
        return (self.estimator,)

    def holds(self, board: Hashable, posterior: Posterior) -> Flags:
        """low <= mean <= high."""
        return _inside(posterior.chosen(self.estimator).value, self.low, self.high)


@dataclass(frozen=True, slots=True)
class BestSetting:
    """At the estimator's best setting, a numeric parameter lies in [low, high], on every board."""

    estimator: str
    parameter: str
    boards: tuple[Hashable, ...]
    low: float | None = None
    high: float | None = None

    def needs(self, tried: Sequence[str]) -> tuple[str, ...]:
        """The estimator."""
        return (self.estimator,)

    def holds(self, board: Hashable, posterior: Posterior) -> Flags:
        """low <= parameter of the chosen cell <= high; not of an estimator that failed.

        Raises:
            ValueError: a cell has no such parameter, or not as a number.
        """
        chosen = posterior.chosen(self.estimator)
        settings = []
        for cell in chosen.cells:
            value = cell.parameters.get(self.parameter)
            if value is None or isinstance(value, str):
                raise ValueError(f"{self.parameter} of {self.estimator} on {board} is no number: {value!r}")
            settings.append(float(value))
        inside = _inside(np.array(settings), self.low, self.high)
        return np.asarray(inside[chosen.index] & np.isfinite(chosen.value))


@dataclass(frozen=True, slots=True)
class Ratio:
    """The ratio of two estimators' means lies in [low, high], on every board."""

    estimator: str
    over: str
    boards: tuple[Hashable, ...]
    low: float | None = None
    high: float | None = None

    def needs(self, tried: Sequence[str]) -> tuple[str, ...]:
        """Both estimators."""
        return (self.estimator, self.over)

    def holds(self, board: Hashable, posterior: Posterior) -> Flags:
        """low <= mean / other mean <= high; not where either failed or the other is zero."""
        over = posterior.chosen(self.over).value
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = posterior.chosen(self.estimator).value / over
        return np.asarray(_inside(ratio, self.low, self.high) & np.isfinite(over))


@dataclass(frozen=True, slots=True)
class Order:
    """The estimators stand in this order, the best first, on every board."""

    estimators: tuple[str, ...]
    boards: tuple[Hashable, ...]

    def needs(self, tried: Sequence[str]) -> tuple[str, ...]:
        """The estimators."""
        return self.estimators

    def holds(self, board: Hashable, posterior: Posterior) -> Flags:
        """Each cost is below the next."""
        ordered = np.stack([posterior.costs(name) for name in self.estimators])
        return np.asarray(np.all(ordered[:-1] < ordered[1:], axis=0))


def _inside(values: NDArray[np.float64], low: float | None, high: float | None) -> Flags:
    above = values >= (-np.inf if low is None else low)
    below = values <= (np.inf if high is None else high)
    return np.isfinite(values) & above & below


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimResult:
    """How a claim fares.

    Attributes:
        verdict: supported (share >= 0.95), contradicted (share <= 0.05), undecided, or not tried.
        reason: why, in a sentence.
        share: share of draws in which the claim holds on all boards; ``None`` if it is not tried, or
            undecided for lack of seeds.
        error: Monte Carlo standard error of the share.
        by_board: the share on each board alone.
        left_out: cells on these boards that were left out for lack of seeds.
    """

    verdict: ClaimVerdict
    reason: str
    share: float | None = None
    error: float | None = None
    by_board: Mapping[Hashable, float]
    left_out: int = 0


def judge(
    *parts: Claim,
    boards: Boards,
    select: Metric,
    report: Metric,
    draws: int = DRAWS,
    min_seeds: int = MIN_SEEDS,
    seed: int = 0,
) -> ClaimResult:
    """Share of the posterior's draws in which a sentence holds, and the verdict.

    A sentence of several parts ("temperature at least 1 for ST and ReinMax, at most 1 for the others") holds
    where all its parts do. In every draw, each estimator is first set to its best cell by ``select``; the
    parts then read ``report`` there, in a second draw (:class:`benchmarks.scoring.posterior.Posterior`).

    Cells of fewer than ``min_seeds`` seeds are left out, as boards leave them out, and counted; after
    successive halving, ask for the seeds of its last rung. A claim about an estimator that has no other cell
    is undecided; one about an estimator or a board that is missing is not tried.

    For two estimators of one cell each with common seeds, the share of :class:`Better` is one less the p
    value of the one-sided paired t test. So what is false, or on the edge, is called supported in at most 5 %
    of cases.

    Raises:
        ValueError: no parts, a part without boards or one that does not fit the cells, or ``min_seeds`` below
            2.
    """
    if not parts or not all(part.boards for part in parts):
        raise ValueError("a sentence needs at least one part, and every part at least one board")
    used = {
        board: [cell for cell in boards[board] if cell.measured(select.name) and cell.measured(report.name)]
        for part in parts
        for board in part.boards
        if board in boards
    }
    missing = [name for part in parts for name in _missing(part, used)]
    if missing:
        return ClaimResult(
            verdict=ClaimVerdict.NOT_TRIED, reason=f"not measured: {_listed(missing)}", by_board={}
        )
    views = posteriors(used, select=select, report=report, draws=draws, min_seeds=min_seeds, seed=seed)
    left_out = sum(view.left_out for view in views.values())
    few = [name for part in parts for name in _few(part, used, views)]
    if few:
        lack = "one seed" if min_seeds == MIN_SEEDS else f"fewer than {min_seeds} seeds"
        return ClaimResult(
            verdict=ClaimVerdict.UNDECIDED, reason=f"{lack}: {_listed(few)}", by_board={}, left_out=left_out
        )
    return _counted(_held(parts, views), left_out)


def _missing(part: Claim, boards: Boards) -> list[str]:
    """What a claim speaks of and nobody has measured."""
    absent = [f"board {board}" for board in part.boards if board not in boards]
    for board in (board for board in part.boards if board in boards):
        tried = _estimators(boards[board])
        absent += [f"{name} on {board}" for name in part.needs(tried) if name not in tried]
    return absent


def _estimators(cells: Sequence[Cell]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(cell.estimator for cell in cells))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))


def _few(part: Claim, boards: Boards, views: Mapping[Hashable, Posterior]) -> list[str]:
    """Estimators of which no cell has a posterior."""
    return [
        f"{name} on {board}"
        for board in part.boards
        for name in part.needs(_estimators(boards[board]))
        if name not in views[board].estimators
    ]


def _counted(by_board: Mapping[Hashable, Flags], left_out: int) -> ClaimResult:
    share, error = share_of(np.logical_and.reduce(list(by_board.values())))
    return ClaimResult(
        verdict=_verdict(share),
        reason=f"holds in {100 * share:.1f} % of the draws",
        share=share,
        error=error,
        by_board={board: float(np.mean(held)) for board, held in by_board.items()},
        left_out=left_out,
    )


def _held(parts: tuple[Claim, ...], views: Mapping[Hashable, Posterior]) -> dict[Hashable, Flags]:
    """(draws,) per board, whether all parts that speak of it hold there."""
    by_board: dict[Hashable, Flags] = {}
    for part in parts:
        for board in part.boards:
            held = part.holds(board, views[board])
            by_board[board] = by_board[board] & held if board in by_board else held
    return by_board


def share_of(held: Flags) -> tuple[float, float]:
    """Share of draws and its Monte Carlo standard error sqrt(p (1 - p) / draws), p = (k + 1) / (draws + 2).

    The p of Laplace keeps the error of 0 and of all draws above zero: about 1 / draws.
    """
    count, draws = int(np.sum(held)), held.size
    p = (count + 1) / (draws + 2)
    return count / draws, math.sqrt(p * (1 - p) / draws)


def _verdict(share: float) -> ClaimVerdict:
    if share >= SUPPORTED_FROM:
        return ClaimVerdict.SUPPORTED
    return ClaimVerdict.CONTRADICTED if share <= CONTRADICTED_TO else ClaimVerdict.UNDECIDED
