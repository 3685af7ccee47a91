"""Unbiased estimators are seen to be unbiased, biased ones biased, to the order that they declare."""

from __future__ import annotations

import pytest
import torch

from estimators import EstimatorInfo, get
from tests.estimators.battery import every
from tests.estimators.problems import LOGITS, degree, draws, gradient, problem
from tests.support.statistics import assert_mean, assert_mean_differs

F = degree(3)


@every
def test_mean(info: EstimatorInfo) -> None:
    """Unbiased ones have the exact mean, biased ones are seen to be biased."""
    exact, _ = gradient(get("exact"), problem(info), F, None)
    sample = draws(info, F, 100_000)
    if info.properties.unbiased:
        assert_mean(sample, exact, detects=0.3)  # of entries up to 2
    else:
        assert_mean_differs(sample, exact)


@every
def test_order_of_accuracy(info: EstimatorInfo) -> None:
    """Order k: the mean at temperature 1 is exact for f of degree k and not for degree k + 1."""
    order = info.properties.order
    if order is None:
        return  # unbiased (test_mean), or biased even for affine f (test_identities)
    for power in (order, order + 1):
        exact, _ = gradient(get("exact"), LOGITS, degree(power), None)
        sample = draws(info, degree(power), 100_000)
        if power == order:
            assert_mean(sample, exact, detects=0.06)
        else:
            assert_mean_differs(sample, exact)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@every
def test_mean_on_an_accelerator(info: EstimatorInfo) -> None:
    """Other kernels, other noise: the mean must be the one that the CPU finds."""
    grads = []
    for device in ("cpu", "cuda"):
        logits = problem(info).expand(1, 100_000, -1, -1).to(device)
        generator = torch.Generator(device).manual_seed(0)
        grads.append(gradient(info, logits.clone(), F, generator)[0].squeeze(0).cpu())
    cpu, cuda = grads
    assert_mean(cuda - cpu, torch.zeros_like(problem(info)), detects=0.5)
