"""The update of a group of parameters in a step: the fused one where it is possible, else the rule's.

On a CPU, the gradient of a layer's weights is a product of two factors that are at hand
(:mod:`benchmarks.kernels.layers`). Adam's update of such weights is made by one kernel from the factors, where
the weights lie; the gradient is never written to memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from benchmarks.engine.optimizers.group import GroupOptimizer, Slots
from benchmarks.kernels import operators
from benchmarks.kernels.layers import WeightGradients
from benchmarks.kernels.operators import Factors

_FIRST, _SECOND = "first_moment", "second_moment"


@dataclass(frozen=True, slots=True, eq=False)
class Updated:
    """What an update leaves.

    Attributes:
        parameters: by name, in the order given.
        slots: of the optimizer, by slot and name.
        gradient_sums: sums of all numbers of the gradients, ``(lanes,)`` each: finite where gradients are.
    """

    parameters: dict[str, Tensor]
    slots: Slots
    gradient_sums: list[Tensor]


def updated(
    optimizer: GroupOptimizer,
    parameters: Mapping[str, Tensor],
    slots: Slots,
    gradients: Mapping[str, Tensor],
    coefficients: Tensor,
    moving: Tensor,
    *,
    known: WeightGradients | None,
) -> Updated:
    """Parameters and slots after one step.

    Args:
        optimizer: of the group.
        parameters, slots, gradients: by name, ``(lanes, ...)``.
        coefficients: ``(rows, lanes)``, see :meth:`GroupOptimizer.coefficients`.
        moving: ``(lanes,)`` booleans; the parameters of other lanes keep their bits.
        known: factors of gradients; weights that have some are changed where they lie. ``None``: nothing is.
    """
    factors = _factors(optimizer, gradients, known)
    rest = {name: gradient for name, gradient in gradients.items() if name not in factors}
    sums = [gradient.flatten(1).sum(1) for gradient in rest.values()]
    if factors:
        sums.append(_fused(parameters, slots, factors, coefficients, moving))
    some = {name: parameters[name] for name in rest}
    some_slots = {slot: {name: tensors[name] for name in rest} for slot, tensors in slots.items()}
    new, new_slots = optimizer.step(some, some_slots, rest, coefficients, moving)
    return Updated(
        parameters={name: new.get(name, p) for name, p in parameters.items()},
        slots={
            slot: {name: new_slots[slot].get(name, t) for name, t in tensors.items()}
            for slot, tensors in slots.items()
        },
        gradient_sums=sums,
    )


def _factors(
    optimizer: GroupOptimizer, gradients: Mapping[str, Tensor], known: WeightGradients | None
) -> dict[str, Factors]:
    """Factors of the gradients that the kernel can use."""
    if known is None or not optimizer.is_plain_adam:
        return {}
    found = {name: known.factors(gradient) for name, gradient in gradients.items()}
    return {name: factors for name, factors in found.items() if factors}


def _fused(
    parameters: Mapping[str, Tensor],
    slots: Slots,
    factors: Mapping[str, Factors],
    coefficients: Tensor,
    moving: Tensor,
) -> Tensor:
    """Update weights and moments from the factors of the gradients, whose sum ``(1,)`` is returned."""
    return operators.update(
        [parameters[name] for name in factors],
        [slots[_FIRST][name] for name in factors],
        [slots[_SECOND][name] for name in factors],
        list(factors.values()),
        rule=coefficients,
        moving=moving,
    )
