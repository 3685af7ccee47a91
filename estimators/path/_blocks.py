"""Cutting long computations over variables into blocks, with results that do not depend on the cut."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from estimators._tracing import is_traced

CACHED_ELEMENTS = 2**16
"""Numbers in a block on a CPU: its few temporaries stay in the cache."""
WIDE_ELEMENTS = 2**22
"""The same where every operation has a launch to pay for, or a place in a traced graph."""


def blocks(x: Tensor, elements_per_variable: int) -> Iterator[slice]:
    """Slices of the variables, the last axis of ``x``, that need about as many numbers as the constants."""
    cached = x.device.type == "cpu" and not is_traced()
    size = max(1, (CACHED_ELEMENTS if cached else WIDE_ELEMENTS) // elements_per_variable)
    return (slice(start, min(start + size, x.shape[-1])) for start in range(0, x.shape[-1], size))


def part(x: Tensor, block: slice) -> Tensor:
    """``x[..., block]``; ``narrow`` also takes what ``torch.autograd.grad(is_grads_batched=True)`` passes."""
    return x.narrow(-1, block.start, block.stop - block.start)


def pairwise_sum(x: Tensor, axis: int) -> Tensor:
    """Sum over ``axis``, halving it: an order of additions that depends on its length alone.

    ``Tensor.sum`` adds in an order that depends on the other axes too, and a variable's gradient would change
    in its last bit with the number of variables beside it. In a traced program the shapes are fixed, and the
    compiler chooses an order that fits them.
    """
    if is_traced():
        return x.sum(axis)
    while (size := x.shape[axis]) > 1:
        half = size // 2
        front, back, rest = x.split((half, half, size - 2 * half), axis)
        x = front + back
        if size % 2:
            x.narrow(axis, 0, 1).add_(rest)
    return x.squeeze(axis)
