r"""The kernels as functions of tensors, and as operators that can be recorded and compiled.

    linear    y = x W^T + b
    update    W, m, v after a step of Adam or RAdam with the gradient g^T x, which is never written to memory

All of float32, on one thread. A weight lies output-major, as ``torch.nn.Linear`` has it, or input-major: as a
view of the transpose of such a matrix. Zeros of an input that is mostly zeros are skipped, which needs an
input-major weight; numbers that are not finite in a column of zeros are then not seen.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks.kernels import build

_OPERATORS = torch.library.Library("heunboard", "DEF")
_OPERATORS.define(
    "linear(Tensor x, Tensor weight, Tensor bias, bool mostly_zero) -> Tensor",
    tags=(torch.Tag.needs_fixed_stride_order,),
)
_OPERATORS.define(
    "update_(Tensor(a!)[] weights, Tensor(b!)[] first, Tensor(c!)[] second, Tensor[] inputs,"
    " Tensor[] outputs, bool[] mostly_zero, Tensor rule, Tensor moving) -> Tensor",
    tags=(torch.Tag.needs_fixed_stride_order,),
)


@dataclass(frozen=True, slots=True, eq=False)
class Factors:
    """Of the gradient g^T x of a layer's weights.

    Attributes:
        inputs: x, ``(B, i)``.
        outputs: g, the gradient of the layer's outputs, ``(B, o)``.
        mostly_zero: whether zeros of x are to be skipped.
    """

    inputs: Tensor
    outputs: Tensor
    mostly_zero: bool


def linear(x: Tensor, weight: Tensor, bias: Tensor | None, *, mostly_zero: bool = False) -> Tensor:
    """``x weight^T + bias``.

    Args:
        x: ``(B, i)``.
        weight: ``(o, i)``, in either order.
        bias: ``(o,)``.
        mostly_zero: whether zeros of x are to be skipped.
    """
    start = x.new_zeros(weight.shape[0]) if bias is None else bias
    result: Tensor = torch.ops.heunboard.linear.default(x, weight, start, mostly_zero)
    return result


def update(
    weights: Sequence[Tensor],
    first: Sequence[Tensor],
    second: Sequence[Tensor],
    factors: Sequence[Factors],
    *,
    rule: Tensor,
    moving: Tensor,
) -> Tensor:
    """Change weights and moments of layers in place, as the optimizers' rule says.

    Args:
        weights, first, second: W, m and v, ``(1, o, i)`` each, in the same order in memory.
        factors: of their gradients.
        rule: ``(2, 1)``, a row of the optimizers' coefficients.
        moving: ``(1,)`` boolean; whether the weights change.

    Returns:
        ``(1,)``: the sum of all numbers of all gradients.

    Raises:
        ValueError: W, m and v of a layer lie in different orders, or in none of the two.
    """
    result: Tensor = torch.ops.heunboard.update_.default(
        list(weights),
        list(first),
        list(second),
        [f.inputs for f in factors],
        [f.outputs for f in factors],
        [f.mostly_zero for f in factors],
        rule,
        moving,
    )
    return result


def input_major(weight: Tensor) -> Tensor:
    """The same numbers with the transposes of its matrices in memory; the tensor itself if it is so."""
    turned = weight.mT
    return weight if turned.is_contiguous() else turned.contiguous().mT


@functools.cache
def library() -> ctypes.CDLL:
    """The compiled kernels with the types of their arguments.

    Raises:
        BuildError: they cannot be had.
    """
    found = build.load()
    size, numbers, flag, number = ctypes.c_int64, ctypes.c_void_p, ctypes.c_int, ctypes.c_float
    found.heunboard_linear.argtypes = [size] * 3 + [numbers] * 2 + [flag] * 2 + [numbers] * 2
    found.heunboard_linear.restype = None
    found.heunboard_update.argtypes = (
        [size] * 3 + [numbers] * 2 + [flag] + [numbers] * 3 + [number] * 2 + [flag]
    )
    found.heunboard_update.restype = number
    return found


@torch.library.impl(_OPERATORS, "linear", "CPU")
def _linear(x: Tensor, weight: Tensor, bias: Tensor, mostly_zero: bool) -> Tensor:
    (batch, inputs), outputs = x.shape, weight.shape[0]
    y = x.new_empty(batch, outputs)
    x, bias = x.contiguous(), bias.contiguous()
    is_input_major = weight.stride(0) == 1 and weight.stride(1) == outputs
    if not is_input_major:
        weight = weight.contiguous()
    library().heunboard_linear(
        batch,
        inputs,
        outputs,
        x.data_ptr(),
        weight.data_ptr(),
        is_input_major,
        mostly_zero,
        bias.data_ptr(),
        y.data_ptr(),
    )
    return y


@torch.library.impl(_OPERATORS, "linear", "Meta")
def _shape_of_linear(x: Tensor, weight: Tensor, bias: Tensor, mostly_zero: bool) -> Tensor:
    return x.new_empty(x.shape[0], weight.shape[0])


@torch.library.impl(_OPERATORS, "update_", "CPU")
def _update(
    weights: list[Tensor],
    first: list[Tensor],
    second: list[Tensor],
    inputs: list[Tensor],
    outputs: list[Tensor],
    mostly_zero: list[bool],
    rule: Tensor,
    moving: Tensor,
) -> Tensor:
    (scale, offset), moves = rule.flatten().tolist(), bool(moving)
    kernel = library().heunboard_update
    total = 0.0
    for w, m, v, x, g, skips in zip(weights, first, second, inputs, outputs, mostly_zero, strict=True):
        x, g = x.contiguous(), g.contiguous()
        is_input_major = not w.is_contiguous()
        # These are written to where they lie: a copy in the right order would be changed in their place.
        if (
            len({w.stride(), m.stride(), v.stride()}) > 1
            or not (w.mT if is_input_major else w).is_contiguous()
        ):
            strides = ", ".join(str(t.stride()) for t in (w, m, v))
            raise ValueError(
                f"weights and moments have strides {strides}; give all three output-major, or all input-major"
            )
        left, right = (x, g) if is_input_major else (g, x)
        total += kernel(
            len(left),
            left.shape[1],
            right.shape[1],
            left.data_ptr(),
            right.data_ptr(),
            skips and is_input_major,
            w.data_ptr(),
            m.data_ptr(),
            v.data_ptr(),
            scale,
            offset,
            moves,
        )
    return rule.new_full((1,), total)


@torch.library.impl(_OPERATORS, "update_", "Meta")
def _shape_of_update(*arguments: Any) -> Tensor:
    *_, moving = arguments
    return torch.empty(1, device=moving.device)
