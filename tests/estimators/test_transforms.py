"""Compiled with changing shapes, transformed, exported, differentiated twice: right, or refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from estimators import EstimatorInfo, bind, surrogate
from tests.estimators.battery import ALL, PATH, TRACEABLE, every, every_path, every_traceable
from tests.estimators.problems import WEIGHTS, degree, gradient, lanes_for, seeded

WITHIN = [info for info in ALL if info not in TRACEABLE]
"""Those that differentiate within the call, which torch.func and export cannot follow."""
AVERAGED = [info for info in PATH if info.parameter("num_draws")]


def cube() -> Callable[[Tensor], Tensor]:
    """The objective ``degree(3)`` without an exponent, which ``dynamic=True`` makes a symbol."""
    weights = WEIGHTS.clone()

    def f(samples: Tensor) -> Tensor:
        u = (samples * weights[:, : samples.shape[-1]].to(samples)).sum((-1, -2))
        return u * u * u

    return f


every_within = pytest.mark.parametrize("info", WITHIN, ids=lambda info: info.id)
pytestmark = [
    # dynamo itself instantiates autograd functions, and torch.func loads scripts, which torch warns against
    pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning"),
]


@pytest.fixture(autouse=True)
def _fresh_compiler() -> None:
    torch._dynamo.reset()


def loss_of(
    info: EstimatorInfo, objective: Callable[[Tensor], Tensor] | None = None
) -> Callable[[Tensor], Tensor]:
    """The sum of surrogates, with torch's default generator, which compiled code draws from too."""
    estimate, objective = bind(info), objective or cube()
    return lambda logits: estimate(logits, objective).surrogate.sum()


def gradient_of(loss: Callable[[Tensor], Tensor], logits: Tensor) -> Tensor:
    leaf = logits.clone().requires_grad_()
    torch.manual_seed(5)
    loss(leaf).backward()
    assert leaf.grad is not None
    return leaf.grad


@every_traceable
@pytest.mark.parametrize("dynamic", [None, True])
def test_a_compiled_estimator_takes_other_batch_sizes(info: EstimatorInfo, dynamic: bool | None) -> None:
    loss = loss_of(info)
    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True, dynamic=dynamic)
    for batch in (5, 7, 3):
        logits = lanes_for(info, 2, batch=batch)
        expected = gradient_of(loss, logits)
        torch.testing.assert_close(gradient_of(compiled, logits), expected, rtol=1e-10, atol=1e-10)


@every_within
def test_what_differentiates_within_runs_beside_compiled_code(info: EstimatorInfo) -> None:
    """Without ``fullgraph``: it stays outside of the program."""
    loss, logits = loss_of(info), lanes_for(info, 2)
    expected = gradient_of(loss, logits)
    assert torch.equal(gradient_of(torch.compile(loss, backend="aot_eager"), logits), expected)


@every_path
def test_vmap_maps_each_row_by_itself(info: EstimatorInfo) -> None:
    """With shared randomness every row sees the noise of the first."""
    function, logits = info.load(), lanes_for(info, 1)[0].float()
    rows = logits[:1].expand(4, -1, -1).clone()
    torch.manual_seed(1)
    one = function(rows[0])
    torch.manual_seed(1)
    same = torch.func.vmap(function, randomness="same")(rows)
    assert torch.equal(same, one.expand_as(same))
    torch.manual_seed(1)
    different = torch.func.vmap(function, randomness="different")(logits[:1].expand(200, -1, -1).clone())
    assert len(different.detach().unique(dim=0)) > 1


@pytest.mark.parametrize("info", [i for i in TRACEABLE if i not in PATH], ids=lambda i: i.id)
def test_vmap_maps_estimates_from_values_of_f(info: EstimatorInfo) -> None:
    """Values and gradients of every row are those of the row alone, with the noise that all share."""
    rows = lanes_for(info, 4)

    def value_and_gradient(logits: Tensor) -> tuple[Tensor, Tensor]:
        gradient, value = torch.func.grad_and_value(loss_of(info))(logits)
        return value, gradient

    torch.manual_seed(1)
    together = torch.func.vmap(value_and_gradient, randomness="same")(rows)
    for i, row in enumerate(rows):
        torch.manual_seed(1)
        for mapped, alone in zip(together, value_and_gradient(row), strict=True):
            torch.testing.assert_close(mapped[i], alone, rtol=1e-10, atol=1e-10)


@every_traceable
def test_func_grad_is_the_gradient(info: EstimatorInfo) -> None:
    loss, logits = loss_of(info), lanes_for(info, 2)
    expected = gradient_of(loss, logits)
    torch.manual_seed(5)
    torch.testing.assert_close(torch.func.grad(loss)(logits), expected, rtol=1e-12, atol=1e-12)


@every_traceable
def test_compiled_func_grad_is_the_gradient(info: EstimatorInfo) -> None:
    """torch.compile drops the backward of an autograd function here, which would leave a gradient of zero."""
    loss, logits = loss_of(info), lanes_for(info, 2)
    expected = gradient_of(loss, logits)
    assert expected.abs().sum() > 0
    torch.manual_seed(5)
    got = torch.compile(torch.func.grad(loss), backend="aot_eager", fullgraph=True)(logits)
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)


@every_traceable
@pytest.mark.parametrize("compiled", [False, True])
def test_jvp_is_the_gradient_along_a_tangent(info: EstimatorInfo, compiled: bool) -> None:
    loss, logits = loss_of(info), lanes_for(info, 2)
    tangent = torch.randn(logits.shape, generator=seeded(), dtype=logits.dtype)
    expected = (gradient_of(loss, logits) * tangent).sum()

    def along(logits: Tensor, tangent: Tensor) -> Tensor:
        moved: Tensor = torch.func.jvp(loss, (logits,), (tangent,))[1]
        return moved

    run = torch.compile(along, backend="aot_eager", fullgraph=True) if compiled else along
    torch.manual_seed(5)
    torch.testing.assert_close(run(logits, tangent), expected, rtol=1e-9, atol=1e-9)


@every_path
@pytest.mark.parametrize("n", [2, 3])
def test_jacobians_of_both_modes_agree(info: EstimatorInfo, n: int) -> None:
    """Reverse mode applies the rule, forward mode its transpose: <M g, t> = <g, M^T t>."""
    function, logits = info.load(), lanes_for(info, 1)[0, :1, :1, :n]

    def sample(logits: Tensor) -> Tensor:
        z: Tensor = function(logits, generator=seeded(2))
        return z

    leaf = logits.clone().requires_grad_()
    weights = torch.eye(n, dtype=logits.dtype)
    rows = [torch.autograd.grad((sample(leaf) * w).sum(), leaf)[0].flatten() for w in weights]
    columns = [torch.func.jvp(sample, (logits,), (w.view_as(logits),))[1].flatten() for w in weights]
    torch.testing.assert_close(torch.stack(rows), torch.stack(columns, -1), rtol=1e-10, atol=1e-12)


@every_within
@pytest.mark.parametrize("transform", [torch.func.grad, torch.func.vmap])
def test_what_differentiates_within_refuses_transforms(info: EstimatorInfo, transform: Any) -> None:
    with pytest.raises(RuntimeError, match=rf"{info.id} differentiates within the call.*torch.func"):
        transform(loss_of(info))(lanes_for(info, 2))


@every_path
def test_batched_cotangents(info: EstimatorInfo) -> None:
    leaf = lanes_for(info, 2).requires_grad_()
    z = info.load()(leaf, generator=seeded())
    g = torch.randn(4, *z.shape, generator=seeded(), dtype=z.dtype)
    (together,) = torch.autograd.grad(z, leaf, g, is_grads_batched=True, retain_graph=True)
    apart = [torch.autograd.grad(z, leaf, each, retain_graph=True)[0] for each in g]
    torch.testing.assert_close(together, torch.stack(apart), rtol=1e-12, atol=1e-12)


class Layer(torch.nn.Module):
    """Logits with a parameter, an estimator, an objective."""

    def __init__(self, info: EstimatorInfo, logits: Tensor) -> None:
        super().__init__()
        self.shift = torch.nn.Parameter(torch.zeros_like(logits[0, 0]))
        self._loss = loss_of(info)

    def forward(self, logits: Tensor) -> Tensor:
        return self._loss(logits + self.shift)


@every_traceable
@pytest.mark.parametrize("strict", [False, True])
def test_an_exported_module_trains(info: EstimatorInfo, strict: bool) -> None:
    """Its gradient is that of the module that was exported."""
    logits = lanes_for(info, 2)
    module = Layer(info, logits)
    exported: Any = torch.export.export(module, (logits,), strict=strict).module()
    grads = []
    for each in (module, exported):
        torch.manual_seed(5)
        each(logits).backward()
        (parameter,) = each.parameters()
        grads.append(parameter.grad)
    torch.testing.assert_close(grads[1], grads[0], rtol=1e-9, atol=1e-9)


def estimate_of(info: EstimatorInfo, logits: Tensor) -> tuple[Tensor, Tensor]:
    """The gradient estimate of a linear f, with its graph, and the leaf."""
    leaf = logits.clone().requires_grad_()
    estimate = surrogate(info, leaf, degree(1), generator=seeded(2))
    (grad,) = torch.autograd.grad(estimate.surrogate.sum(), leaf, create_graph=True)
    return grad, leaf


@pytest.mark.parametrize("info", [i for i in PATH if i not in AVERAGED], ids=lambda i: i.id)
@pytest.mark.parametrize("n", [2, 3])
def test_second_derivatives_are_those_of_the_estimate(info: EstimatorInfo, n: int) -> None:
    """Against central differences, noise and sample held fixed; with a masked category for n = 3."""
    logits = lanes_for(info, 2)[..., :n]
    if n == 3:
        logits[0, 0, 0, 1] = -torch.inf
    v, direction = (torch.randn(logits.shape, generator=seeded(s), dtype=logits.dtype) for s in (3, 4))
    grad, leaf = estimate_of(info, logits)
    (second,) = torch.autograd.grad((grad * v).sum(), leaf)
    assert second.isfinite().all()
    ends = [(estimate_of(info, logits + h * direction)[0] * v).sum() for h in (1e-5, -1e-5)]
    torch.testing.assert_close((second * direction).sum(), (ends[0] - ends[1]) / 2e-5, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("info", [i for i in ALL if i not in PATH or i in AVERAGED], ids=lambda i: i.id)
def test_other_second_derivatives_are_refused(info: EstimatorInfo) -> None:
    """A penalty on the gradient would otherwise be constant, and nothing would say so."""
    grad, leaf = estimate_of(info, lanes_for(info, 2))
    assert grad.requires_grad
    with pytest.raises(RuntimeError, match=r"no second derivative.*`stgs`"):
        torch.autograd.grad(grad.square().sum(), leaf)


@every_traceable
@pytest.mark.parametrize("compiled", [False, True])
def test_second_derivatives_by_func(info: EstimatorInfo, compiled: bool) -> None:
    """As by autograd. Compiled whole they would be wrong: what is compiled leaves them to eager code."""
    loss, logits = loss_of(info, degree(1)), lanes_for(info, 2)

    def penalty(logits: Tensor) -> Tensor:
        squared: Tensor = torch.func.grad(loss)(logits).square().sum()
        return squared

    second = torch.func.grad(penalty)
    run = torch.compile(second, backend="aot_eager") if compiled else second
    if info not in PATH or info in AVERAGED:
        with pytest.raises(RuntimeError, match=r"no second derivative"):
            run(logits)
        return
    leaf = logits.clone().requires_grad_()
    torch.manual_seed(5)
    (grad,) = torch.autograd.grad(loss(leaf), leaf, create_graph=True)
    (expected,) = torch.autograd.grad(grad.square().sum(), leaf)
    torch.manual_seed(5)
    torch.testing.assert_close(run(logits), expected, rtol=1e-9, atol=1e-9)


@every_traceable
def test_second_derivatives_are_not_compiled_whole(info: EstimatorInfo) -> None:
    loss, logits = loss_of(info, degree(1)), lanes_for(info, 2)
    second = torch.func.grad(lambda x: torch.func.grad(loss)(x).square().sum())
    with pytest.raises(torch._dynamo.exc.TorchDynamoException):
        torch.compile(second, backend="aot_eager", fullgraph=True)(logits)


@every
def test_backward_twice_gives_the_same(info: EstimatorInfo) -> None:
    leaf = lanes_for(info, 2).requires_grad_()
    total = surrogate(info, leaf, cube(), generator=seeded()).surrogate.sum()
    first, second = (torch.autograd.grad(total, leaf, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(first, gradient(info, leaf.detach(), cube(), seeded())[0])
