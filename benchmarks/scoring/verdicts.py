"""A measured cell against a published number: the difference, how sure it is, and a verdict in words.

Pure functions of numbers, without torch. docs/explanation/statistics.md explains the verdicts with examples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, stdtrit

from benchmarks.scoring.goals import Goal, costs
from benchmarks.scoring.seeds import Moments

LEVEL = 0.95
"""Coverage of the interval of a difference."""

EQUIVALENCE_LEVEL = 0.90
"""Coverage of the interval of two one-sided tests at 5 % each."""


class Verdict(StrEnum):
    """What a measured cell says of a published number; :func:`compare` has the definitions."""

    REPRODUCED = "reproduced"
    NOT_REPRODUCED = "not reproduced"
    WITHIN_NOISE = "within noise"
    NOT_COMPARABLE = "not comparable"


class Centre(StrEnum):
    """What of the measured seeds is compared: ``MEDIAN`` for estimators of which single seeds collapse."""

    MEAN = "mean"
    MEDIAN = "median"


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """A number of a paper.

    Attributes:
        mean: as printed.
        sd: sample standard deviation over its runs; ``None`` if not printed.
        n: number of runs, ``None`` if not printed.

    Raises:
        ValueError: a mean that is not finite, a spread below zero or not finite, no runs, or a spread of a
            single run.
    """

    mean: float
    sd: float | None = None
    n: int | None = None

    def __post_init__(self) -> None:
        if not math.isfinite(self.mean):
            raise ValueError(f"a published mean is a finite number, got {self.mean}")
        if self.sd is not None and not 0 <= self.sd < math.inf:
            raise ValueError(f"a published standard deviation is finite and at least 0, got {self.sd}")
        if self.n is not None and self.n < (1 if self.sd is None else 2):
            raise ValueError(f"a standard deviation takes at least 2 runs, a mean 1; got {self.n}")


@dataclass(frozen=True, slots=True)
class Interval:
    """A closed interval; its ends may be infinite."""

    low: float
    high: float

    def within(self, margin: float) -> bool:
        """Whether every point is nearer to 0 than the margin."""
        return -margin < self.low and self.high < margin

    def beyond(self, margin: float) -> bool:
        """Whether every point is farther from 0 than the margin, all on one side."""
        return self.low > margin or self.high < -margin


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """A measured cell beside a published number.

    Attributes:
        verdict: the verdict.
        reason: why, in a sentence.
        centre: what of the seeds is compared.
        n: number of measured seeds, failed ones too.
        failed: how many of them are NaN or infinite.
        measured: their mean (of the finite seeds) or median (failed seeds at the bad end); ``None`` if there
            is none.
        published: the published number.
        published_exact: the published mean was taken as known without error, since the paper prints no spread
            or no number of runs. The interval is then too narrow.
        difference: measured less published.
        interval: 95 % interval of the difference; ``None`` where the seeds are too few.
        equivalence_interval: its 90 % interval, that of the two one-sided tests.
        margin: largest difference that does not matter, in the metric's unit.
    """

    verdict: Verdict
    reason: str
    centre: Centre
    n: int
    failed: int
    measured: float | None
    published: Published
    published_exact: bool
    difference: float | None
    interval: Interval | None
    equivalence_interval: Interval | None
    margin: float


def compare(
    values: Sequence[float],
    published: Published,
    *,
    margin: float,
    goal: Goal = "minimize",
    centre: Centre = Centre.MEAN,
    not_comparable: str | None = None,
) -> Comparison:
    """Compare the seeds of a measured cell with a published number.

    With d the true difference and m the margin, the verdict is

    * *reproduced* if the 90 % interval of d lies inside (-m, m): both one-sided tests of |d| >= m reject at
      5 % (Schuirmann 1987). A cell whose true difference is m or more gets it in at most 5 % of cases. A
      difference that is significant and yet below the margin is reproduced: it does not matter.
    * *not reproduced* if the 95 % interval of d lies outside [-m, m]. It then excludes 0, too. A cell whose
      true difference is at most m gets it in at most 5 % of cases, 2.5 % at each end, for every m; asking
      only that 95 % exclude 0 and 90 % exclude the margin would give up to 6.1 %.
    * *within noise* otherwise: the data decide neither.
    * *not comparable* if the caller says why the protocols differ; the numbers are given nevertheless.

    The interval of a mean's difference is Welch's (1947), with s_x^2/n_x + s_y^2/n_y and the degrees of
    freedom of Satterthwaite; Student's, with the published mean as exact, if its spread or number of runs is
    missing. The interval of the median goes from order statistic k to n + 1 - k, with the largest k for which
    2 P(Binomial(n, 1/2) < k) <= 1 - level. It assumes nothing of the seeds but independence and holds at
    least
    its level: 6 seeds give 95 %, 5 seeds 90 %, fewer none. A bootstrap of so few seeds covers less than it
    says. The error of a published mean is added in squares (Zou and Donner 2008). Median less mean is what
    it says: it is fair where the published runs are symmetric or none of them collapsed.

    Seeds that are NaN or infinite are counted. The median has them at the bad end of the metric (``goal``); a
    mean has no verdict from the seeds that are left, since those are chosen by their success.

    Raises:
        ValueError: no values, or a margin that is not positive and finite.
    """
    if not 0 < margin < math.inf:
        raise ValueError(f"a margin is positive and finite, got {margin}")
    if not len(values):
        raise ValueError("a comparison needs at least one value, got none; leave empty cells out")
    array = np.asarray(values, dtype=np.float64)
    failed = int(np.sum(~np.isfinite(array)))
    measured, wide, narrow = (_means if centre == Centre.MEAN else _medians)(array, published, goal)
    verdict, reason = _verdict(wide, narrow, margin, len(values), failed, centre)
    if not_comparable is not None:
        verdict, reason = Verdict.NOT_COMPARABLE, not_comparable
    return Comparison(
        verdict=verdict,
        reason=reason,
        centre=centre,
        n=len(values),
        failed=failed,
        measured=measured,
        published=published,
        published_exact=published.sd is None or published.n is None,
        difference=None if measured is None else measured - published.mean,
        interval=wide,
        equivalence_interval=narrow,
        margin=margin,
    )


def _verdict(
    wide: Interval | None, narrow: Interval | None, margin: float, n: int, failed: int, centre: Centre
) -> tuple[Verdict, str]:
    if failed and centre == Centre.MEAN:
        return Verdict.WITHIN_NOISE, f"{failed} of {n} seeds failed: a mean of the others decides nothing"
    if narrow is not None and narrow.within(margin):
        return Verdict.REPRODUCED, "the 90 % interval of the difference lies inside the margin"
    if wide is not None and wide.beyond(margin):
        return Verdict.NOT_REPRODUCED, "the 95 % interval of the difference lies outside the margin"
    if wide is None:
        return Verdict.WITHIN_NOISE, f"{'one seed is' if n == 1 else f'{n} seeds are'} too few to decide"
    return Verdict.WITHIN_NOISE, "the interval of the difference reaches across the margin"


_Located = tuple[float | None, Interval | None, Interval | None]
"""Where the seeds lie, and the 95 % and 90 % intervals of the difference."""


def _means(array: NDArray[np.float64], published: Published, goal: Goal) -> _Located:
    moments = Moments.of(array[np.isfinite(array)].tolist())
    if moments.count < 2:
        return (moments.mean if moments.count else None), None, None
    wide, narrow = (_welch(moments, published, level) for level in (LEVEL, EQUIVALENCE_LEVEL))
    return moments.mean, wide, narrow


def _welch(measured: Moments, published: Published, level: float) -> Interval:
    """Difference -/+ t_nu se, with nu = (a + b)^2 / (a^2 / (n_x - 1) + b^2 / (n_y - 1)), se^2 = a + b."""
    a = (measured.sd or 0.0) ** 2 / measured.count
    b, freedom_b = _error(published)
    difference = measured.mean - published.mean
    if a + b == 0:
        return Interval(difference, difference)
    share = a / (a + b)
    freedom = 1 / (share**2 / (measured.count - 1) + (1 - share) ** 2 / freedom_b)
    half = float(stdtrit(freedom, (1 + level) / 2)) * math.sqrt(a + b)
    return Interval(difference - half, difference + half)


def _error(published: Published) -> tuple[float, float]:
    """Squared standard error of a published mean and its degrees of freedom; (0, 1) for an exact one."""
    if published.sd is None or published.n is None:
        return 0.0, 1.0
    return published.sd**2 / published.n, published.n - 1.0


def _medians(array: NDArray[np.float64], published: Published, goal: Goal) -> _Located:
    ordered = np.sort(costs(array, goal))
    ascending = -ordered[::-1] if goal == "maximize" else ordered
    wide, narrow = (_median_difference(ascending, published, level) for level in (LEVEL, EQUIVALENCE_LEVEL))
    return _middle(ascending), wide, narrow


def _middle(ordered: NDArray[np.float64]) -> float:
    n = len(ordered)
    return float((ordered[(n - 1) // 2] + ordered[n // 2]) / 2)


def median_rank(n: int, level: float) -> int:
    """Largest k with 2 P(Binomial(n, 1/2) < k) <= 1 - level; 0 if there is none.

    Order statistics k and n + 1 - k, counted from 1, are the ends of the median's interval.
    """
    return sum(2 * float(bdtr(k - 1, n, 0.5)) <= 1 - level for k in range(1, n // 2 + 1))


def _median_difference(ordered: NDArray[np.float64], published: Published, level: float) -> Interval | None:
    """By squares of the distances: low = d - sqrt((median - x_k)^2 + h^2), h the published half width."""
    k = median_rank(len(ordered), level)
    if k == 0:
        return None
    variance, freedom = _error(published)
    half = float(stdtrit(freedom, (1 + level) / 2)) * math.sqrt(variance)
    middle, low, high = _middle(ordered), float(ordered[k - 1]), float(ordered[-k])
    return Interval(
        _moved(middle, low, half, -1) - published.mean, _moved(middle, high, half, 1) - published.mean
    )


def _moved(middle: float, end: float, half: float, sign: int) -> float:
    """An end of the median's interval, moved outwards; one at infinity stays there."""
    if not math.isfinite(end) or not math.isfinite(middle):
        return end + sign * half
    return middle + sign * math.hypot(middle - end, half)
