"""One battery for all estimators, parametrised from the registry so that none can be forgotten."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from estimators import EstimatorInfo, SeparableObjective, bind, initial_state
from estimators.info import SMALLEST_NUMBER
from tests.estimators.battery import (
    JACOBIAN,
    dtypes,
    every,
    every_jacobian,
    every_path,
    every_traceable,
    lane_parameters,
)
from tests.estimators.problems import degree, gradient, lanes_for, seeded
from tests.support.noise import LaneNoise

F = degree(3)


def relative(change: Tensor, of: Tensor) -> float:
    """Largest change relative to the largest entry."""
    return (change.abs().max() / of.abs().max().clamp_min(1)).item()


@every
@dtypes
def test_shapes_and_dtypes(info: EstimatorInfo, dtype: torch.dtype) -> None:
    logits = lanes_for(info, 2, batch=5, dtype=dtype)
    grad, estimate = gradient(info, logits, F, seeded())
    assert (estimate.surrogate.shape, estimate.surrogate.dtype) == ((2, 5), dtype)
    assert (grad.shape, grad.dtype) == (logits.shape, dtype)
    assert estimate.values.shape[1:] == (2, 5)
    assert not estimate.values.requires_grad
    if estimate.samples is not None:
        assert estimate.samples.shape == (len(estimate.values), *logits.shape)
        torch.testing.assert_close(F(estimate.samples), estimate.values)
        torch.testing.assert_close(estimate.surrogate, estimate.values.mean(0))


@every
def test_the_same_generator_gives_the_same_bits(info: EstimatorInfo) -> None:
    first, second, other = (gradient(info, lanes_for(info, 2), F, seeded(seed))[0] for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert torch.equal(first, other) == info.properties.deterministic


@every
def test_inputs_stay_as_they_were(info: EstimatorInfo) -> None:
    logits, parameters = lanes_for(info, 2), lane_parameters(info, 2)
    tensors = [logits, *parameters.values()]
    before = [(tensor._version, tensor.clone()) for tensor in tensors]
    gradient(info, logits, F, seeded(), **parameters)
    for tensor, (version, copy) in zip(tensors, before, strict=True):
        assert tensor._version == version
        assert torch.equal(tensor, copy)


@every
@dtypes
@pytest.mark.parametrize("size", [30.0, 1e3, 1e4])
def test_logits_of_any_size(info: EstimatorInfo, dtype: torch.dtype, size: float) -> None:
    grad, estimate = gradient(info, lanes_for(info, 2, dtype=dtype) * size, F, seeded())
    assert grad.isfinite().all()
    assert estimate.surrogate.isfinite().all()
    assert info not in JACOBIAN or relative(grad.sum(-1), grad) < 50 * torch.finfo(dtype).eps


@every
def test_large_offsets_of_logits_cost_no_digits(info: EstimatorInfo) -> None:
    """theta and theta + 8192 (exact in float32 for these logits) must agree, which a naive exp would not."""
    logits = (lanes_for(info, 2, dtype=torch.float32) * 64).round() / 64
    assert torch.equal((logits + 8192) - 8192, logits)
    plain, shifted = (gradient(info, logits + offset, F, seeded())[0] for offset in (0, 8192))
    assert relative(plain - shifted, plain) < 1e-6


@every_path
@dtypes
@pytest.mark.parametrize("temperature", [SMALLEST_NUMBER, 1e-30, 1e-3, 0.1, 100.0, 1e30])
def test_extreme_temperatures(info: EstimatorInfo, dtype: torch.dtype, temperature: float) -> None:
    """Equal logits, whose log pi / tau lies below what exp can represent, and unequal ones with rare samples.

    f is small, as the gradient of equal logits grows like 1 / tau: (1 / tau) J(y) g with y not one-hot.
    """
    given: dict[str, Any] = {"temperature": temperature} if info.parameter("temperature") else {}
    if info.parameter("num_draws"):
        given["num_draws"] = 3
    for n in (2, 3, 17):  # both sides of the width at which the softmax changes its kernel
        equal = torch.zeros(4, 2, n, dtype=dtype)
        rare = torch.cat([equal[..., :1], equal[..., 1:] - 6], -1).repeat(400, 1, 1)
        for logits in (equal, rare):
            grad, _ = gradient(info, logits, lambda D: 1e-3 * (D**2).sum((-1, -2)), seeded(), **given)
            assert grad.isfinite().all()


@every
def test_masked_categories(info: EstimatorInfo) -> None:
    logits = lanes_for(info, 2, batch=2000)
    logits[..., 0, 1] = -torch.inf
    logits[..., 1, -1] = -torch.inf
    grad, estimate = gradient(info, logits, F, seeded())
    masked = logits.isneginf()
    assert (grad[masked] == 0).all()
    assert grad.isfinite().all()
    assert info not in JACOBIAN or relative(grad.sum(-1), grad) < 1e-13
    if estimate.samples is not None:
        assert not (estimate.samples.bool() & masked).any()


@every
def test_a_single_possible_category_has_no_gradient(info: EstimatorInfo) -> None:
    logits = lanes_for(info, 2)
    logits[..., 1:] = -torch.inf
    grad, _ = gradient(info, logits, F, seeded())
    assert (grad.abs() < 1e-12).all()


@every
def test_a_diverged_lane_shows_and_leaves_the_others_alone(info: EstimatorInfo) -> None:
    logits = lanes_for(info, 3)
    good, _ = gradient(info, logits, F, LaneNoise((1, 2, 3)))
    logits[1] = torch.nan
    grad, _ = gradient(info, logits, F, LaneNoise((1, 2, 3)))
    assert grad[1].isnan().any(-1).all()
    assert torch.equal(grad[[0, 2]], good[[0, 2]])


@every
def test_lanes_do_not_depend_on_their_mates(info: EstimatorInfo) -> None:
    """Each lane alone gives the bits it gives among others, with its own temperature and several samples."""
    logits, parameters = lanes_for(info, 3), lane_parameters(info, 3)
    shared = {"num_samples": 4} if info.parameter("num_samples") else {}
    together, _ = gradient(info, logits, F, LaneNoise((7, 8, 9)), **parameters, **shared)
    for i in range(3):
        own = {name: value[i : i + 1] for name, value in parameters.items()}
        alone, _ = gradient(info, logits[i : i + 1], F, LaneNoise([7 + i]), **own, **shared)
        assert torch.equal(alone[0], together[i])


@every_path
def test_a_lane_tensor_equals_a_number(info: EstimatorInfo) -> None:
    logits, parameters = lanes_for(info, 3), lane_parameters(info, 3)
    together, _ = gradient(info, logits, F, LaneNoise((7, 8, 9)), **parameters)
    for i in range(3):
        own = {name: value[i].item() for name, value in parameters.items()}
        alone, _ = gradient(info, logits[i : i + 1], F, LaneNoise([7 + i]), **own)
        torch.testing.assert_close(alone[0], together[i], rtol=1e-6, atol=1e-6)


@every
def test_noise_is_asked_for_lane_by_lane(info: EstimatorInfo) -> None:
    """Every request leads with the dimensions of the logits; draws per variable trail."""
    noise, logits = LaneNoise((1, 2)), lanes_for(info, 2)
    carried = {"state": initial_state(info, logits)} if info.stateful else {}
    gradient(info, logits, F, noise, **carried)
    assert bool(noise.shapes) != info.properties.deterministic
    assert all(shape[: logits.dim() - 1] == logits.shape[:-1] for shape in noise.shapes)


@every_path
@dtypes
@pytest.mark.parametrize("shape", [(3,), (4, 3), (2, 4, 5, 1)], ids=str)
def test_samples_are_exactly_one_hot_or_soft(
    info: EstimatorInfo, dtype: torch.dtype, shape: tuple[int, ...]
) -> None:
    z = info.load()(torch.randn(shape, generator=seeded(), dtype=dtype), generator=seeded())
    assert (z.shape, z.dtype) == (shape, dtype)
    if info.properties.hard_forward:
        assert ((z == 0) | (z == 1)).all()
        assert (z.sum(-1) == 1).all()
    else:
        assert ((z >= 0) & (z <= 1)).all()
        torch.testing.assert_close(z.sum(-1), torch.ones(shape[:-1], dtype=dtype))


@every
def test_non_contiguous_logits(info: EstimatorInfo) -> None:
    logits = lanes_for(info, 2)
    strided = logits.transpose(0, 3).contiguous().transpose(0, 3)
    assert not strided.is_contiguous()
    plain, across = (gradient(info, x, F, seeded())[0] for x in (logits, strided))
    assert torch.equal(plain, across)


@every
def test_rows_that_share_logits(info: EstimatorInfo) -> None:
    """Logits expanded over the batch get the sum of the gradients of their copies."""
    shared = lanes_for(info, 2, batch=1).expand(-1, 6, -1, -1)
    parameters = lane_parameters(info, 2)
    plain, _ = gradient(info, shared.clone(), F, seeded(), **parameters)
    leaf = shared[:, :1].clone().requires_grad_()
    bind(info)(leaf.expand(-1, 6, -1, -1), F, generator=seeded(), **parameters).surrogate.sum().backward()
    assert leaf.grad is not None
    torch.testing.assert_close(leaf.grad, plain.sum(1, keepdim=True), rtol=1e-14, atol=1e-14)


@every
@pytest.mark.parametrize("shape", [(0, 2, 3), (2, 0, 2, 3)], ids=str)
def test_empty_batch(info: EstimatorInfo, shape: tuple[int, ...]) -> None:
    logits = torch.zeros(shape)[..., : 2 if info.properties.binary_only else 3]
    grad, estimate = gradient(info, logits, F, None)
    assert grad.shape == logits.shape
    assert all(value.isfinite().all() for value in estimate.state.values())
    assert estimate.surrogate.shape == shape[:-2]


@every_jacobian
def test_gradient_sums_to_zero(info: EstimatorInfo) -> None:
    grad, _ = gradient(info, lanes_for(info, 2), F, seeded(), **lane_parameters(info, 2))
    assert relative(grad.sum(-1), grad) < 1e-14


@every
def test_constants_in_logits_change_nothing(info: EstimatorInfo) -> None:
    offset = torch.tensor([[3.0], [-5.0]])
    plain, shifted = (gradient(info, lanes_for(info, 2) + c, F, seeded())[0] for c in (0.0, offset))
    assert relative(plain - shifted, plain) < 1e-13


@every_jacobian
def test_constants_in_the_gradient_of_f_change_nothing(info: EstimatorInfo) -> None:
    """One-hot vectors sum to one: adding c (sum D - V) to f changes its gradient and none of its values."""
    plain, _ = gradient(info, lanes_for(info, 2), F, seeded())
    shifted, _ = gradient(info, lanes_for(info, 2), lambda D: F(D) + 7 * (D.sum((-1, -2)) - 2), seeded())
    assert relative(plain - shifted, plain) < 1e-13


@every
@pytest.mark.parametrize("num_samples", [1, 4])
def test_cost_is_as_declared(info: EstimatorInfo, num_samples: int) -> None:
    seen = []

    def counting(samples: Tensor) -> Tensor:
        seen.append(len(samples))
        return F(samples)

    adjustable = info.parameter("num_samples") is not None
    if not adjustable and num_samples > 1:
        return  # the cost has no K in it: the first case has settled it
    samples = max(num_samples, info.properties.min_samples)
    _, estimate = gradient(
        info, lanes_for(info, 2), counting, seeded(), **({"num_samples": samples} if adjustable else {})
    )
    assert sum(seen) == estimate.evaluations
    V, n = 2, 2 if info.properties.binary_only else 3
    assert estimate.evaluations == info.evaluations({"num_samples": samples}, variables=V, categories=n)


def spelled_out(text: str, K: int, V: int, n: int) -> int:
    """The number that a formula as people read it gives."""
    formula = text.partition(" (n for")[0].partition(",")[0]
    for old, new in (("^", "**"), ("3 K", "3 * K"), ("n (", "n * ("), ("/", "//")):
        formula = formula.replace(old, new)
    return int(eval(formula, {"K": K, "V": V, "n": n}))


@every
@pytest.mark.parametrize(("V", "n"), [(1, 2), (3, 2), (2, 5)])
def test_declared_evaluations_are_what_the_formula_says(info: EstimatorInfo, V: int, n: int) -> None:
    least = info.parameter("num_samples")
    for K in (2, 6) if least else (1,):
        declared = info.evaluations({"num_samples": K}, variables=V, categories=n)
        assert declared == spelled_out(info.cost.text, K, V, n)
        assert declared >= info.properties.min_samples


@every
def test_evaluations_of_a_sum_of_terms_are_declared(info: EstimatorInfo) -> None:
    logits = lanes_for(info, 2)
    f = SeparableObjective(lambda D: (D * torch.arange(D.shape[-1], dtype=D.dtype)).sum(-1))
    _, estimate = gradient(info, logits, f, seeded())
    V, n = logits.shape[-2:]
    assert estimate.evaluations == info.evaluations({}, variables=V, categories=n, separable=True)


@every
def test_objectives_get_their_ordinary_gradient(info: EstimatorInfo) -> None:
    """d/dw of the mean of w f(D) is the mean of f(D); for the exact expectation it is E f."""
    w = torch.ones((), dtype=torch.float64, requires_grad=True)
    _, estimate = gradient(info, lanes_for(info, 2), lambda D: w * F(D), seeded())
    assert w.grad is not None
    torch.testing.assert_close(w.grad, estimate.surrogate.sum().detach())


# dynamo itself instantiates autograd functions, which torch.autograd warns against
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@every_traceable
def test_torch_compile_traces_it_whole(info: EstimatorInfo) -> None:
    torch._dynamo.reset()
    estimate, parameters = bind(info), lane_parameters(info, 2)

    def loss(logits: Tensor, parameters: dict[str, Any]) -> Tensor:
        return estimate(logits, F, **parameters).surrogate.sum()

    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    gradients = []
    for function in (loss, compiled):
        torch.manual_seed(5)
        leaf = lanes_for(info, 2).requires_grad_()
        function(leaf, parameters).backward()
        gradients.append(leaf.grad)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-12, atol=1e-12)
