"""Adam's update of a layer's weights without their gradient in memory, for one lane on a CPU.

The gradient of a layer's weights is a product, g^T x. Where it serves the update alone, weights and moments
can be changed where they lie while the product is formed, tile by tile (:mod:`benchmarks.kernels`): the
weights pass through memory once. What the engine does:

    with weight_gradients() as known:
        known.leave_out(loss, weights)  # where nothing is recorded
        gradients = dict(zip(names, torch.autograd.grad(...)))
    done, total = updated_in_place(optimizer, known, parameters, slots, gradients, ...)
    # the names in ``done`` are finished: their tensors are changed; the others take ``optimizer.step``

A gradient in ``done`` is not read: a compiler drops the product that would have made it, and in a step that
is not compiled it is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor

from benchmarks.engine.optimizers.adam import FIRST, SECOND
from benchmarks.engine.optimizers.group import GroupOptimizer
from benchmarks.kernels import layers, operators
from benchmarks.kernels.layers import WeightGradients


@contextmanager
def weight_gradients() -> Iterator[WeightGradients]:
    """Collects which gradients are one matmul, and its factors, while a backward pass runs."""
    with layers.weight_gradients() as known:
        yield known


def updated_in_place(
    optimizer: GroupOptimizer,
    known: WeightGradients,
    parameters: Mapping[str, Tensor],
    slots: Mapping[str, Mapping[str, Tensor]],
    gradients: Mapping[str, Tensor],
    *,
    coefficients: Tensor,
    moving: Tensor,
) -> tuple[frozenset[str], Tensor | None]:
    """Change the parameters whose gradient is a product, and their moments, where they lie.

    Args:
        optimizer: of the group; only a plain Adam has an update of this kind.
        known: what :func:`weight_gradients` gave.
        parameters: ``(1, ...)`` each.
        slots: the optimizer's; a weight's lie in memory in the order of the weight.
        gradients: the very tensors that the backward pass returned.
        coefficients: ``(2, 1)``, of this step.
        moving: ``(1,)`` boolean: whether the parameters change; the moments do.

    Returns:
        Names of the changed parameters, and the sum ``(1,)`` of all numbers of their gradients, which is not
        finite if one of those is not; ``None`` where nothing changed.

    Raises:
        ValueError: a weight and its moments lie in different orders.
        RuntimeError: a gradient that was left out is needed.
    """
    if not optimizer.is_plain_adam:
        return frozenset(), None
    known.check(gradients.values())
    found = {name: known.factors(gradient) for name, gradient in gradients.items()}
    factors = {name: product for name, product in found.items() if product is not None}
    if not factors:
        return frozenset(), None
    weights, first, second = (
        [tensors[name] for name in factors] for tensors in (parameters, slots[FIRST], slots[SECOND])
    )
    total = operators.update(weights, first, second, list(factors.values()), rule=coefficients, moving=moving)
    return frozenset(factors), total
