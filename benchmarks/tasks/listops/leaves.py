r"""Leaves: the states of an LSTM that reads a sequence from left to right.

    g, i, f, o = x_t + U h_{t-1}
    c_t = sigmoid(f) c_{t-1} + sigmoid(i) tanh(g)
    h_t = sigmoid(o) tanh(c_t)

with h_0 = c_0 = 0. The backward pass is written out so that the gradient of U is one matmul and not one for
every place.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from estimators.building_blocks import apply

GATES = 4


def read(inputs: Tensor, recurrent: Tensor) -> Tensor:
    """States after every symbol.

    Args:
        inputs: x, what symbols and biases contribute to the gates, ``(lanes, n, B, 4 H)``.
        recurrent: U, ``(lanes, 4 H, H)``.

    Returns:
        h and c side by side, ``(lanes, n, B, 2 H)``.
    """
    return apply(_Lstm, inputs, recurrent)


class _Lstm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, recurrent: Tensor) -> Tensor:
        lanes, places, rows, _ = inputs.shape
        width = recurrent.shape[-1]
        gates = torch.empty_like(inputs)
        nodes = inputs.new_empty(lanes, places, rows, 2 * width)
        h = c = inputs.new_zeros(lanes, rows, width)
        transposed = recurrent.mT
        for place in range(places):
            z = torch.baddbmm(inputs[:, place], h, transposed)
            z[..., :width].tanh_()
            z[..., width:].sigmoid_()
            g, i, f, o = z.chunk(GATES, -1)
            c = torch.addcmul(i * g, f, c)
            h = o * c.tanh()
            gates[:, place] = z
            nodes[:, place] = torch.cat([h, c], -1)
        ctx.save_for_backward(recurrent, gates, nodes)
        return nodes

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, of_nodes: Tensor) -> tuple[Tensor, Tensor]:
        recurrent, gates, nodes = ctx.saved_tensors
        width = recurrent.shape[-1]
        before = torch.cat([torch.zeros_like(nodes[:, :1]), nodes[:, :-1]], 1)
        of_inputs = _back(_slopes(gates, nodes, before), gates, recurrent, of_nodes)
        h_before = before[..., :width].flatten(1, 2)
        return of_inputs, of_inputs.flatten(1, 2).mT @ h_before


def _slopes(gates: Tensor, nodes: Tensor, before: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What dL/dc is multiplied with for g, i, f; what dL/dh is for o; and to become a part of dL/dc."""
    width = nodes.shape[-1] // 2
    g, i, _, o = gates.chunk(GATES, -1)
    tanh_c = nodes[..., width:].tanh()
    sigmoids = gates[..., width:]
    slopes = sigmoids * (1 - sigmoids)
    inputs = torch.cat([g, before[..., width:]], -1)
    of_c = torch.cat([i * (1 - g.square()), inputs * slopes[..., : 2 * width]], -1)
    return of_c, tanh_c * slopes[..., 2 * width :], o * (1 - tanh_c.square())


def _back(
    slopes: tuple[Tensor, Tensor, Tensor], gates: Tensor, recurrent: Tensor, of_nodes: Tensor
) -> Tensor:
    """dL/dinputs, from the last place to the first."""
    (for_inputs, for_o, into_c), width = slopes, recurrent.shape[-1]
    lanes, places, rows, _ = gates.shape
    forget = gates[..., 2 * width : 3 * width]
    of_inputs = torch.empty_like(gates)
    h = c = gates.new_zeros(lanes, rows, width)
    for place in reversed(range(places)):
        h = h + of_nodes[:, place, :, :width]
        c = torch.addcmul(c + of_nodes[:, place, :, width:], h, into_c[:, place])
        z = torch.cat([torch.cat([c, c, c], -1) * for_inputs[:, place], h * for_o[:, place]], -1)
        of_inputs[:, place] = z
        h, c = z @ recurrent, c * forget[:, place]
    return of_inputs
