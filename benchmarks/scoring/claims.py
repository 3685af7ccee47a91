"""Sentences of a paper as tests: how often a sentence holds in joint draws of what the seeds leave open.

Pure functions of numbers, without torch. docs/explanation/statistics.md explains the verdicts with examples.
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
"""Share of draws up to which the only comparison of a claim contradicts it; of k, up to a k-th of this."""

Flags = NDArray[np.bool_]


class ClaimVerdict(StrEnum):
    """What the measurements say of a claim."""

    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    UNDECIDED = "undecided"
    NOT_TRIED = "not tried"


class Claim(Protocol):
    """A part of a sentence, which holds or does not, given the means on a board; it speaks of all its
    boards.

    On each it is made of elementary comparisons, each of two numbers, and holds where all of them hold.
    """

    @property
    def boards(self) -> tuple[Hashable, ...]:
        """The boards of which it speaks."""
        ...

    def needs(self, tried: Sequence[str]) -> tuple[str, ...]:
        """The estimators of which it speaks on a board where these were tried."""
        ...

    def comparisons(self, board: Hashable, posterior: Posterior) -> Flags:
        """(comparisons, draws) whether each elementary comparison holds on a board."""
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

    def comparisons(self, board: Hashable, posterior: Posterior) -> Flags:
        """Its cost is finite and at most a rival's, plus ``at_most_behind``: one for each rival."""
        own = posterior.costs(self.estimator)
        names = [name for name in self.needs(posterior.estimators) if name != self.estimator]
        rivals = np.stack([posterior.costs(name) for name in names])
        return np.asarray(np.isfinite(own) & (own <= rivals + self.at_most_behind))


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

    def comparisons(self, board: Hashable, posterior: Posterior) -> Flags:
        """Its cost is below the other's, less ``by``: one."""
        ahead = posterior.costs(self.estimator) < posterior.costs(self.than) - self.by
        return np.asarray(ahead[np.newaxis])


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

    def comparisons(self, board: Hashable, posterior: Posterior) -> Flags:
        """low <= mean, mean <= high: one for each, since noise wider than both contradicts neither."""
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

    def comparisons(self, board: Hashable, posterior: Posterior) -> Flags:
        """low <= parameter of the chosen cell <= high; not of an estimator that failed.

        One for each setting outside: the best of those inside is at least as good. (One of ten equal settings
        is chosen in a tenth of the draws, which says nothing against it.)

        Raises:
            ValueError: a cell has no such parameter, or not as a number.
        """
        chosen, by_cell = posterior.chosen(self.estimator), posterior.selecting(self.estimator)
        inside = np.all(_inside(self._settings(board, chosen.cells), self.low, self.high), axis=0)
        best = np.min(by_cell[inside], axis=0, initial=np.inf)
        no_worse = best <= by_cell[~inside] if not np.all(inside) else np.isfinite(best)[np.newaxis]
        return np.asarray(no_worse & np.isfinite(chosen.value))

    def _settings(self, board: Hashable, cells: Iterable[Cell]) -> NDArray[np.float64]:
        settings = []
        for cell in cells:
            value = cell.parameters.get(self.parameter)
            if value is None or isinstance(value, str):
                raise ValueError(f"{self.parameter} of {self.estimator} on {board} is no number: {value!r}")
            settings.append(float(value))
        return np.array(settings)


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

    def comparisons(self, board: Hashable, posterior: Posterior) -> Flags:
        """low <= mean / other mean, mean / other mean <= high: one for each bound; not where either failed
        or the other is zero.
        """
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

    def comparisons(self, board: Hashable, posterior: Posterior) -> Flags:
        """Each cost is below the next: one for each pair of neighbours."""
        ordered = np.stack([posterior.costs(name) for name in self.estimators])
        return np.asarray(ordered[:-1] < ordered[1:])


def _inside(values: NDArray[np.float64], low: float | None, high: float | None) -> Flags:
    """(bounds, values) whether values are finite and on the right side of each bound; one row without any."""
    within = [values >= low] if low is not None else []
    within += [values <= high] if high is not None else []
    return np.asarray(np.isfinite(values) & np.stack(within or [np.isfinite(values)]))


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimResult:
    """How a claim fares.

    Attributes:
        verdict: supported (share >= 0.95), contradicted (one of its k elementary comparisons alone holds in a
            share <= 0.05 / k), undecided, or not tried.
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


def not_tried(reason: str) -> ClaimResult:
    """The result of a claim that was not judged, and why."""
    return ClaimResult(verdict=ClaimVerdict.NOT_TRIED, reason=reason, by_board={})


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
    of cases. What is true, or on the edge, is called contradicted in at most 5 %: one of its k comparisons
    has to fail at a level of 5 % / k (Bonferroni). The joint share does not show that: it is about 0.5^k for
    k ties, of a sentence and of its opposite.

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
        return not_tried(f"not measured: {_listed(missing)}")
    views = posteriors(used, select=select, report=report, draws=draws, min_seeds=min_seeds, seed=seed)
    left_out = sum(view.left_out for view in views.values())
    few = [name for part in parts for name in _few(part, used, views)]
    if few:
        lack = "one seed" if min_seeds == MIN_SEEDS else f"fewer than {min_seeds} seeds"
        return ClaimResult(
            verdict=ClaimVerdict.UNDECIDED, reason=f"{lack}: {_listed(few)}", by_board={}, left_out=left_out
        )
    return _counted(_compared(parts, views), left_out)


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
    held = {board: np.all(flags, axis=0) for board, flags in by_board.items()}
    share, error = share_of(np.logical_and.reduce(list(held.values())))
    alone = [float(one) for flags in by_board.values() for one in np.mean(flags, axis=1)]
    return ClaimResult(
        verdict=_verdict(share, alone),
        reason=_reason(share, alone),
        share=share,
        error=error,
        by_board={board: float(np.mean(one)) for board, one in held.items()},
        left_out=left_out,
    )


def _compared(parts: tuple[Claim, ...], views: Mapping[Hashable, Posterior]) -> dict[Hashable, Flags]:
    """(comparisons, draws) per board, of all parts that speak of it."""
    by_board: dict[Hashable, list[Flags]] = {}
    for part in parts:
        for board in part.boards:
            by_board.setdefault(board, []).append(part.comparisons(board, views[board]))
    return {board: np.concatenate(flags) for board, flags in by_board.items()}


def share_of(held: Flags) -> tuple[float, float]:
    """Share of draws and its Monte Carlo standard error sqrt(p (1 - p) / draws), p = (k + 1) / (draws + 2).

    The p of Laplace keeps the error of 0 and of all draws above zero: about 1 / draws.
    """
    count, draws = int(np.sum(held)), held.size
    p = (count + 1) / (draws + 2)
    return count / draws, math.sqrt(p * (1 - p) / draws)


def _verdict(share: float, alone: Sequence[float]) -> ClaimVerdict:
    """By the joint share and the shares of the elementary comparisons."""
    if share >= SUPPORTED_FROM:
        return ClaimVerdict.SUPPORTED
    contradicted = min(alone) <= CONTRADICTED_TO / len(alone)
    return ClaimVerdict.CONTRADICTED if contradicted else ClaimVerdict.UNDECIDED


def _reason(share: float, alone: Sequence[float]) -> str:
    holds, k = f"holds in {100 * share:.1f} % of the draws", len(alone)
    if share > CONTRADICTED_TO or k == 1:
        return holds
    least = f"the least likely of its {k} comparisons in {100 * min(alone):.1f} %"
    return f"{holds}, {least}; a contradiction needs at most {100 * CONTRADICTED_TO / k:.2g} %"
