"""Exponentials and logarithms written out, against float64 of torch, and where they are not to be used."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

import estimators
from benchmarks.engine.compiled.inductor import cpu_options
from estimators import _fastmath
from estimators._tracing import stored, traced

Function = Callable[[Tensor], Tensor]

POSITIVE = torch.logspace(-37, 38, 200_001, dtype=torch.float64).float()
NEAR_ONE = torch.linspace(0.5, 2, 200_001)
NEAR_ZERO = torch.cat([-torch.logspace(-30, -0.0001, 100_000), torch.logspace(-30, 30, 100_000)])
NEAR_MINUS_ONE = 2.0**-24 * torch.arange(1, 10_000) - 1
EXPONENTS = torch.cat([torch.linspace(-87, 88, 400_001), NEAR_ZERO[NEAR_ZERO.abs() < 87]])

CASES = [
    pytest.param(_fastmath.exp, torch.exp, EXPONENTS, id="exp"),
    pytest.param(_fastmath.log, torch.log, POSITIVE, id="log"),
    pytest.param(_fastmath.log, torch.log, NEAR_ONE, id="log-near-one"),
    pytest.param(_fastmath.log1p, torch.log1p, NEAR_ZERO, id="log1p"),
    pytest.param(_fastmath.log1p, torch.log1p, NEAR_MINUS_ONE, id="log1p-near-minus-one"),
]


def relative_error(got: Tensor, expected: Tensor) -> Tensor:
    """Largest |got - expected| / |expected|, and 0 / 0 = 0."""
    error = (got.double() - expected).abs()
    return torch.where(error == 0, 0.0, error / expected.abs()).max()


@pytest.mark.parametrize(("ours", "torchs", "x"), CASES)
def test_written_out_functions_are_close(ours: Function, torchs: Function, x: Tensor) -> None:
    with traced():
        got = ours(x)
    assert got.dtype == torch.float32
    assert relative_error(got, torchs(x.double())) < 3e-7


@pytest.mark.parametrize(("ours", "torchs", "x"), CASES)
def test_elsewhere_torch_computes(ours: Function, torchs: Function, x: Tensor) -> None:
    assert torch.equal(ours(x), torchs(x))
    with traced():
        assert torch.equal(ours(x.double()), torchs(x.double()))
        assert not torch.equal(ours(x), torchs(x)), "nothing was written out"


EXP_ENDS = torch.tensor([0.0, -0.0, -torch.inf, -1e6, -89.0, torch.inf, 1e6, 89.0, torch.nan])
EXP_OF_ENDS = torch.tensor([1.0, 1.0, 0.0, 0.0, 0.0, torch.inf, torch.inf, torch.inf, torch.nan])
LOG_ENDS = torch.tensor([1.0, 2.0**-126, 2.0**-130, 0.0, torch.nan])
LOG_OF_ENDS = torch.tensor([1.0, 2.0**-126, 2.0**-126, 2.0**-126, torch.nan]).log()
LOG1P_ENDS = torch.tensor([0.0, 2.0**-24 - 1, -1.0, torch.nan])
LOG1P_OF_ENDS = torch.tensor([1.0, 2.0**-24, 2.0**-24, torch.nan]).log()


@pytest.mark.parametrize("compiled", [False, True])
def test_ends_of_the_ranges(compiled: bool) -> None:
    def at_ends(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        return torch.cat([_fastmath.exp(x), _fastmath.log(y), _fastmath.log1p(z)])

    with traced():
        program: Callable[..., Tensor] = make_fx(at_ends)(EXP_ENDS, LOG_ENDS, LOG1P_ENDS)
    if compiled:
        program = torch.compile(program, fullgraph=True, options=cpu_options())
    expected = torch.cat([EXP_OF_ENDS, LOG_OF_ENDS, LOG1P_OF_ENDS])
    torch.testing.assert_close(
        program(EXP_ENDS, LOG_ENDS, LOG1P_ENDS), expected, rtol=3e-7, atol=0.0, equal_nan=True
    )


def test_compiled_functions_equal_themselves() -> None:
    """Inductor may neither drop the rounding of `exp` nor mistake bits for numbers."""

    def together(x: Tensor) -> Tensor:
        return torch.stack([_fastmath.exp(-x), _fastmath.log(x), _fastmath.log1p(x)])

    x = torch.logspace(-30, 1.9, 4099, dtype=torch.float64).float()
    with traced():
        graph = make_fx(together)(x)
    reference = torch.stack([torch.exp(-x.double()), torch.log(x.double()), torch.log1p(x.double())])
    compiled = torch.compile(graph, fullgraph=True, options=cpu_options())
    assert relative_error(compiled(x), reference) < 3e-7


class Pool:
    """Noise that is a part of a larger tensor, as a user's source may return it."""

    def __init__(self, pool: Tensor) -> None:
        self.pool = pool

    def uniform(self, shape: tuple[int, ...], *, dtype: torch.dtype, device: torch.device) -> Tensor:
        return (self.pool * 1.0)[3::2][: math.prod(shape)].view(shape)


# dynamo itself instantiates autograd functions, which torch.autograd warns against
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.parametrize("n", [2, 3])
def test_noise_that_is_a_view_is_compiled_as_it_is(n: int) -> None:
    """The strides of a view, put on what inductor makes of it, would read other numbers."""
    pool = torch.rand(100, generator=torch.Generator().manual_seed(0))

    def relaxed(logits: Tensor, pool: Tensor) -> Tensor:
        return estimators.gumbel_softmax(logits, generator=Pool(pool))

    logits = torch.linspace(-1, 1, 4 * n).view(4, n)
    torch.testing.assert_close(torch.compile(relaxed, fullgraph=True)(logits, pool), relaxed(logits, pool))


def test_a_stored_value_is_the_value() -> None:
    x = torch.arange(24.0).view(2, 3, 4).transpose(0, 2).add(1)
    assert stored(x) is x
    with traced():
        assert torch.equal(stored(x), x)
        assert stored(x).stride() == x.stride()
        assert stored(x) is not x
