r"""RMSprop: the gradient over the root of the running mean of its square.

With the gradient g, the mean v and the buffer b, both 0 at the start, learning rate r and momentum u

    v <- alpha v + (1 - alpha) g^2
    p <- p - r g / (sqrt(v) + eps)                                     without momentum
    b <- u b + g / (sqrt(v) + eps),    p <- p - r b                    with it

Equal to ``torch.optim.RMSprop``, not centered, up to rounding.

Source: Tieleman and Hinton, "Lecture 6.5 - RMSProp", COURSERA: Neural Networks for Machine Learning, 2012.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from benchmarks.engine.optimizers.rule import Floats, by_lane, rates_alone, with_weight_decay

_SQUARE, _BUFFER = "square_average", "momentum_buffer"


class RMSprop:
    """A :class:`benchmarks.engine.optimizers.rule.Rule`.

    Args:
        alpha: decay of the mean of squares.
        eps: added to its root.
        momentum: u; 0 keeps no buffer.
        weight_decay: of the L2 penalty.
    """

    rows = 1

    def __init__(
        self, *, alpha: float = 0.99, eps: float = 1e-8, momentum: float = 0.0, weight_decay: float = 0.0
    ) -> None:
        self.slots: tuple[str, ...] = (_SQUARE, _BUFFER) if momentum else (_SQUARE,)
        self._alpha = alpha
        self._eps = eps
        self._momentum = momentum
        self._weight_decay = weight_decay

    def coefficients(self, rates: Floats, first_step: int) -> Tensor:
        """``(count, 1, lanes)`` float32: the rates."""
        return rates_alone(rates)

    def updated(
        self, parameter: Tensor, slots: Mapping[str, Tensor], gradient: Tensor, coefficients: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The parameter ``(lanes, ...)``, the mean of squares and the buffer after one step."""
        gradient = with_weight_decay(gradient, parameter, self._weight_decay)
        rate = by_lane(coefficients[0], parameter)
        square = slots[_SQUARE] * self._alpha + gradient * gradient * (1 - self._alpha)
        direction = gradient / (square.sqrt() + self._eps)
        if not self._momentum:
            return parameter - rate * direction, {_SQUARE: square}
        buffer = slots[_BUFFER] * self._momentum + direction
        return parameter - rate * buffer, {_SQUARE: square, _BUFFER: buffer}
