"""Operations that a task may not do, refused where it does them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from benchmarks.tasks.battery.subject import Subject
from benchmarks.tasks.battery.training import train
from benchmarks.tasks.battery.watching import Guard, Watched
from estimators.building_blocks import operators_seen, traced

_READS_CONTENTS = frozenset(
    {
        "_local_scalar_dense",
        "_unique",
        "_unique2",
        "equal",
        "is_nonzero",
        "masked_select",
        "nonzero",
        "unique_dim",
    }
)
"""Operators whose result, or the shape of it, an accelerator has to be waited for."""
_LEAVES_THE_DEVICE = frozenset({"__array__", "cpu", "numpy", "tolist"})
_OWN_NOISE = "take random numbers from `noise` or `draw.uniform`, which follow from the seed of the lane"
_NO_READS = (
    "compute with tensors alone (`torch.where`): reading one waits for the device, and cannot be compiled"
)

Tags = frozenset[torch.Tag]


def noise(subject: Subject, estimator: str) -> None:
    """No random numbers but the trial's own."""
    _train_guarded(subject, estimator, _without_random_numbers)


def synchronisation(subject: Subject, estimator: str) -> None:
    """No step reads the contents of a tensor."""

    def guard(method: str) -> AbstractContextManager[Any]:
        # Before the first step, a task may prepare what it likes.
        return nullcontext() if method == "init" else _without_reads(method)

    _train_guarded(subject, estimator, guard)


def _train_guarded(subject: Subject, estimator: str, guard: Guard) -> None:
    train(Watched(subject.task(), guard=guard), subject.trials(estimator, 1))


def _without_random_numbers(method: str) -> AbstractContextManager[None]:
    def look(operator: str, tags: Tags) -> None:
        if torch.Tag.nondeterministic_seeded in tags:
            raise AssertionError(f"`{method}` draws by {operator}; {_OWN_NOISE}")

    return operators_seen(look)


@contextmanager
def _without_reads(method: str) -> Iterator[None]:
    def look(operator: str, tags: Tags) -> None:
        if operator.partition("::")[2].partition(".")[0] in _READS_CONTENTS:
            raise AssertionError(f"`{method}` reads a tensor by {operator}; {_NO_READS}")

    # As if recorded, so that estimators do not look at their arguments.
    with traced(), _Fetching(method), operators_seen(look):
        yield


class _Fetching(TorchFunctionMode):
    """Refuses methods that bring a tensor to the host, which on a CPU are no operators."""

    def __init__(self, method: str) -> None:
        super().__init__()
        self._method = method

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in _LEAVES_THE_DEVICE and args and isinstance(args[0], Tensor):
            raise AssertionError(f"`{self._method}` reads a tensor by `{name}`; {_NO_READS}")
        return func(*args, **(kwargs or {}))
