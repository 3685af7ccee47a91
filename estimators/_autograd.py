"""What custom autograd functions share: second derivatives, and code that is compiled or exported.

A gradient estimate is no derivative of the value it is attached to, and programs that differentiate by
themselves have to be told of it:

* ``torch.compile`` inlines the forward of an autograd function under ``torch.func.grad`` or ``jvp`` and
  differentiates what it finds there (torch up to 2.13 at least), and ``torch.export`` keeps what it finds.
  For both the gradient is written into the value, as a term that is 0 and whose derivative it is:
  value + M (theta - theta.detach()), with M constant.
* A second derivative is either that of the estimate as a function of the logits, the noise held fixed, or it
  is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import torch
from torch import Tensor

from estimators._tracing import derivatives_at_work


def apply(function: type[torch.autograd.Function], *args: Any) -> Tensor:
    """``function.apply(*args)``, which torch leaves without a type."""
    output: Tensor = function.apply(*args)
    return output


def is_inlined() -> bool:
    """Whether the forward at work is inlined, so that the derivative has to stand in the value.

    A forward that is called as such runs without gradients.

    Raises:
        RuntimeError: what is compiled is a second derivative, which this form has wrong.
    """
    if not (torch.compiler.is_compiling() and torch.is_grad_enabled()):
        return False
    if derivatives_at_work() > 1:
        raise RuntimeError(
            "torch.compile of a second derivative by torch.func would get that of a gradient estimate wrong; "
            "take it without torch.compile"
        )
    return True


def displacement(logits: Tensor) -> Tensor:
    """theta - theta.detach(), 0 with a derivative; masked categories have none."""
    possible = logits.masked_fill(logits.detach().isneginf(), 0.0)
    return possible - possible.detach()


def only_once(gradient: Tensor, message: str, *sources: Tensor) -> Tensor:
    """``gradient``; in a graph of second derivatives, an error in place of its derivative by ``sources``."""
    if not torch.is_grad_enabled():
        return gradient
    return apply(_OnlyOnce, gradient.detach(), message, *sources)


class _OnlyOnce(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(gradient: Tensor, message: str, *sources: Tensor) -> Tensor:
        return gradient.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.message = inputs[1]

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> NoReturn:
        raise RuntimeError(ctx.message)

    @staticmethod
    def jvp(ctx: Any, *_: Tensor) -> NoReturn:
        raise RuntimeError(ctx.message)


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Matrix products in the types of their arguments, whatever autocast says."""
    if not torch.amp.is_autocast_available(device.type):
        yield
        return
    with torch.autocast(device.type, enabled=False):
        yield
