r"""The cell that makes a parent of two neighbours, with its derivative written out.

    g, i, f_left, f_right, o = W_left h_left + W_right h_right + b
    c = sigmoid(f_left + 1) c_left + sigmoid(f_right + 1) c_right + sigmoid(i) tanh(g)
    h = sigmoid(o) tanh(c)

Tensors of a cell have the gates side by side on their last axis, ``5 H``, in this order. Source: Tai, Socher
and Manning, "Improved Semantic Representations From Tree-Structured Long Short-Term Memory Networks", 2015.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

GATES = 5
FORGET_SHIFT = 1.0
"""What is added to both forget gates, besides their bias."""


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Cells that have been computed.

    Attributes:
        gates: after their sigmoid or tanh, ``(..., 5 H)``.
        tanh_c: of the parents' c, ``(..., H)``.
        parents: h and c side by side, ``(..., 2 H)``.
    """

    gates: Tensor
    tanh_c: Tensor
    parents: Tensor


def cells(gates: Tensor, c_left: Tensor, c_right: Tensor) -> Cells:
    """Cells of sums of both halves, the bias and the shift of the forget gates in them.

    Args:
        gates: ``(..., 5 H)``; overwritten.
        c_left, c_right: ``(..., H)``.
    """
    width = c_left.shape[-1]
    gates[..., :width].tanh_()
    gates[..., width:].sigmoid_()
    g, i, f_left, f_right, o = gates.chunk(GATES, -1)
    c = torch.addcmul(torch.addcmul(i * g, f_left, c_left), f_right, c_right)
    tanh_c = c.tanh()
    return Cells(gates, tanh_c, torch.cat([o * tanh_c, c], -1))


@dataclass(frozen=True, slots=True, eq=False)
class Slopes:
    """Derivatives of cells, as factors of dL/dh and dL/dc of their parents.

    Attributes:
        of_c: what dL/dc is multiplied with for g, i, f_left, f_right, ``(..., 4 H)``.
        of_h: what dL/dh is multiplied with for o, and to become a part of dL/dc, ``(..., 2 H)``.
        forget: f_left and f_right, ``(..., 2 H)``.
    """

    of_c: Tensor
    of_h: Tensor
    forget: Tensor

    @classmethod
    def of(cls, done: Cells, c_left: Tensor, c_right: Tensor) -> Slopes:
        """Of these cells."""
        width = c_left.shape[-1]
        g, i, f_left, f_right, o = done.gates.chunk(GATES, -1)
        sigmoids = done.gates[..., width:]
        slopes = sigmoids * (1 - sigmoids)
        inputs = torch.cat([g, c_left, c_right], -1)
        return cls(
            of_c=torch.cat([i * (1 - g.square()), inputs * slopes[..., : 3 * width]], -1),
            of_h=torch.cat([done.tanh_c * slopes[..., 3 * width :], o * (1 - done.tanh_c.square())], -1),
            forget=torch.cat([f_left, f_right], -1),
        )

    def select(self, rows: Tensor) -> Slopes:
        """Those of some rows of two axes."""
        return Slopes(*(part.index_select(0, rows) for part in (self.of_c, self.of_h, self.forget)))

    def back(self, of_h: Tensor, of_c: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """dL/dgates before sigmoid and tanh ``(..., 5 H)``, and dL/dc of both children, side by side.

        Args:
            of_h: dL/dh of the parents.
            of_c: dL/dc of the parents; ``None`` for zero.
        """
        of_o, part = (self.of_h * torch.cat([of_h, of_h], -1)).chunk(2, -1)
        of_c = part if of_c is None else of_c + part
        twice = torch.cat([of_c, of_c], -1)
        gates = torch.cat([torch.cat([twice, twice], -1) * self.of_c, of_o], -1)
        return gates, twice * self.forget
