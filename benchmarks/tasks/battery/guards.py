"""Operations that a task may not do, refused where it does them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.tasks.battery.subject import Subject
from benchmarks.tasks.battery.training import train
from benchmarks.tasks.battery.watching import Guard, Watched
from estimators._tracing import traced

_READS_CONTENTS = frozenset(
    {
        "_local_scalar_dense",
        "equal",
        "is_nonzero",
        "masked_select",
        "nonzero",
        "unique_dim",
        "_unique",
        "_unique2",
    }
)
"""Operators whose result, or the shape of it, an accelerator has to be waited for."""
_LEAVES_THE_DEVICE = frozenset({"__array__", "cpu", "numpy", "tolist"})


def noise(subject: Subject, estimator: str) -> None:
    """No random numbers but the trial's own."""
    _train_guarded(subject, estimator, lambda method: _Refusing(_is_random, f"`{method}` draws", _OWN_NOISE))


def synchronisation(subject: Subject, estimator: str) -> None:
    """No step reads the contents of a tensor."""

    def guard(method: str) -> AbstractContextManager[Any]:
        # Before the first step and between epochs, a task may prepare what it likes.
        return nullcontext() if method == "init" else _unread(method)

    _train_guarded(subject, estimator, guard)


def _train_guarded(subject: Subject, estimator: str, guard: Guard) -> None:
    train(Watched(subject.task(), guard=guard), subject.trials(estimator, 1))


_OWN_NOISE = "take random numbers from `noise` or `draw.uniform`, which follow from the seed of the lane"
_NO_READS = (
    "compute with tensors alone (`torch.where`): reading one waits for the device, and cannot be compiled"
)


@contextmanager
def _unread(method: str) -> Iterator[None]:
    # As if recorded, so that estimators do not look at their arguments.
    with traced(), _Fetching(method), _Refusing(_reads_contents, f"`{method}` reads a tensor", _NO_READS):
        yield


def _is_random(operator: torch._ops.OpOverload) -> bool:
    return torch.Tag.nondeterministic_seeded in operator.tags


def _reads_contents(operator: torch._ops.OpOverload) -> bool:
    return operator.name().partition("::")[2].partition(".")[0] in _READS_CONTENTS


class _Refusing(TorchDispatchMode):
    """Refuses operators.

    Args:
        refused: which.
        what, advice: for the message.
    """

    def __init__(self, refused: Callable[[torch._ops.OpOverload], bool], what: str, advice: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's own
        self._refused, self._what, self._advice = refused, what, advice

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self._refused(func):
            raise AssertionError(f"{self._what} by {func.name()}; {self._advice}")
        return func(*args, **(kwargs or {}))


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
