"""Whether the code at work is being recorded as a program rather than run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

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
