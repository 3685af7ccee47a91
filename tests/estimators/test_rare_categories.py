"""Rare categories get their share, in float32 too, shown with uniform numbers forced into the tails.

What is rarer than 1e-7 is drawn when one of the uniform numbers is next to 0 or next to 1. So one number of
every row, any, is put into a tail of length ``TAIL`` times the probability, at either end, and the others are
drawn as ever: the share of rows that draw the rare category, times the length of all tails, is its
probability. That more than one number is in a tail, or that none is, has a probability that does not count.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from estimators import EstimatorInfo, initial_state, surrogate
from estimators._noise import centred, exponential
from estimators._ops import draw_of_two, draw_one_hot
from tests.estimators.battery import ALL
from tests.estimators.problems import seeded
from tests.support.statistics import assert_mean, z_limit

TAIL = 20.0
ROWS = 300_000
DRAWING = [info for info in ALL if not info.properties.deterministic]
CASES = [(info, n) for info in DRAWING for n in (2, 3) if n == 2 or not info.properties.binary_only]
every_drawing = pytest.mark.parametrize(("info", "n"), CASES, ids=lambda x: getattr(x, "id", str(x)))


class TailNoise:
    """A source that puts one number of every row into a tail, at a place that is the row's own.

    Args:
        places: numbers that a row asks for in all.
        length: of a tail.
    """

    def __init__(self, places: int, length: float) -> None:
        self._generator = seeded(1)
        self._length = length
        self._place = torch.randint(places, (ROWS,), generator=self._generator)
        self._above = torch.rand(ROWS, generator=self._generator) < 0.5
        self._asked = 0

    def uniform(self, shape: tuple[int, ...], *, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Numbers ``(1, ROWS, 1, ...)`` of the rows' next places."""
        u = torch.rand(ROWS, math.prod(shape[2:]), generator=self._generator, dtype=torch.float64)
        u = u.clamp(1e-12, 1 - 1e-12)
        here = self._place.unsqueeze(-1) == self._asked + torch.arange(u.shape[1])
        tail = torch.where(self._above.unsqueeze(-1), 1 - u * self._length, u * self._length)
        self._asked += u.shape[1]
        # Numbers of float32 make keys of later draws and no decision.
        return torch.where(here, tail, u).to(dtype).clamp(max=1 - torch.finfo(dtype).eps / 2).reshape(shape)


class Counting:
    """A source that counts what one row asks for."""

    def __init__(self) -> None:
        self.places = 0

    def uniform(self, shape: tuple[int, ...], *, dtype: torch.dtype, device: torch.device) -> Tensor:
        self.places += math.prod(shape)
        return torch.full(shape, 0.3, dtype=dtype)


def first_category(samples: Tensor) -> Tensor:
    """An objective of one variable."""
    return samples[..., 0].sum(-1)


def settings(info: EstimatorInfo, logits: Tensor) -> Mapping[str, Any]:
    """As few random numbers as an estimate takes; a state that is there already."""
    state = {"state": initial_state(info, logits)} if info.stateful else {}
    few = {"num_samples": 2} if info.id == "arms" else {}
    return {**state, **few, **({"num_draws": 1} if info.parameter("num_draws") else {})}


def samples_of(info: EstimatorInfo, logits: Tensor, noise: Any) -> Tensor:
    given = settings(info, logits)
    samples = surrogate(info, logits, first_category, generator=noise, **given).samples
    assert samples is not None
    return samples


@every_drawing
@pytest.mark.parametrize("p", [1e-7, 1e-9])
@pytest.mark.parametrize("last", [False, True])
def test_a_rare_category_has_its_share(info: EstimatorInfo, n: int, p: float, last: bool) -> None:
    """Misses an error of 30 % with a probability below 1e-3; a grid of 2^-24 is off by that and by all."""
    common = torch.tensor([0.6, 0.4] if n == 3 else [1.0])
    rare = torch.tensor([p])
    logits = torch.cat([common, rare] if last else [rare, common]).log().expand(1, 1, 1, n)
    counter = Counting()
    samples_of(info, logits, counter)
    length = TAIL * p
    drawn = samples_of(info, logits.expand(1, ROWS, 1, n), TailNoise(counter.places, length))
    hits = drawn.argmax(-1).eq(n - 1 if last else 0).double().mean(0).flatten()
    tails = 2 * counter.places * length
    share, stderr = hits.mean() * tails / p, hits.std() / ROWS**0.5 * tails / p
    assert stderr < 0.035
    assert abs(share - 1) < z_limit(len(CASES) * 4) * stderr, f"drawn over true: {share:.3f} +- {stderr:.3f}"


@pytest.mark.parametrize("p", [1e-7, 1e-9, 1e-12])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_rare_category_has_an_interval_of_its_length(p: float, dtype: torch.dtype) -> None:
    """Uniform numbers in steps of p / 1000 over 20 p at both ends; the rare category last, and first."""
    steps = (torch.arange(20_000, dtype=torch.float64) + 0.5) * p / 1000
    for row in ([p, 0.6, 0.4], [0.6, 0.4, p], [p, 1.0], [1.0, p], [p / 2, 0.6, 0.4, p / 2]):
        probabilities = torch.tensor(row, dtype=dtype)
        rare = probabilities < 1e-6
        length = 0.0
        for u, from_one in ((steps, False), (1 - steps, True)):
            if len(row) == 2:
                z = draw_of_two(probabilities, (-steps if from_one else steps).to(dtype))
            else:
                z = draw_one_hot(probabilities, u)
            length += z[:, rare].sum().item() * p / 1000
        assert length == pytest.approx(p, rel=2e-3)


def test_a_rare_category_between_others_has_an_interval() -> None:
    """In the middle of a cumulative sum, where float32 has steps of 6e-8."""
    p = 1e-9
    u = 0.6 + torch.linspace(-2 * p, 3 * p, 50_001, dtype=torch.float64)
    probabilities = torch.tensor([0.6, p, 0.4])
    start = probabilities[0].double().item() - 0.6
    z = draw_one_hot(probabilities, (u + start) / probabilities.double().sum())
    assert z[:, 1].mean().item() * 5 * p == pytest.approx(p, rel=2e-3)


def test_the_tail_of_a_power_law_over_many_categories() -> None:
    """50,000 categories with weights 1/k: the mass beyond rank 8000, as exponentials of float32 draw it."""
    k = torch.arange(1, 50_001, dtype=torch.float64)
    log_p = (1 / k / (1 / k).sum()).log()
    tail, rows = log_p[8000:].exp().sum().item(), 4000
    hits = 0
    for block in range(5):
        e = exponential((rows // 5, 50_000), seeded(block), dtype=torch.float32, device=log_p.device)
        hits += int((log_p.float() - e.log()).argmax(-1).ge(8000).sum())
    stderr = (tail * (1 - tail) / rows) ** 0.5
    assert abs(hits / rows - tail) < z_limit(1) * stderr


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_numbers_that_decide_are_dense_at_both_ends(dtype: torch.dtype) -> None:
    """From a source whose numbers are next to 0 and 1, to the precision of the type."""

    class Ends:
        def uniform(self, shape: tuple[int, ...], *, dtype: torch.dtype, device: torch.device) -> Tensor:
            assert dtype == torch.float64
            return torch.cat([small, 1 - small])

    small = torch.logspace(-13, -1, 100, dtype=torch.float64)
    x = centred((200,), Ends(), dtype=dtype, device=small.device).double()
    torch.testing.assert_close(
        x, torch.cat([small, -small]), rtol=1e-3 if dtype == torch.float32 else 1e-2, atol=0
    )
    e = exponential((200,), Ends(), dtype=dtype, device=small.device).double()
    assert e.isfinite().all()
    torch.testing.assert_close(e[100:], -torch.log1p(-small), rtol=2e-3, atol=0)


def test_many_antithetic_samples_have_no_ties() -> None:
    """Of 10,000 samples both sides of the comparison are next to 1 in float32: P(b = 1) was 0.5004 at 1/2."""
    shares = []
    for seed in range(60):
        estimate = surrogate(
            "arms", torch.zeros(1, 200, 2), first_category, num_samples=10_000, generator=seeded(seed)
        )
        assert estimate.samples is not None
        shares.append(estimate.samples[..., 1].double().mean())
    assert_mean(torch.stack(shares).unsqueeze(-1), torch.tensor([0.5], dtype=torch.float64), detects=4e-4)
