r"""Linear layers of one lane on a CPU: our own kernels, or torch's matmul where the environment says so.

For y = x W^T + b, with g = dL/dy,

    dL/dx = g W        dL/dW = g^T x        dL/db = sum of g

The kernels (:mod:`benchmarks.kernels`) know what torch's matmul does not: that an image is mostly zeros, and
that the gradient of W is wanted for one update only, for which its factors g and x are enough
(:class:`WeightGradients`). The two round differently, so which one is taken is configuration, not a
measurement of the moment, and is recorded with every attempt. Where the kernels cannot be compiled, torch's
matmul is what remains.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Iterable, Iterator
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
"""Environment variable that names a library: ``native`` (the default) or ``torch``."""

_logger = logging.getLogger(__name__)


class WeightGradients:
    """Gradients of weights that have just been computed, with their factors."""

    def __init__(self) -> None:
        self._known: list[tuple[Tensor, Factors]] = []
        self._left_out = 0

    def add(self, gradient: Tensor, factors: Factors) -> None:
        """Note the factors of a gradient, whose matmul it is."""
        self._known.append((gradient, factors))

    def factors(self, gradient: Tensor) -> Factors | None:
        """Of this very tensor; ``None`` if it is not one matmul, as a sum of several is not."""
        return next((factors for known, factors in self._known if known is gradient), None)

    def leave_out(self, outputs: Tensor, weights: Iterable[Tensor]) -> None:
        """Have a backward pass from ``outputs`` return no gradients of weights where their factors will do.

        These are weights that one layer reads and nothing else: what the layer returns is then what
        ``torch.autograd.grad`` returns. In the place of the gradient stands a NaN as large as the weight,
        which nobody can read and go on. Not for a step that is recorded: a compiler drops what is not read.

        Args:
            outputs: a result, whose graph is looked through.
            weights: leaves of that graph.
        """
        wanted = {id(weight) for weight in weights}
        for leaf, readers in _readers(outputs).items():
            (node, argument), *others = readers
            if leaf in wanted and not others and argument == _WEIGHT and hasattr(node, "leaves_out"):
                node.leaves_out = True
                self._left_out += 1

    def check(self, gradients: Iterable[Tensor]) -> None:
        """Make sure that what was left out was returned by the backward pass as it is.

        Raises:
            RuntimeError: something came between, and a NaN is where a gradient should be.
        """
        if self._left_out:
            returned = sum(
                self.factors(gradient) is not None and _is_void(gradient) for gradient in gradients
            )
            if returned < self._left_out:
                raise RuntimeError("the gradient of a weight was left out, and something else has read it")


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


def _readers(outputs: Tensor) -> dict[int, list[tuple[Any, int]]]:
    """By leaf of a graph: each node that reads it, and as which of its arguments."""
    readers: dict[int, list[tuple[Any, int]]] = {}
    left: list[Any] = [outputs.grad_fn] if outputs.grad_fn else []
    seen = set(left)  # the very objects: torch makes others for nodes that Python has forgotten
    while left:
        node = left.pop()
        for argument, (source, _) in enumerate(node.next_functions):
            if source is None or source in seen:
                continue
            if source.name() == _LEAF:
                readers.setdefault(id(source.variable), []).append((node, argument))
            else:
                seen.add(source)
                left.append(source)
    return readers


def _void(weight: Tensor) -> Tensor:
    """A NaN as large as a weight."""
    return weight.new_full((), float("nan")).expand(weight.shape)


def _is_void(gradient: Tensor) -> bool:
    return not any(gradient.stride())


_LEAF = "torch::autograd::AccumulateGrad"
_WEIGHT = 1  # place among the arguments of the function below


class _Linear(torch.autograd.Function):
    """x W^T + b by the kernels, W being ``(1, o, i)``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, mostly_zero: bool) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.mostly_zero, ctx.leaves_out = mostly_zero, False
        return operators.linear(x, weight.squeeze(0), bias, mostly_zero=mostly_zero)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (g,) = gradients
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias, _ = ctx.needs_input_grad
        return (
            # by this function again: some estimators differentiate twice
            apply(_Linear, g, weight.mT, None, False) if of_x else None,
            _weight_gradient(ctx, x, g, weight) if of_weight else None,
            g.sum(0) if of_bias else None,
            None,
        )


def _weight_gradient(ctx: Any, x: Tensor, g: Tensor, weight: Tensor) -> Tensor:
    """g^T x, ``(1, o, i)``, unless it is to be left out."""
    gradient = _void(weight) if ctx.leaves_out else (g.T @ x).unsqueeze(0)
    if known := _GRADIENTS.get():
        known.add(gradient, Factors(x.detach(), g.detach(), ctx.mostly_zero))
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
    _note_use()
    if x.device.type == "cpu" and x.dtype == torch.float32 and library() == "native":
        return apply(_Linear, x, weight, bias, mostly_zero).unsqueeze(0)
    return functional.linear(x, weight.squeeze(0), bias).unsqueeze(0)


@functools.cache
def library() -> Library:
    """What this process multiplies with: the kernels, unless the environment says torch or they cannot be
    had.

    Nothing is measured: two machines of one configuration compute with the same library. The first call,
    which may compile the kernels, must not be a part of what is recorded.

    Raises:
        ValueError: the environment names no library, or one that is not here.
    """
    named = os.environ.get(VARIABLE)
    if named not in (None, "", "torch", "native"):
        raise ValueError(
            f"{VARIABLE} is {named!r}; it is torch or native, or not set for native where it works"
        )
    if named == "torch":
        return "torch"
    try:
        operators.library()
    except BuildError as error:
        if named:
            raise ValueError(f"{VARIABLE} is 'native', but {error}; leave it out for torch") from error
        _logger.warning("Linear layers are left to torch: %s", error)
        return "torch"
    return "native"


def chosen() -> Library | None:
    """What this process multiplies with; ``None`` while it has had no layer to multiply."""
    return library() if _note_use.cache_info().currsize else None


@functools.cache
def _note_use() -> None:
    """A layer was multiplied here: the cache of this function remembers it."""
