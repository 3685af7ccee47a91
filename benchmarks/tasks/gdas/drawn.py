r"""Operations on the edges of a cell: all five, or the one that is drawn.

Nodes are ``(B, G, C, H, W)``: B images in each of G networks, side by side (a lane's, or a sample's of a
lane), with weights and statistics of their own. An edge's operations are

    none    0
    skip    x
    1x1, 3x3    BN(conv(relu(x))), statistics of the minibatch, no affine part
    pool    mean of the 3x3 pixels around, those outside not counted

On a CPU the operation that is drawn is the only one that is computed: an operator of our own looks at the
draw, as every operator that takes indices does, and nothing else waits for it or depends on it. On an
accelerator that would stall the device; there all are computed and those not drawn get weight 0, which has
the same value and gradient.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.tasks.gdas.cells import CONVOLUTION_1, CONVOLUTION_3, NONE, OPERATIONS, POOL, SKIP
from estimators.building_blocks import apply

EPS = 1e-5
"""Added to variances."""


class Weights(NamedTuple):
    """Convolutions of E edges: 1x1 and 3x3, ``(G, E, C, C, k, k)``, with biases ``(G, E, C)``.

    A bias has no effect before a batch norm; NATS-Bench has it, and counts it.
    """

    one: Tensor
    one_bias: Tensor
    three: Tensor
    three_bias: Tensor


def convolved(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, stride: int = 1) -> Tensor:
    """Convolution of every network's images ``(B, G, i, H, W)`` by its weight ``(G, o, i, k, k)``."""
    y = functional.conv2d(
        x.flatten(1, 2),
        weight.flatten(0, 1),
        None if bias is None else bias.flatten(),
        stride=stride,
        padding=weight.shape[-1] // 2,
        groups=weight.shape[0],
    )
    return y.view(len(x), *weight.shape[:2], *y.shape[2:])


def normalised(x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    """Batch norm of ``(B, G, C, H, W)`` by each network's own statistics; affine parts ``(G, C)``."""
    y = functional.batch_norm(
        x.flatten(1, 2),
        None,
        None,
        None if weight is None else weight.flatten(),
        None if bias is None else bias.flatten(),
        training=True,
        eps=EPS,
    )
    return y.view_as(x)


def pooled(x: Tensor) -> Tensor:
    """Mean of the 3x3 pixels around each, ``(B, G, C, H, W)``."""
    y = functional.avg_pool2d(x.flatten(1, 2), 3, stride=1, padding=1, count_include_pad=False)
    return y.view_as(x)


def mixed(x: Tensor, weights: Weights, places: Tensor) -> Tensor:
    """All operations of E edges that leave a node, weighted: ``(B, G, E, C, H, W)``.

    Args:
        x: the node.
        weights: of the edges.
        places: weights of the operations, ``(G, E, 5)``.
    """
    positive, shape = x.relu(), (*places.shape[:2], *x.shape[2:])
    one, three = (
        normalised(convolved(positive, weight.flatten(1, 2), bias.flatten(1, 2))).unflatten(1, shape[:1])
        for weight, bias in ((weights.one, weights.one_bias), (weights.three, weights.three_bias))
    )
    d = places[..., None, None, None].unbind(2)
    one, three = (y.view(len(x), *shape) for y in (one, three))
    result: Tensor = (
        d[SKIP] * x.unsqueeze(2)
        + d[CONVOLUTION_1] * one
        + d[CONVOLUTION_3] * three
        + d[POOL] * pooled(x).unsqueeze(2)
    )
    return result


def drawn(x: Tensor, weights: Weights, choice: Tensor) -> Tensor:
    """The operation that is drawn of every edge that leaves a node: ``(B, G, E, C, H, W)``.

    Args:
        x: the node.
        weights: of the edges.
        choice: the numbers of the operations ``(G, E)``.
    """
    if x.device.type != "cpu":
        return mixed(x, weights, one_hot(choice, like=x))
    each = zip(*(tensor.unbind(1) for tensor in (*weights, choice)), strict=True)
    edges = [apply(_Drawn, x, *edge) for edge in each]
    return torch.stack(edges, 2) if len(edges) > 1 else edges[0].unsqueeze(2)


def one_hot(index: Tensor, *, like: Tensor) -> Tensor:
    """``(...)`` to ``(..., 5)`` of the dtype of ``like``; torch's own reads the indices on a CPU."""
    return (index.unsqueeze(-1) == torch.arange(len(OPERATIONS), device=index.device)).to(like.dtype)


class _Drawn(torch.autograd.Function):
    """One edge: x, its four weights without the axis of edges, and the choice ``(G,)``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *arguments: Tensor) -> Tensor:
        *weights, choice = arguments
        y, scale = torch.ops.heunboard.drawn.default(x, *weights, choice)
        ctx.save_for_backward(x, *weights, choice, y, scale)
        result: Tensor = y
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (g,) = gradients
        x, one, one_bias, three, three_bias, choice, y, scale = ctx.saved_tensors
        if torch.is_grad_enabled():  # some estimators differentiate twice
            return _differentiable(ctx, g, (x, one, one_bias, three, three_bias), choice)
        of_x, of_weights = ctx.needs_input_grad[:2]
        found = torch.ops.heunboard.drawn_backward.default(
            g, x, one, three, choice, y, scale, of_x, of_weights
        )
        if not of_weights:
            return (found[0], None, None, None, None, None)
        zero = torch.zeros_like(one_bias)  # the batch norm takes a bias out again
        return (found[0] if of_x else None, found[1], zero, found[2], zero, None)


def _differentiable(
    ctx: Any, g: Tensor, inputs: tuple[Tensor, ...], choice: Tensor
) -> tuple[Tensor | None, ...]:
    """The gradient by operations that have one themselves: those of all five."""
    x, *weights = inputs
    edges = Weights(*(tensor.unsqueeze(1) for tensor in weights))
    y = mixed(x, edges, one_hot(choice, like=x).unsqueeze(1)).squeeze(2)
    wanted = [tensor for tensor, needed in zip(inputs, ctx.needs_input_grad, strict=False) if needed]
    found = iter(torch.autograd.grad(y, wanted, g, create_graph=True))
    return (*(next(found) if needed else None for needed in ctx.needs_input_grad[:5]), None)


_OPERATORS = torch.library.Library("heunboard", "FRAGMENT")
_OPERATORS.define(
    "drawn(Tensor x, Tensor one, Tensor one_bias, Tensor three, Tensor three_bias, Tensor choice)"
    " -> (Tensor, Tensor)"
)
_OPERATORS.define(
    "drawn_backward(Tensor g, Tensor x, Tensor one, Tensor three, Tensor choice, Tensor y, Tensor scale,"
    " bool of_x, bool of_weights) -> (Tensor, Tensor, Tensor)"
)


@torch.library.impl(_OPERATORS, "drawn", "CPU")
def _drawn(
    x: Tensor, one: Tensor, one_bias: Tensor, three: Tensor, three_bias: Tensor, choice: Tensor
) -> tuple[Tensor, Tensor]:
    """Outputs ``(B, G, C, H, W)``, and 1 / sd of what a batch norm was given, ``(G, C)``."""
    networks = [
        _operation(k, x[:, i], Weights(one[i], one_bias[i], three[i], three_bias[i]))
        for i, k in enumerate(choice.tolist())
    ]
    return torch.stack([y for y, _ in networks], 1), torch.stack([scale for _, scale in networks])


def _operation(k: int, x: Tensor, weights: Weights) -> tuple[Tensor, Tensor]:
    """An operation on one network's images ``(B, C, H, W)``."""
    no_scale = x.new_zeros(x.shape[1])
    if k == NONE:
        return torch.zeros_like(x), no_scale
    if k == SKIP:
        return x, no_scale
    if k == POOL:
        return functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False), no_scale
    weight, bias = (
        (weights.one, weights.one_bias) if k == CONVOLUTION_1 else (weights.three, weights.three_bias)
    )
    z = functional.conv2d(x.relu(), weight, bias, padding=weight.shape[-1] // 2)
    y, _, scale = torch.native_batch_norm(z, None, None, None, None, True, 0.0, EPS)
    return y, scale


@torch.library.impl(_OPERATORS, "drawn_backward", "CPU")
def _drawn_backward(
    g: Tensor,
    x: Tensor,
    one: Tensor,
    three: Tensor,
    choice: Tensor,
    y: Tensor,
    scale: Tensor,
    of_x: bool,
    of_weights: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x and both weights; those not wanted are zeros."""
    gradients = torch.zeros_like(x), torch.zeros_like(one), torch.zeros_like(three)
    for i, k in enumerate(choice.tolist()):
        at_x = gradients[0][:, i]
        if k == SKIP:
            at_x.copy_(g[:, i])
        elif k == POOL:
            at_x.copy_(
                torch.ops.aten.avg_pool2d_backward(
                    g[:, i], x[:, i], [3, 3], [1, 1], [1, 1], False, False, None
                )
            )
        elif k != NONE:
            weight, of_weight = (one, gradients[1]) if k == CONVOLUTION_1 else (three, gradients[2])
            wanted = [of_x, of_weights, False]
            found = _convolution_backward(g[:, i], x[:, i], weight[i], y[:, i], scale[i], wanted)
            if of_x:
                at_x.copy_(found[0])
            if of_weights:
                of_weight[i].copy_(found[1])
    return gradients


def _convolution_backward(
    g: Tensor, x: Tensor, weight: Tensor, y: Tensor, scale: Tensor, wanted: list[bool]
) -> tuple[Tensor, Tensor]:
    """Gradients of BN(conv(relu(x))) by x and the weight, of one network.

    The batch norm's follows from its output y, which has mean 0 and variance 1:
    scale (g - mean g - y mean(g y)).
    """
    zero, unit = torch.zeros_like(scale), torch.ones_like(scale)
    normal = torch.ops.aten.native_batch_norm_backward(
        g, y, scale, None, None, zero, unit, True, EPS, [True, False, False]
    )[0]
    positive, edge = x.relu(), weight.shape[-1] // 2
    of_x, of_weight, _ = torch.ops.aten.convolution_backward(
        normal, positive, weight, None, [1, 1], [edge, edge], [1, 1], False, [0, 0], 1, wanted
    )
    return of_x * (x > 0) if wanted[0] else of_x, of_weight


@torch.library.impl(_OPERATORS, "drawn", "Meta")
def _shapes(x: Tensor, *arguments: Tensor) -> tuple[Tensor, Tensor]:
    return torch.empty_like(x, memory_format=torch.contiguous_format), x.new_empty(x.shape[1:3])


@torch.library.impl(_OPERATORS, "drawn_backward", "Meta")
def _shapes_of_gradients(g: Tensor, x: Tensor, one: Tensor, three: Tensor, *arguments: Any) -> Any:
    return torch.empty_like(x), torch.empty_like(one), torch.empty_like(three)
