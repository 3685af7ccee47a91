"""A path estimator where torch.nn.functional.gumbel_softmax stood: its names, and an ordinary tensor."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from estimators import EstimatorInfo, get, gumbel_softmax, reinmax, zgr
from tests.estimators.battery import every_path, every_tempered
from tests.estimators.problems import lanes_for, seeded

W = torch.tensor([1.3, -0.7, 0.4], dtype=torch.float64)


def logits_of(info: EstimatorInfo) -> Tensor:
    return lanes_for(info, 2).requires_grad_()


def gradient_of(total: Tensor, leaf: Tensor) -> Tensor:
    (grad,) = torch.autograd.grad(total, leaf)
    return grad


@every_tempered
def test_tau_and_hard_are_understood(info: EstimatorInfo) -> None:
    function, logits = info.load(), lanes_for(info, 2)
    expected = function(logits, temperature=0.7, generator=seeded())
    hard = info.properties.hard_forward
    assert torch.equal(function(logits, tau=0.7, hard=hard, generator=seeded()), expected)
    assert torch.equal(function(logits, 0.7, hard, generator=seeded()), expected)
    with pytest.raises(ValueError, match="does not take hard="):
        function(logits, hard=not hard)
    with pytest.raises(TypeError, match="temperature and tau, which are the same"):
        function(logits, tau=0.7, temperature=0.7)
    with pytest.raises(ValueError, match="temperature must be"):
        function(logits, tau=0.0)


def test_an_estimator_without_a_temperature_refuses_tau() -> None:
    with pytest.raises(TypeError, match="temperature"):
        zgr(torch.zeros(3), tau=1.0)


@every_path
@pytest.mark.parametrize("dim", [0, 1, -2, -1, 3])
def test_categories_on_any_axis(info: EstimatorInfo, dim: int) -> None:
    logits = lanes_for(info, 2)
    moved = logits.movedim(-1, dim).clone().requires_grad_()
    z = info.load()(moved, dim=dim, generator=seeded())
    expected = info.load()(logits.requires_grad_(), generator=seeded())
    assert torch.equal(z, expected.movedim(-1, dim))
    grads = gradient_of((z.movedim(dim, -1) * W).sum(), moved), gradient_of((expected * W).sum(), logits)
    assert torch.equal(grads[0], grads[1].movedim(-1, dim))


def test_it_has_the_results_of_torch() -> None:
    """Soft and hard, in law and in the mean of the gradient, up to 5.5 standard errors."""
    logits = torch.tensor([0.4, -0.9, 0.2]).expand(40_000, 3)
    for mine, hard in ((gumbel_softmax, False), (get("stgs").load(), True)):
        results = []
        for function in (torch.nn.functional.gumbel_softmax, mine):
            torch.manual_seed(0)
            leaf = logits.clone().requires_grad_()
            z: Tensor = function(leaf, tau=0.5, hard=hard)
            results.append((z.detach(), gradient_of((z * W.float()).sum(), leaf)))
        for theirs, ours in zip(*results, strict=True):
            stderr = ((theirs.var(0) + ours.var(0)) / len(logits)).sqrt()
            assert ((theirs.mean(0) - ours.mean(0)).abs() <= 5.5 * stderr + 1e-7).all()


@every_path
def test_a_sample_can_be_written_into(info: EstimatorInfo) -> None:
    """As in dropout in place; what is overwritten gets no gradient."""
    leaf = logits_of(info)
    kept = (torch.rand(leaf.shape, generator=seeded(3)) < 0.5).to(leaf.dtype) * 2
    z = info.load()(leaf, generator=seeded())
    expected = gradient_of((z * kept * W).sum(), leaf)
    z = info.load()(leaf, generator=seeded())
    z *= kept
    assert torch.equal(gradient_of((z * W).sum(), leaf), expected)
    z = info.load()(leaf, generator=seeded())
    z[..., 0, :] = 0
    assert (gradient_of((z * W).sum(), leaf)[..., 0, :] == 0).all()
    z = torch.nn.functional.dropout(info.load()(leaf, generator=seeded()), 0.5, inplace=True)
    z.sum().backward()


@every_path
def test_hooks_and_checkpoints(info: EstimatorInfo) -> None:
    leaf, seen = logits_of(info), []
    z = info.load()(leaf, generator=seeded())
    z.register_hook(lambda g: seen.append(g))
    z.retain_grad()
    expected = gradient_of((z * W).sum(), leaf)
    assert len(seen) == 1

    def loss(logits: Tensor) -> Tensor:
        total: Tensor = (info.load()(logits, generator=seeded()) * W).sum()
        return total

    again = checkpoint(loss, leaf, use_reentrant=False)
    assert torch.equal(gradient_of(again, leaf), expected)


@every_path
def test_a_sample_without_gradients(info: EstimatorInfo) -> None:
    logits = lanes_for(info, 2)
    expected = info.load()(logits, generator=seeded())
    with torch.no_grad():
        assert torch.equal(info.load()(logits.requires_grad_(), generator=seeded()), expected)
    with torch.inference_mode():
        assert torch.equal(info.load()(logits.clone(), generator=seeded()), expected)


def test_ranks_draw_as_their_generators_say() -> None:
    """As torch: equal seeds draw equally, in any process; docs/how-to/using-estimators.md says what to do."""
    logits = torch.zeros(64, 3)
    same, other = reinmax(logits, generator=seeded(0)), reinmax(logits, generator=seeded(1))
    torch.manual_seed(0)
    assert torch.equal(reinmax(logits), same)
    assert not torch.equal(same, other)
