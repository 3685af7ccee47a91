"""What tuning is worth: the best of k settings that were tried, expected over which k they were."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from benchmarks.scoring.goals import Goal, costs

MOST_SIZES = 64
"""Numbers of settings at which the curve of a large grid is read."""


def sizes(n: int) -> list[int]:
    """1 to n; of more than ``MOST_SIZES`` as many at about equal ratios, the ends among them."""
    if n <= MOST_SIZES:
        return list(range(1, n + 1))
    return sorted({round(float(k)) for k in np.geomspace(1, n, MOST_SIZES)})


def expected_best(
    selecting: Sequence[float], reporting: Sequence[float], goal: Goal, *, of: Sequence[int] | None = None
) -> NDArray[np.float64]:
    """The reported value of the setting that is best of k settings, on average over all subsets of k.

    With settings from best to worst by the selecting metric, the i-th is the best of k with probability
    C(n - i, k - 1) / C(n, k): the exact form of the expected maximum of Dodge et al. (2019), without
    replacement and with selection and report apart.

    Args:
        selecting: mean of the metric that chooses, one per setting. A value that is not finite is a failure
            and loses to every other.
        reporting: what is then reported of the same settings.
        goal: of the selecting metric.
        of: the k that are asked for; by default 1 ... n.

    Returns:
        One for each k; not finite where a failure may be what is reported.

    Raises:
        ValueError: no settings, or not as many values of one kind as of the other.
    """
    if not len(selecting) or len(selecting) != len(reporting):
        raise ValueError(
            f"{len(selecting)} settings with {len(reporting)} reported values; give as many of each"
        )
    order = np.argsort(costs(selecting, goal), kind="stable")
    ordered = np.asarray(reporting, dtype=np.float64)[order]
    weights = _weights(len(ordered), tuple(range(1, len(ordered) + 1) if of is None else of))
    if np.isfinite(ordered).all():
        return np.asarray(weights @ ordered)
    with np.errstate(invalid="ignore"):
        expected: NDArray[np.float64] = np.where(weights > 0, weights * ordered, 0.0).sum(axis=1)
    return expected


@functools.lru_cache(maxsize=4)  # estimators of one board often have as many settings
def _weights(n: int, of: tuple[int, ...]) -> NDArray[np.float64]:
    """``(k, i)``: probability that the i-th of n is the best of k."""
    k, i = np.array(of)[:, None], np.arange(1, n + 1)[None, :]
    possible = n - i >= k - 1
    with np.errstate(divide="ignore", invalid="ignore"):
        log = _log_choose(np.where(possible, n - i, n), k - 1) - _log_choose(np.full_like(k, n), k)
    return np.where(possible, np.exp(log), 0.0)


def _log_choose(n: NDArray[np.int64], k: NDArray[np.int64]) -> NDArray[np.float64]:
    chosen: NDArray[np.float64] = gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0)
    return chosen
