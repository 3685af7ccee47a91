"""Whether the code at work is run, recorded as a program, or transformed.

Where torch has no public word for it, this is the only place that looks into private parts.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")

_TRACED = ContextVar("traced", default=False)


def is_traced() -> bool:
    """Whether operations are recorded: contents of tensors cannot be read then, and loops are unrolled."""
    return torch.compiler.is_compiling() or _TRACED.get()


@contextmanager
def traced() -> Iterator[None]:
    """For tracers that torch does not tell about, such as ``torch.fx``'s ``make_fx``."""
    token = _TRACED.set(True)
    try:
        yield
    finally:
        _TRACED.reset(token)


@contextmanager
def operators_seen(look: Callable[[str, frozenset[torch.Tag]], None]) -> Iterator[None]:
    """Within, ``look`` is called with name (``aten::add.Tensor``) and tags of every operator before it runs.

    Args:
        look: may raise, to refuse the operator.
    """
    from torch.utils._python_dispatch import TorchDispatchMode

    class Seen(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            look(func.name(), frozenset(func.tags))
            return func(*args, **(kwargs or {}))

    with Seen():  # type: ignore[no-untyped-call]  # torch's own
        yield


def is_exported() -> bool:
    """Whether ``torch.export`` records; torch 2.6 tells it from compiling only together."""
    return bool(getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)())


def is_transformed() -> bool:
    """Whether a transform of ``torch.func`` (``vmap``, ``grad``, ``jvp``) is at work."""
    return bool(_transforms())


def derivatives_at_work() -> int:
    """How many transforms of ``torch.func`` that differentiate are at work, one inside of the other."""
    return sum(name in ("Grad", "Jvp") for name in _transforms())


# As torch.compiler.assume_constant_result marks it, which would load the compiler into every process.
derivatives_at_work._dynamo_marked_constant = True  # type: ignore[attr-defined]


def outside_of_programs(function: Callable[P, R]) -> Callable[P, R]:
    """``function``, which ``torch.compile`` runs as it is, with all it calls; other tracers record it."""

    @functools.wraps(function)
    def call(*args: P.args, **given: P.kwargs) -> R:
        if not torch.compiler.is_compiling():
            return function(*args, **given)
        # Here and not where it is decorated, which would load the compiler into every process.
        uncompiled: Callable[P, R] = torch.compiler.disable(function)
        return uncompiled(*args, **given)

    return call


def _transforms() -> list[str]:
    """Names of the transforms at work, outermost first.

    Without the private module, none is seen: contents are looked at inside of ``vmap``, which torch refuses.
    """
    try:
        from torch._functorch.pyfunctorch import retrieve_all_functorch_interpreters
    except ImportError:
        return []
    return [interpreter.key().name for interpreter in retrieve_all_functorch_interpreters()]


def stored(x: Tensor) -> Tensor:
    """A result ``x``; in a program for a CPU, something to be read and not computed anew by every reader.

    Inductor puts the formula of a value into each of its readers: a chain of values that are mentioned twice
    doubles with every link, in compile time and often in work. A view by strides needs its numbers in a
    place. What is written and read in one loop only stays in registers all the same.

    Args:
        x: what an operation has just made, no view: inductor may lay out anew what a view belongs to, and the
            strides would be wrong.
    """
    return x.as_strided(x.shape, x.stride()) if is_traced() and x.device.type == "cpu" else x
