"""Statistical assertions with a stated rate of false alarms.

A correct program fails an assertion here with probability about ``FALSE_ALARM`` (normal approximation, so
give it thousands of independent draws). Seeds are fixed: a failure repeats until code or seed changes.
"""

from __future__ import annotations

from statistics import NormalDist

import torch
from torch import Tensor

FALSE_ALARM = 1e-6
MISS = 1e-3
HEAVIEST_TAIL = 0.02  # of the draws: the largest kurtosis for which the normal approximation is trusted


def z_limit(comparisons: int, false_alarm: float = FALSE_ALARM) -> float:
    """|z| that all of ``comparisons`` two-sided tests stay under, except with probability ``false_alarm``."""
    return -NormalDist().inv_cdf(false_alarm / (2 * max(1, comparisons)))


def assert_z(z: Tensor, what: str) -> None:
    """No standardised deviation is larger than chance allows, Bonferroni over the entries."""
    limit = z_limit(z.numel())
    worst = z.abs().max().item() if z.numel() else 0.0
    assert worst <= limit, f"{what}: worst |z| {worst:.1f} exceeds {limit:.1f}"


def assert_mean(draws: Tensor, expected: Tensor, *, detects: float) -> None:
    """The mean of ``draws`` over axis 0 is ``expected``.

    Refuses to answer with so few draws that an error of ``detects`` in one entry could be missed with
    probability above ``MISS``. Entries that never vary are compared exactly, up to rounding.
    """
    mean, stderr = _mean_and_stderr(draws)
    reach = (z_limit(mean.numel()) - NormalDist().inv_cdf(MISS)) * stderr.max().item()
    assert reach <= detects, f"needs about {len(draws) * (reach / detects) ** 2:.0f} draws"
    fixed = stderr <= 1e-12 * (1 + expected.abs())
    torch.testing.assert_close(mean[fixed], expected[fixed], rtol=1e-9, atol=1e-12)
    assert_z(((mean - expected) / stderr)[~fixed], "mean")


def assert_mean_differs(draws: Tensor, expected: Tensor) -> None:
    """The mean of ``draws`` over axis 0 is not ``expected``: some entry is off by more than chance allows."""
    mean, stderr = _mean_and_stderr(draws)
    off = (mean - expected).abs()
    limit = torch.maximum(z_limit(mean.numel()) * stderr, 1e-9 * (1 + expected.abs()))
    assert (off > limit).any(), f"no bias seen: largest deviation {off.max():.2g}, limit {limit.max():.2g}"


def assert_variance(draws: Tensor, expected: Tensor, expected_stderr: Tensor) -> None:
    """The variance of ``draws`` over axis 0 is ``expected``, itself known up to ``expected_stderr``."""
    centred = draws - draws.mean(0)
    variance, fourth = centred.square().mean(0), centred.pow(4).mean(0)
    light = fourth <= HEAVIEST_TAIL * len(draws) * variance.square()
    stderr = ((fourth - variance.square()) / len(draws) + expected_stderr.square()).sqrt()
    settled = light & (stderr > 0)
    assert_z(((variance - expected) / stderr)[settled], "variance")
    still = variance == 0
    torch.testing.assert_close(variance[still], expected[still], rtol=0, atol=1e-12)


def assert_frequencies(counts: Tensor, probabilities: Tensor) -> None:
    """Counts of a multinomial sample fit ``probabilities``; impossible outcomes have count zero."""
    total = counts.sum()
    assert (counts[probabilities == 0] == 0).all(), f"impossible outcomes drawn: {counts.tolist()}"
    expected = total * probabilities
    assert (counts[expected < 1e-6] == 0).all(), (
        f"outcomes of negligible probability drawn: {counts.tolist()}"
    )
    usable = (expected >= 25) & (total - expected >= 25)  # elsewhere the normal approximation is poor
    stderr = (expected * (1 - probabilities)).sqrt()
    assert_z(((counts - expected) / stderr)[usable], "frequency")


def _mean_and_stderr(draws: Tensor) -> tuple[Tensor, Tensor]:
    return draws.mean(0), draws.std(0) / len(draws) ** 0.5
