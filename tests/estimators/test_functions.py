"""Exponentials and logarithms written out, against float64 of torch, and where they are not to be used."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from estimators import _functions
from estimators._tracing import stored, traced

Function = Callable[[Tensor], Tensor]

POSITIVE = torch.logspace(-37, 38, 200_001, dtype=torch.float64).float()
NEAR_ONE = torch.linspace(0.5, 2, 200_001)
NEAR_ZERO = torch.cat([-torch.logspace(-30, -0.0001, 100_000), torch.logspace(-30, 30, 100_000)])
EXPONENTS = torch.cat([torch.linspace(-87, 88, 400_001), NEAR_ZERO[NEAR_ZERO.abs() < 87]])

CASES = [
    pytest.param(_functions.exp, torch.exp, EXPONENTS, id="exp"),
    pytest.param(_functions.log, torch.log, POSITIVE, id="log"),
    pytest.param(_functions.log, torch.log, NEAR_ONE, id="log-near-one"),
    pytest.param(_functions.log1p, torch.log1p, NEAR_ZERO, id="log1p"),
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


def test_exp_at_the_ends_of_its_range() -> None:
    x = torch.tensor([0.0, -0.0, -torch.inf, -1e6, -89.0, torch.inf, 1e6, 89.0, torch.nan])
    with traced():
        got = _functions.exp(x)
    expected = torch.tensor([1.0, 1.0, 0.0, 0.0, 0.0, torch.inf, torch.inf, torch.inf, torch.nan])
    assert torch.equal(got[:-1], expected[:-1])
    assert got[-1].isnan()


def test_logarithms_of_nan_are_nan() -> None:
    with traced():
        assert _functions.log(torch.tensor([torch.nan])).isnan().all()
        assert _functions.log1p(torch.tensor([torch.nan])).isnan().all()


def test_compiled_functions_equal_themselves() -> None:
    """Inductor may neither drop the rounding of `exp` nor mistake bits for numbers."""

    def together(x: Tensor) -> Tensor:
        return torch.stack([_functions.exp(-x), _functions.log(x), _functions.log1p(x)])

    x = torch.logspace(-30, 1.9, 4099, dtype=torch.float64).float()
    with traced():
        graph = make_fx(together)(x)
    reference = torch.stack([torch.exp(-x.double()), torch.log(x.double()), torch.log1p(x.double())])
    assert relative_error(torch.compile(graph, fullgraph=True)(x), reference) < 3e-7


def test_a_stored_value_is_the_value() -> None:
    x = torch.arange(24.0).view(2, 3, 4)[:, 1:, ::2].transpose(0, 2)
    assert stored(x) is x
    with traced():
        assert torch.equal(stored(x), x)
        assert stored(x).stride() == x.stride()
