r"""Linear layers of one lane on a CPU: our own kernels, or torch's matmul where that is faster.

For y = x W^T + b, with g = dL/dy,

    dL/dx = g W        dL/dW = g^T x        dL/db = sum of g

The kernels (:mod:`benchmarks.kernels`) know what torch's matmul does not: that an image is mostly zeros, and
that the gradient of W is wanted for one update only, for which its factors g and x are enough
(:class:`WeightGradients`). torch's library has to be clearly faster to be taken in their place, so that no
process of a machine decides otherwise on a busy day, since the two round differently. Where the kernels
cannot be compiled, torch's matmul is what remains.
"""

from __future__ import annotations

import functools
import itertools
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.kernels import operators
from benchmarks.kernels.build import BuildError
from benchmarks.kernels.operators import Factors
from estimators.building_blocks import apply

Library = Literal["native", "torch"]

VARIABLE = "HEUNBOARD_MATMUL"
"""Environment variable that names a library and spares the measurement."""
ADVANTAGE = 1.25
"""How many times as fast as the kernels torch's matmul must be to be taken."""

_BATCH = 100
_SHAPES = ((784, 512, True), (512, 784, False), (256, 512, False))  # inputs, outputs, mostly zero
_REPEATS = 12

_logger = logging.getLogger(__name__)


class WeightGradients:
    """Gradients of weights that have just been computed, with their factors."""

    def __init__(self) -> None:
        self._known: list[tuple[Tensor, Factors]] = []

    def add(self, gradient: Tensor, factors: Factors) -> None:
        """Note the factors of a gradient, whose matmul it is."""
        self._known.append((gradient, factors))

    def factors(self, gradient: Tensor) -> Factors | None:
        """Of this very tensor; ``None`` if it is not one matmul, as a sum of several is not."""
        return next((factors for known, factors in self._known if known is gradient), None)


_GRADIENTS = ContextVar[WeightGradients | None]("gradients of weights", default=None)


@contextmanager
def weight_gradients() -> Iterator[WeightGradients]:
    """Collects factors while a backward pass runs."""
    found = WeightGradients()
    token = _GRADIENTS.set(found)
    try:
        yield found
    finally:
        _GRADIENTS.reset(token)


class _Linear(torch.autograd.Function):
    """x W^T + b by the kernels, W being ``(1, o, i)``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, mostly_zero: bool) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.mostly_zero = mostly_zero
        return operators.linear(x, weight.squeeze(0), bias, mostly_zero=mostly_zero)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (g,) = gradients
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias, _ = ctx.needs_input_grad
        return (
            # by this function again: some estimators differentiate twice
            apply(_Linear, g, weight.mT, None, False) if of_x else None,
            _weight_gradient(x, g, mostly_zero=ctx.mostly_zero) if of_weight else None,
            g.sum(0) if of_bias else None,
            None,
        )


def _weight_gradient(x: Tensor, g: Tensor, *, mostly_zero: bool) -> Tensor:
    """g^T x, ``(1, o, i)``."""
    gradient = (g.T @ x).unsqueeze(0)
    if known := _GRADIENTS.get():
        known.add(gradient, Factors(x.detach(), g.detach(), mostly_zero))
    return gradient


def linear(x: Tensor, weight: Tensor, bias: Tensor, *, mostly_zero: bool = False) -> Tensor:
    """A linear layer of one lane, by the library that is taken here.

    Args:
        x: ``(1, B, i)``.
        weight: ``(1, o, i)``.
        bias: ``(1, o)``.
        mostly_zero: whether x is known to be mostly zeros.

    Returns:
        ``(1, B, o)``.
    """
    x, bias = x.squeeze(0), bias.squeeze(0)
    if x.device.type == "cpu" and x.dtype == torch.float32 and library() == "native":
        return apply(_Linear, x, weight, bias, mostly_zero).unsqueeze(0)
    return functional.linear(x, weight.squeeze(0), bias).unsqueeze(0)


@functools.cache
def library() -> Library:
    """What this process multiplies with, decided at the first call.

    That call must not be one that is recorded or compiled: it measures.

    Raises:
        ValueError: the environment names no library, or one that is not here.
    """
    named = os.environ.get(VARIABLE)
    if named not in (None, "", "torch", "native"):
        raise ValueError(f"{VARIABLE} is {named!r}; it is torch or native, or not set for the faster of both")
    if named == "torch":
        return "torch"
    try:
        operators.library()
    except BuildError as error:
        if named:
            raise ValueError(f"{VARIABLE} is 'native', but {error}; leave it out for torch") from error
        _logger.warning("Linear layers are left to torch: %s", error)
        return "torch"
    return "native" if named or advantage_of_torch() < ADVANTAGE else "torch"


def chosen() -> Library | None:
    """What this process has chosen; ``None`` before it had to."""
    return library() if library.cache_info().currsize else None


def advantage_of_torch() -> float:
    """How many times as fast as the kernels torch is, for a step of typical layers on one thread.

    Both make the layers' outputs and the gradients of their inputs; torch also those of the weights, the
    kernels the weights' updates.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        seconds = [_seconds(*shape) for shape in _SHAPES]
        return sum(native for native, _ in seconds) / sum(with_torch for _, with_torch in seconds)
    finally:
        torch.set_num_threads(threads)


def _seconds(inputs: int, outputs: int, mostly_zero: bool) -> tuple[float, float]:
    """Seconds of a layer by the kernels and by torch: the fastest of turns."""
    x, g, bias = torch.ones(_BATCH, inputs), torch.ones(_BATCH, outputs), torch.ones(outputs)
    if mostly_zero:
        x[:, torch.arange(inputs) % 5 > 0] = 0
    weight, first, second = (torch.ones(1, outputs, inputs) for _ in range(3))
    if mostly_zero:
        weight, first, second = map(operators.input_major, (weight, first, second))
    rule, moving = torch.ones(2, 1), torch.ones(1, dtype=torch.bool)
    factors = [Factors(x, g, mostly_zero)]

    def by_kernels() -> None:
        operators.linear(x, weight[0], bias, mostly_zero=mostly_zero)
        if not mostly_zero:
            operators.linear(g, weight[0].T, None)
        operators.update([weight], [first], [second], factors, rule=rule, moving=moving)

    def by_torch() -> None:
        functional.linear(x, weight[0], bias)
        if not mostly_zero:
            torch.mm(g, weight[0])
        torch.mm(g.T, x)

    ways: list[Callable[[], None]] = [by_kernels, by_torch]
    seconds: list[list[float]] = [[], []]
    for _, (work, taken) in itertools.product(range(_REPEATS), zip(ways, seconds, strict=True)):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return min(seconds[0]), min(seconds[1])
