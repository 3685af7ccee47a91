"""What seeds say of the means of cells, as joint draws: pure functions of numbers, without torch.

The mean of a cell of n seeds has, with a flat prior, the posterior mean + sd / sqrt(n) * t_{n-1}. Drawn for
all
cells of a board at once, questions about several means are answered by counting: is one the smallest, which
setting is best, is a ratio below 1.1.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.scoring.goals import Goal, costs

DRAWS = 20_000
"""Draws of the posterior: a share of 95 % has a Monte Carlo error of 0.15 %."""

MIN_SEEDS = 2
"""Seeds from which a cell has a spread of its own."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric and its good end."""

    name: str
    goal: Goal = "minimize"


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """All seeds of one setting of an estimator on a board.

    Attributes:
        estimator: name of the estimator.
        parameters: the setting, name to value.
        values: per metric, the value of every seed; NaN or infinity for a seed that failed.
        spread: per metric, a standard deviation that is known from elsewhere, for a cell of one seed: 0 for
            what has no noise. Used for cells of one seed alone.
    """

    estimator: str
    parameters: Mapping[str, float | str]
    values: Mapping[str, Mapping[int, float]]
    spread: Mapping[str, float] = field(default_factory=dict)

    def measured(self, metric: str) -> bool:
        """Whether any seed has a value."""
        return len(self.values.get(metric, ())) > 0

    def judged(self, metric: str, min_seeds: int) -> bool:
        """Whether it has a posterior: enough seeds, or one with a known spread."""
        seeds = len(self.values.get(metric, ()))
        return seeds >= min_seeds or (seeds == 1 and metric in self.spread)


Boards = Mapping[Any, Sequence[Cell]]
"""The cells of every board, by any hashable name of the board."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """An estimator at its best setting, in every draw.

    Attributes:
        cells: the cells that could be chosen, c of them.
        index: (draws,) which of them has the best mean of the metric that selects.
        value: (draws,) mean of the reported metric there; infinite if a seed failed, whichever end is good.
    """

    cells: tuple[Cell, ...]
    index: NDArray[np.intp]
    value: NDArray[np.float64]


class Posterior:
    """Joint draws of the means of a board's cells.

    With x_i the value of seed i, w_i ~ N(0, 1) of seed i and q ~ chi^2_{n-1},

        mean + sum_i w_i (x_i - mean) / sqrt(n (n - 1)) * sqrt((n - 1) / q)

    has Student's distribution with n - 1 degrees of freedom about the mean, scaled by sd / sqrt(n). All cells
    take the same w_i for the same seed and the same q for the same set of seeds. So the difference of two
    cells with the same seeds is distributed as the paired t test has it (the same seed is the same
    initialisation and order of data); what seeds two cells do not share is independent, as in Behrens and
    Fisher.

    The best setting is chosen in one draw and its value read in a second, independent one. Were it read in
    the
    first, the best of many equal settings would look better the more there are: what was lucky among the
    measured means would be lucky in the draw again. (Of 20 settings, all equal to a rival's only one, the
    best was called better with a share of 95 % in three quarters of simulated boards.)

    A cell with a failed seed has the worst mean in all draws. Cells of fewer than ``min_seeds`` seeds are
    left out, but not a single seed with a known spread.
    """

    def __init__(
        self,
        cells: Sequence[Cell],
        *,
        select: Metric,
        report: Metric,
        rng: np.random.Generator,
        draws: int = DRAWS,
        min_seeds: int = MIN_SEEDS,
    ) -> None:
        if min_seeds < MIN_SEEDS:
            raise ValueError(f"a spread takes at least {MIN_SEEDS} seeds, got {min_seeds}")
        names = {select.name, report.name}
        self._cells = [cell for cell in cells if all(cell.judged(name, min_seeds) for name in names)]
        self.left_out = len(cells) - len(self._cells)
        self._select, self._report = select, report
        self._selecting = _Noise(self._cells, select.name, rng, draws)
        self._reporting = _Noise(self._cells, report.name, rng, draws)
        self._chosen: dict[str, Chosen] = {}

    @property
    def estimators(self) -> tuple[str, ...]:
        """Those with a posterior, in order of their first cell."""
        return tuple(dict.fromkeys(cell.estimator for cell in self._cells))

    def chosen(self, estimator: str) -> Chosen:
        """The estimator at the setting that is best in each draw, so that luck of selection counts.

        Raises:
            KeyError: it has no cell with a posterior.
        """
        if estimator not in self.estimators:
            raise KeyError(f"{estimator} has no cell with a posterior")
        if estimator not in self._chosen:
            self._chosen[estimator] = self._choose(tuple(c for c in self._cells if c.estimator == estimator))
        return self._chosen[estimator]

    def costs(self, estimator: str) -> NDArray[np.float64]:
        """(draws,) the reported mean, or its negative if large is good: small is good, failed is infinity."""
        return costs(self.chosen(estimator).value, self._report.goal)

    def selecting(self, estimator: str) -> NDArray[np.float64]:
        """(c, draws) costs of the cells of :meth:`chosen` by the metric that selects; the least is chosen."""
        return self._selecting_costs(self.chosen(estimator).cells)

    def _selecting_costs(self, cells: tuple[Cell, ...]) -> NDArray[np.float64]:
        means = np.stack([self._selecting.means(cell, self._select) for cell in cells])
        return costs(means, self._select.goal)

    def _choose(self, cells: tuple[Cell, ...]) -> Chosen:
        index = np.argmin(self._selecting_costs(cells), axis=0)
        value = np.empty(index.shape)
        for number in np.unique(index):
            here = index == number
            value[here] = self._reporting.means(cells[number], self._report)[here]
        return Chosen(cells, index, value)


class _Noise:
    """What the draws of all cells have in common: a normal per seed, a scale per set of seeds."""

    def __init__(self, cells: Sequence[Cell], metric: str, rng: np.random.Generator, draws: int) -> None:
        self._draws = draws
        seed_sets = {_seeds(cell, metric) for cell in cells}
        every = sorted({seed for seeds in seed_sets for seed in seeds})
        self._row = {seed: row for row, seed in enumerate(every)}
        self._normal = rng.standard_normal((len(every), draws))
        self._scale = {
            seeds: np.sqrt((len(seeds) - 1) / rng.chisquare(len(seeds) - 1, draws))
            for seeds in sorted(seed_sets)
            if len(seeds) > 1
        }

    def means(self, cell: Cell, metric: Metric) -> NDArray[np.float64]:
        """(draws,) the cell's mean, infinite if a seed failed."""
        seeds = _seeds(cell, metric.name)
        values = np.array([cell.values[metric.name][seed] for seed in seeds])
        if not np.all(np.isfinite(values)):
            return np.full(self._draws, np.inf)
        n, normal = len(seeds), self._normal[[self._row[seed] for seed in seeds]]
        if n == 1:
            return np.asarray(values[0] + cell.spread[metric.name] * normal[0])
        weights = (values - values.mean()) / math.sqrt(n * (n - 1))
        return np.asarray(values.mean() + weights @ normal * self._scale[seeds])


def _seeds(cell: Cell, metric: str) -> tuple[int, ...]:
    return tuple(sorted(cell.values[metric]))


def posteriors(
    boards: Boards,
    *,
    select: Metric,
    report: Metric,
    draws: int = DRAWS,
    min_seeds: int = MIN_SEEDS,
    seed: int = 0,
) -> dict[Hashable, Posterior]:
    """The posterior of every board. Boards are independent of each other.

    The generator of a board depends on ``seed`` and on the board's place: the same input has the same draws.

    Raises:
        ValueError: ``min_seeds`` below 2.
    """
    return {
        board: Posterior(
            cells,
            select=select,
            report=report,
            rng=np.random.default_rng([seed, place]),
            draws=draws,
            min_seeds=min_seeds,
        )
        for place, (board, cells) in enumerate(boards.items())
    }
