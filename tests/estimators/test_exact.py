"""Enumeration: order of outcomes, limits, chunks, offsets, gradients of the objective."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from estimators import SeparableObjective, exact, reinforce
from estimators.score import exact as module
from tests.estimators.problems import LOGITS, WEIGHTS, degree, lanes


def test_outcomes_run_fastest_in_the_first_variable() -> None:
    digits = torch.tensor([1.0, 10.0], dtype=torch.float64)
    estimate = exact(LOGITS, lambda D: (D.argmax(-1) * digits).sum(-1))
    assert estimate.values.tolist() == [0, 1, 2, 10, 11, 12, 20, 21, 22]
    assert (estimate.evaluations, estimate.samples) == (9, None)


def test_separable_objectives_cost_n_evaluations() -> None:
    def terms(D: Tensor) -> Tensor:
        return (D * WEIGHTS).sum(-1) ** 3

    separable = SeparableObjective(terms)
    cheap, full = (_value_and_gradient(f) for f in (separable, separable.__call__))
    torch.testing.assert_close(cheap, full, rtol=1e-13, atol=1e-13)
    assert exact(LOGITS, separable).evaluations == 3
    assert torch.equal(exact(LOGITS, separable).values, separable(torch.eye(3)[:, None].expand(3, 2, 3)))


def _value_and_gradient(objective: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    logits = lanes(2).requires_grad_()
    value = exact(logits, objective).surrogate
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    return value.detach(), gradient


def test_too_many_outcomes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"15 variables of 2 categories have 2\^15 joint outcomes"):
        exact(torch.zeros(15, 2), lambda D: D.sum((-1, -2)))
    largest = exact(torch.zeros(14, 2, dtype=torch.float64), lambda D: D.sum((-1, -2)))
    assert largest.surrogate.item() == pytest.approx(14, abs=1e-10)


def test_chunks_change_nothing_and_bound_what_f_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = WEIGHTS.clone().requires_grad_()
    sizes: list[int] = []

    def f(D: Tensor) -> Tensor:
        sizes.append(D.numel())
        return (D * weight).sum((-1, -2)).exp()

    def run() -> tuple[Tensor, ...]:
        logits = lanes(2).requires_grad_()
        value = exact(logits, f).surrogate
        return value.detach(), *torch.autograd.grad(value.sum(), (logits, weight))

    whole = run()
    monkeypatch.setattr(module, "CHUNK_ELEMENTS", 250)
    sizes.clear()
    torch.testing.assert_close(run(), whole, rtol=1e-13, atol=1e-13)
    assert max(sizes) <= 250
    chunks = -(-9 // (250 // lanes(2).numel()))
    assert len(sizes) == 2 * chunks, "activations are computed anew in the backward pass, not kept"


def test_parameters_of_the_objective_get_the_expected_gradient() -> None:
    """d/dw E[w . D] = pi, for the joint and the separable form."""
    joint, separable = (WEIGHTS.clone().requires_grad_() for _ in range(2))
    exact(LOGITS, lambda D: (D * joint).sum((-1, -2))).surrogate.backward()
    exact(LOGITS, SeparableObjective(lambda D: (D * separable).sum(-1))).surrogate.backward()
    for weight in (joint, separable):
        assert weight.grad is not None
        torch.testing.assert_close(weight.grad, LOGITS.softmax(-1))


def test_large_offsets_of_f_cost_no_digits() -> None:
    """Multiples of 1/8 stay exact in float32 when 2^20 is added: the gradient must not notice the offset.

    Without subtracting E f its error would be about 2^20 eps = 0.1.
    """
    logits = lanes(2).float()
    f = degree(3)

    def run(offset: float) -> Tensor:
        leaf = logits.clone().requires_grad_()
        exact(leaf, lambda D: (f(D) * 8).round() / 8 + offset).surrogate.sum().backward()
        assert leaf.grad is not None
        return leaf.grad

    torch.testing.assert_close(run(2.0**20), run(0.0), rtol=0, atol=1e-3)


def test_logits_without_variable_axis_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected \(..., variables, categories\)"):
        exact(torch.zeros(3), degree(1))


def test_reinforce_needs_a_sample() -> None:
    with pytest.raises(ValueError, match=r"num_samples must be an integer from 1 .* `exact` draws none"):
        reinforce(LOGITS, degree(1), num_samples=0)
