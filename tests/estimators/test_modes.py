"""Half precision, autocast, default dtypes, no_grad, inference mode, and objectives of every type."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from estimators import EstimatorInfo, available, exact, get, initial_state, surrogate
from tests.estimators.battery import ALL, every
from tests.estimators.problems import degree, gradient, lanes_for, seeded

F = degree(3)
HALVES = pytest.mark.parametrize("half", [torch.float16, torch.bfloat16], ids=str)
STATEFUL = [info for info in ALL if info.stateful]


@every
@HALVES
def test_half_precision_is_computed_in_float32(info: EstimatorInfo, half: torch.dtype) -> None:
    """The samples of float32, and its gradient to the precision of half; results of the type of logits."""
    logits = lanes_for(info, 2, dtype=half)
    seen = []

    def objective(samples: Tensor) -> Tensor:
        seen.append(samples.dtype)
        return degree(1)(samples.float())

    grad, estimate = gradient(info, logits, objective, seeded())
    assert grad.dtype == half
    assert set(seen) == {half}
    assert all(value.dtype == torch.float32 for value in estimate.state.values())
    seen.clear()
    expected, single = gradient(info, logits.float(), objective, seeded())
    assert torch.equal(estimate.values.isnan(), single.values.isnan())
    if estimate.samples is not None and single.samples is not None:
        assert estimate.samples.dtype == half
        assert torch.equal(estimate.samples, single.samples.to(half))
    tolerance = 20 * torch.finfo(half).eps
    torch.testing.assert_close(grad.float(), expected, rtol=tolerance, atol=tolerance)


@every
@HALVES
@pytest.mark.parametrize("size", [1.0, 1e3])
def test_half_precision_stays_finite(info: EstimatorInfo, half: torch.dtype, size: float) -> None:
    logits = lanes_for(info, 2, dtype=half) * size
    logits[..., 0, 1] = -torch.inf
    grad, estimate = gradient(info, logits, degree(1), seeded())
    assert grad.isfinite().all()
    assert (grad[..., 0, 1] == 0).all()
    assert estimate.surrogate.isfinite().all()


@every
@HALVES
def test_autocast_changes_nothing(info: EstimatorInfo, half: torch.dtype) -> None:
    logits = lanes_for(info, 2, dtype=torch.float32)
    expected, plain = gradient(info, logits, F, seeded())
    with torch.autocast("cpu", dtype=half):
        got, estimate = gradient(info, logits, F, seeded())
    assert torch.equal(got, expected)
    assert torch.equal(estimate.surrogate, plain.surrogate)
    assert all(torch.equal(value, plain.state[name]) for name, value in estimate.state.items())


@pytest.fixture(params=[torch.float64, torch.bfloat16], ids=str)
def _default_dtype(request: pytest.FixtureRequest) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(request.param)
    yield
    torch.set_default_dtype(before)


@pytest.fixture(scope="module")
def plain_gradients() -> dict[tuple[str, torch.dtype], Tensor]:
    """Made before a default dtype is set."""
    return {
        (id, dtype): gradient(get(id), lanes_for(get(id), 2, dtype=dtype), F, seeded())[0]
        for id in available()
        for dtype in (torch.float32, torch.float64)
    }


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.usefixtures("_default_dtype")
def test_the_default_dtype_changes_nothing(
    plain_gradients: dict[tuple[str, torch.dtype], Tensor], info: EstimatorInfo, dtype: torch.dtype
) -> None:
    got, _ = gradient(info, lanes_for(info, 2, dtype=dtype), F, seeded())
    assert torch.equal(got, plain_gradients[info.id, dtype])


@every
def test_without_gradients(info: EstimatorInfo) -> None:
    """The value is that of training, the state is one that training goes on with."""
    logits = lanes_for(info, 2)
    _, trained = gradient(info, logits, F, seeded())
    with torch.no_grad():
        plain = surrogate(info, logits, F, generator=seeded())
    with torch.inference_mode():
        inferred = surrogate(info, logits.clone(), F, generator=seeded())
        if info.stateful:
            assert initial_state(info, logits)
    for estimate in (plain, inferred):
        assert torch.equal(estimate.surrogate, trained.surrogate.detach())
        assert not estimate.surrogate.requires_grad
        assert all(torch.equal(value, trained.state[name]) for name, value in estimate.state.items())
    if info.stateful:
        gradient(info, logits, F, seeded(), state=inferred.state)


@pytest.mark.parametrize("info", [i for i in ALL if i.properties.kind == "score+grad"], ids=lambda i: i.id)
def test_objectives_of_inference_tensors_are_refused_in_words(info: EstimatorInfo) -> None:
    with torch.inference_mode():
        weight = torch.ones(())
    with torch.inference_mode(), pytest.raises(RuntimeError, match=r"use torch.no_grad\(\) in place of"):
        surrogate(info, lanes_for(info, 2), lambda D: weight * F(D))


@every
def test_values_of_another_precision(info: EstimatorInfo) -> None:
    """float64 values of float32 logits: an objective that computes in double."""
    logits = lanes_for(info, 2, dtype=torch.float32)
    got, estimate = gradient(info, logits, lambda D: F(D).double(), seeded())
    expected, _ = gradient(info, logits, F, seeded())
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)
    assert all(value.dtype == torch.float32 for value in estimate.state.values())
    half, _ = gradient(info, logits.double(), lambda D: F(D).float(), seeded())
    assert half.dtype == torch.float64


@every
@pytest.mark.parametrize("kind", ["integer", "boolean"])
def test_values_that_are_counts_or_truths(info: EstimatorInfo, kind: str) -> None:
    """Hits of a rule, as of a metric: as good as numbers where no gradient of f is needed."""
    logits = lanes_for(info, 2)

    def objective(samples: Tensor) -> Tensor:
        hits = samples[..., 0] > 0.5
        return hits.sum(-1) if kind == "integer" else hits.any(-1)

    if info.properties.needs_grad:
        with pytest.raises(ValueError, match="needs the gradient of the objective"):
            gradient(info, logits, objective, seeded())
        return
    got, estimate = gradient(info, logits, objective, seeded())
    expected, _ = gradient(info, logits, lambda D: objective(D).double(), seeded())
    assert torch.equal(got, expected)
    assert estimate.values.is_floating_point()


@every
def test_values_that_are_no_real_numbers_are_refused(info: EstimatorInfo) -> None:
    with pytest.raises(TypeError, match="expected a tensor of real numbers"):
        surrogate(info, lanes_for(info, 2), lambda D: F(D) * 1j)
    with pytest.raises(TypeError, match="returned float, expected a tensor"):
        surrogate(info, lanes_for(info, 2), lambda D: 1.0)  # type: ignore[arg-type,return-value]


@every
def test_an_objective_that_writes_into_its_samples_is_refused(info: EstimatorInfo) -> None:
    """What it leaves behind would be taken for the samples of the estimate."""

    def writing(samples: Tensor) -> Tensor:
        own = samples.detach()
        value = F(samples)
        own[..., 0, 0] = 0.5
        return value

    with pytest.raises((ValueError, RuntimeError), match=r"writes into its samples|clone"):
        surrogate(info, lanes_for(info, 2), writing, generator=seeded())


def test_the_exact_gradient_never_sees_impossible_outcomes() -> None:
    """f, and with it the gradient of its parameters, may be infinite there."""
    phi = torch.ones((), requires_grad=True)
    logits = torch.tensor([[0.0, -torch.inf], [0.0, 0.0]])
    estimate = exact(logits, lambda D: (phi * D[..., 0, 0]).log())
    estimate.surrogate.backward()
    assert phi.grad is not None
    assert phi.grad.item() == 1
    assert estimate.values.isnan().tolist() == [False, True, False, True]
