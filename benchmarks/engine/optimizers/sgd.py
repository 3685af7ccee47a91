r"""Gradient descent with momentum.

With the gradient g, the buffer b, 0 at the start, learning rate r and momentum u

    b <- u b + g
    p <- p - r b                without Nesterov's momentum
    p <- p - r (g + u b)        with it

Equal to ``torch.optim.SGD`` without dampening, up to rounding. The rate stands outside the buffer: one that
falls acts at once on all that has gathered there.

Source: Sutskever, Martens, Dahl and Hinton, "On the importance of initialization and momentum in deep
learning", ICML 2013.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from benchmarks.engine.optimizers.rule import Floats, by_lane, rates_alone, with_weight_decay

_BUFFER = "momentum_buffer"


class SGD:
    """A :class:`benchmarks.engine.optimizers.rule.Rule`.

    Args:
        momentum: u; 0 keeps no buffer.
        nesterov: ``yes`` or ``no``.
        weight_decay: of the L2 penalty.

    Raises:
        ValueError: Nesterov's momentum, and there is none.
    """

    rows = 1

    def __init__(self, *, momentum: float = 0.0, nesterov: str = "no", weight_decay: float = 0.0) -> None:
        if nesterov == "yes" and not momentum:
            raise ValueError("Nesterov's momentum needs a momentum above 0")
        self.slots: tuple[str, ...] = (_BUFFER,) if momentum else ()
        self._momentum = momentum
        self._nesterov = nesterov == "yes"
        self._weight_decay = weight_decay

    def coefficients(self, rates: Floats, first_step: int) -> Tensor:
        """``(count, 1, lanes)`` float32: the rates."""
        return rates_alone(rates)

    def updated(
        self, parameter: Tensor, slots: Mapping[str, Tensor], gradient: Tensor, coefficients: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The parameter ``(lanes, ...)`` and its buffer after one step."""
        gradient = with_weight_decay(gradient, parameter, self._weight_decay)
        rate = by_lane(coefficients[0], parameter)
        if not self._momentum:
            return parameter - rate * gradient, {}
        buffer = slots[_BUFFER] * self._momentum + gradient
        direction = gradient + self._momentum * buffer if self._nesterov else buffer
        return parameter - rate * direction, {_BUFFER: buffer}
