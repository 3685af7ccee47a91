r"""Matrix products of one lane on a CPU: torch's own, or oneDNN's where that is faster on this machine.

torch hands products of float32 to MKL, which on some processors runs at half the rate of oneDNN. Which is
faster is measured once in a process; oneDNN must be clearly faster, so that no process of a machine decides
otherwise on a busy day, since the two round differently. For y = x W^T + b all three products are oneDNN's:

    y = x W^T + b        dL/dx = g W        dL/dW = g^T x        with g = dL/dy

oneDNN is reached through an operator of torch that is no stable interface. It is named here and nowhere else;
where it is missing, torch's own product is what remains.
"""

from __future__ import annotations

import functools
import itertools
import os
import time
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from estimators._autograd import apply

Library = Literal["torch", "onednn"]

VARIABLE = "HEUNBOARD_PRODUCTS"
"""Environment variable that names a library and spares the measurement."""
ADVANTAGE = 1.25
"""How many times as fast as torch's own product oneDNN's must be to be taken."""

_NARROW = 64  # matrices with a shorter side are left to torch: oneDNN is at half its rate there
_SHAPES = ((100, 784, 512), (100, 256, 512))
_REPEATS = 12

_OPERATORS = torch.library.Library("heunboard", "DEF")
_OPERATORS.define(
    "product(Tensor x, Tensor weight, Tensor? bias) -> Tensor", tags=(torch.Tag.needs_fixed_stride_order,)
)


@torch.library.impl(_OPERATORS, "product", "CPU")
def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x weight^T + bias; weight and x may be views of transposed matrices."""
    result: Tensor = _onednn_operator()(x, weight, bias, "none", [], "")
    return result


@torch.library.impl(_OPERATORS, "product", "Meta")
def _shape_of_product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return x.new_empty(x.shape[0], weight.shape[0])


class _Linear(torch.autograd.Function):
    """x W^T + b with oneDNN's products, forward and backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return onednn(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (g,) = gradients
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias = ctx.needs_input_grad
        return (  # by this function again: some estimators differentiate twice
            apply(_Linear, g, weight.T, None) if of_x else None,
            apply(_Linear, g.T, x.T, None) if of_weight else None,
            g.sum(0) if of_bias else None,
        )


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """``torch.nn.functional.linear``, by the library that is faster here.

    Args:
        x: ``(B, i)``.
        weight: ``(o, i)``.
        bias: ``(o,)``.
    """
    suits = x.device.type == "cpu" and x.dtype == torch.float32 and min(*x.shape, *weight.shape) >= _NARROW
    if suits and library() == "onednn":
        return apply(_Linear, x, weight, bias)
    return functional.linear(x, weight, bias)


def onednn(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x weight^T + bias`` of float32 matrices on a CPU, by oneDNN."""
    result: Tensor = torch.ops.heunboard.product.default(x, weight, bias)
    return result


@functools.cache
def library() -> Library:
    """What this process multiplies with, decided at the first call.

    That call must not be one that is recorded or compiled: it measures.

    Raises:
        ValueError: the environment names no library, or one that is not here.
    """
    named = os.environ.get(VARIABLE)
    if named not in (None, "", "torch", "onednn"):
        raise ValueError(f"{VARIABLE} is {named!r}; it is torch or onednn, or not set for the faster of both")
    if named == "onednn" and not is_onednn_here():
        raise ValueError(f"{VARIABLE} is 'onednn', which this build of torch does not have; leave it out")
    if named:
        return "onednn" if named == "onednn" else "torch"
    return "onednn" if is_onednn_here() and advantage() >= ADVANTAGE else "torch"


def chosen() -> Library | None:
    """What this process has chosen; ``None`` before it had to."""
    return library() if library.cache_info().currsize else None


def is_onednn_here() -> bool:
    """Whether this build of torch has the operator, and it multiplies."""
    try:
        two = torch.eye(2)
        return bool(torch.backends.mkldnn.is_available() and torch.equal(onednn(two, two), two))
    except (AttributeError, RuntimeError):
        return False


def advantage() -> float:
    """How many times as fast oneDNN is as torch's own products, on typical shapes and one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        seconds = [_seconds(*shape) for shape in _SHAPES]
        return sum(with_torch for with_torch, _ in seconds) / sum(with_onednn for _, with_onednn in seconds)
    finally:
        torch.set_num_threads(threads)


def _seconds(batch: int, inputs: int, outputs: int) -> tuple[float, float]:
    """Seconds of the three products of a layer, by torch and by oneDNN: the fastest of turns."""
    x, weight, g = torch.ones(batch, inputs), torch.ones(outputs, inputs), torch.ones(batch, outputs)
    ways: list[Callable[[Tensor, Tensor], Tensor]] = [functional.linear, onednn]
    seconds: list[list[float]] = [[], []]
    for _, (multiply, taken) in itertools.product(range(_REPEATS), zip(ways, seconds, strict=True)):
        began = time.perf_counter()
        multiply(x, weight)
        multiply(g, weight.T)
        multiply(g.T, x.T)
        taken.append(time.perf_counter() - began)
    return min(seconds[0]), min(seconds[1])


def _onednn_operator() -> Callable[..., Tensor]:
    operator: Callable[..., Tensor] = torch.ops.mkldnn._linear_pointwise
    return operator
