"""Nested dictionaries of tensors as flat sequences, in their order, and back."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from benchmarks.engine.step import Inputs, State
from benchmarks.kernels import operators
from benchmarks.tasks.contract import Parameters


def tensors(tree: object) -> tuple[Tensor, ...]:
    """All tensors of nested dictionaries, in their order."""
    if isinstance(tree, Tensor):
        return (tree,)
    return tuple(tensor for part in cast(Mapping[str, Any], tree).values() for tensor in tensors(part))


def like(tree: object, values: Iterator[Tensor]) -> Any:
    """Nested dictionaries like ``tree`` of the next values."""
    if isinstance(tree, Tensor):
        return next(values)
    return {name: like(part, values) for name, part in cast(Mapping[str, Any], tree).items()}


def split(values: Sequence[Tensor], state: State, inputs: Inputs) -> tuple[State, Inputs]:
    """Tensors of a state and of inputs, in the order of :func:`tensors`, back in their places."""
    rest = iter(values)
    return cast(State, like(state, rest)), cast(Inputs, like(inputs, rest))


def copied(state: State) -> State:
    """A state of its own memory."""
    return cast(State, like(state, iter([tensor.clone() for tensor in tensors(state)])))


def copy(source: State | Inputs, target: State | Inputs) -> None:
    """Put the values of one tree into the tensors of another."""
    for to, value in zip(tensors(target), tensors(source), strict=True):
        to.copy_(value)


def signature(tree: State | Inputs) -> tuple[object, ...]:
    """What a program of this tree depends on: names, shapes, strides, types, devices."""
    return _names(tree), *((t.shape, t.stride(), t.dtype, t.device) for t in tensors(tree))


def device(state: State) -> torch.device:
    """Where a state lies."""
    return state["step"].device


def input_major(state: State, names: Collection[str]) -> State:
    """A state whose parameters and slots of these names lie with their inputs along columns.

    The kernels of a CPU skip zeros of inputs that are mostly zero, which needs that order.
    """
    if not names:
        return state

    def turned(group: Parameters) -> Parameters:
        return {name: operators.input_major(t) if name in names else t for name, t in group.items()}

    return {
        **state,
        "parameters": {group: turned(members) for group, members in state["parameters"].items()},
        "optimizer": {
            phase: {slot: turned(members) for slot, members in slots.items()}
            for phase, slots in state["optimizer"].items()
        },
    }


def _names(tree: object) -> tuple[object, ...]:
    if isinstance(tree, Tensor):
        return ()
    return tuple((name, _names(part)) for name, part in cast(Mapping[str, Any], tree).items())
