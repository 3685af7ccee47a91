"""Does the measured order of estimators agree with a published one? Pure functions, without torch."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.scoring.claims import SUPPORTED_FROM, share_of
from benchmarks.scoring.goals import costs
from benchmarks.scoring.posterior import DRAWS, MIN_SEEDS, Cell, Metric, Posterior


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """Two neighbours of the measured order.

    Attributes:
        better, worse: as measured.
        share: share of draws in which they stand so.
        separated: whether it is at least 0.95.
    """

    better: str
    worse: str
    share: float
    separated: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """The measured order of the estimators that both have, beside the published one.

    Attributes:
        published, measured: the orders, best first. The measured one is by the posterior's median.
        tau: Kendall's tau-b of published numbers and measured medians; ``None`` where it is undefined: fewer
            than two estimators, or all equal on one side.
        share: share of draws in which every pair that differs in the paper stands as published; ``None`` for
            fewer than two estimators.
        error: Monte Carlo standard error of the share.
        neighbours: pairs of the measured order, and whether they are separated.
        missing: published estimators without a posterior.
    """

    published: tuple[str, ...]
    measured: tuple[str, ...]
    tau: float | None
    share: float | None
    error: float | None
    neighbours: tuple[Pair, ...]
    missing: tuple[str, ...]


def agreement(
    published: Mapping[str, float],
    cells: Sequence[Cell],
    *,
    select: Metric,
    report: Metric,
    draws: int = DRAWS,
    min_seeds: int = MIN_SEEDS,
    seed: int = 0,
) -> Agreement:
    """Compare the order of a board's estimators with that of published numbers of the reported metric.

    Every estimator is at its best setting by ``select`` in each draw, as in
    :func:`benchmarks.scoring.claims.judge`. Estimators that only one side has are left out.

    Raises:
        ValueError: a published number that is not finite, or ``min_seeds`` below 2.
    """
    if not all(math.isfinite(value) for value in published.values()):
        raise ValueError(f"published numbers are finite, got {dict(published)}")
    rng = np.random.default_rng(seed)
    view = Posterior(cells, select=select, report=report, rng=rng, draws=draws, min_seeds=min_seeds)
    shared = {name: value for name, value in published.items() if name in view.estimators}
    drawn = {name: view.costs(name) for name in shared}
    medians = {name: float(np.median(drawn[name])) for name in shared}
    printed = dict(zip(shared, costs(list(shared.values()), report.goal).tolist(), strict=True))
    measured = tuple(sorted(shared, key=medians.__getitem__))
    share, error = share_of(_as_published(printed, drawn, draws)) if len(shared) > 1 else (None, None)
    return Agreement(
        published=tuple(sorted(shared, key=printed.__getitem__)),
        measured=measured,
        tau=kendall_tau_b(list(printed.values()), list(medians.values())),
        share=share,
        error=error,
        neighbours=tuple(_pair(a, b, drawn) for a, b in itertools.pairwise(measured)),
        missing=tuple(name for name in published if name not in shared),
    )


def _as_published(
    printed: Mapping[str, float], drawn: Mapping[str, NDArray[np.float64]], draws: int
) -> NDArray[np.bool_]:
    """(draws,) whether every pair that differs in the paper stands as there."""
    held = np.ones(draws, dtype=np.bool_)
    for a, b in itertools.permutations(printed, 2):
        if printed[a] < printed[b]:
            held &= drawn[a] < drawn[b]
    return held


def _pair(better: str, worse: str, drawn: Mapping[str, NDArray[np.float64]]) -> Pair:
    share = float(np.mean(drawn[better] < drawn[worse]))
    return Pair(better=better, worse=worse, share=share, separated=share >= SUPPORTED_FROM)


def kendall_tau_b(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Kendall's tau-b: (concordant - discordant) / sqrt(pairs not tied in x * pairs not tied in y).

    ``None`` if it is undefined: all values of one side are equal, or there are fewer than two. scipy.stats
    has it too, but takes a second to load.

    Raises:
        ValueError: different lengths.
    """
    if len(x) != len(y):
        raise ValueError(f"as many values on both sides, got {len(x)} and {len(y)}")
    a, b = _signs(x), _signs(y)
    untied = float(np.sum(a**2) * np.sum(b**2))
    return float(np.sum(a * b)) / math.sqrt(untied) if untied else None


def _signs(values: Sequence[float]) -> NDArray[np.float64]:
    """Of all pairs, which is larger; two infinite ones are equal."""
    array = np.asarray(values, dtype=np.float64)
    return np.subtract(array[:, None] > array, array[:, None] < array, dtype=np.float64)
