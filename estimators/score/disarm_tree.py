"""DisARM on a binary tree, for categorical variables.

The categories are the leaves of a balanced binary tree. A node goes right with probability p, the mass of its
right leaves over that of all its leaves, and a category is the path of the decisions from the root. All nodes
have antithetic uniform numbers, which give paths z and z'. The gradient for a node's logit is

    (1/2) (f - f') (b - b') max(p, 1 - p)    on both paths (the DisARM term)
    (1/2) (f - f') (b - p)                   only on the path of z
    -(1/2) (f - f') (b' - p)                 only on the path of z'
    0                                        on neither

and reaches theta through the derivative of the node logits, log mass(right) - log mass(left), averaged over
K/2 independent pairs.

The tree has 2^depth places, over which the n categories are spread evenly. An empty place or a masked
category has mass zero: the decision before it is certain, and contributes nothing.

Properties: unbiased; no gradient of f; any n. The order of the categories changes the variance.
Cost: K evaluations of f.
Source: Dong, Mnih, Tucker, "Coupled Gradient Estimators for Discrete Latent Variables", 2021.
Shapes: ``...`` lanes and batch, V variables, n categories, K samples, in pairs, P = 2^depth places.
"""

from __future__ import annotations

import torch
from torch import Tensor

from estimators._binary import antithetic_bits, half_difference, in_float64
from estimators._checks import check_parameters
from estimators._noise import uniform
from estimators._score import evaluate, make_estimate, variable_log_probabilities
from estimators._types import Estimate, Noise, Objective


def disarm_tree(
    logits: Tensor, objective: Objective, *, num_samples: int = 2, generator: Noise = None
) -> Estimate:
    """Estimate the gradient of E[f(D)] from pairs of samples that are antithetic in every decision.

    Args:
        logits: ``(..., V, n)``, float16, bfloat16, float32 or float64; -inf masks a category.
        objective: f, maps samples ``(K, ..., V, n)`` to values ``(K, ...)``.
        num_samples: K, an even number. Samples k and k + K/2 are a pair.
        generator: source of noise, K ceil(log2 n) uniform numbers per variable.

    Raises:
        TypeError: logits of another dtype; a parameter that is no number.
        ValueError: ``num_samples`` odd or below 2; values of a wrong shape; a variable with all categories
            masked (eager mode on the CPU).
    """
    check_parameters("disarm_tree", num_samples=num_samples)
    log_p = variable_log_probabilities(logits)
    place = places(log_p.shape[-1], log_p.device)
    levels = tree(log_p, place)
    shape = (*log_p.shape[:-1], len(levels), 2, num_samples // 2)
    u = uniform(shape, generator, dtype=torch.float64, device=log_p.device).movedim(-1, 0)
    nodes, bits, leaf = _descend(levels, u, log_p)
    samples = (leaf.unsqueeze(-1) == place).to(log_p.dtype)
    values = evaluate(objective, samples, logits)
    difference = half_difference(values.detach().to(log_p.dtype)).unsqueeze(-1)
    gradient = log_p.new_zeros((*log_p.shape[:-1], 1))
    for level, node, bit in zip(levels, nodes, bits, strict=True):
        gradient = _to_children(level, gradient, _node_gradient(level, node, bit, difference))
    return make_estimate(
        logits, gradient[..., place], samples=samples, values=values, evaluations=num_samples
    )


def places(n: int, device: torch.device) -> Tensor:
    """Place of every category among the leaves: halves of any subtree differ by at most one category."""
    return torch.arange(n, device=device) * _size(n) // n


def _size(n: int) -> int:
    return 1 << (n - 1).bit_length()


def tree(log_p: Tensor, place: Tensor) -> list[Tensor]:
    """Probabilities to go left and right, ``(..., V, 2^level, 2)``, from the root down.

    A node that cannot be reached goes nowhere, with probabilities 0 and 0.
    """
    mass = log_p.new_full((*log_p.shape[:-1], _size(log_p.shape[-1])), -torch.inf)
    mass[..., place] = log_p
    levels = []
    while mass.shape[-1] > 1:
        children = mass.unflatten(-1, (-1, 2))
        mass = torch.logaddexp(children[..., 0], children[..., 1])
        levels.append((children - mass.masked_fill(mass.isneginf(), 0.0).unsqueeze(-1)).exp())
    return levels[::-1]


def _descend(levels: list[Tensor], u: Tensor, log_p: Tensor) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """Nodes visited and decisions taken at every level, and the leaf reached, ``(K, ..., V)`` each.

    Two numbers per level are enough. While z and z' visit the same node its number serves both,
    antithetically; once they have parted they visit different nodes, whose numbers are independent.
    """
    nodes, bits = [], []
    node = torch.zeros((2 * len(u), *log_p.shape[:-1]), dtype=torch.long, device=log_p.device)
    for level, p in enumerate(levels):
        first, second = node.chunk(2)
        u_prime = torch.where(first == second, u[..., level, 0], u[..., level, 1])
        (off, on), (off_prime, on_prime) = _at(p, first), _at(p, second)
        off, on = in_float64(off, on), in_float64(on_prime, off_prime)
        bit = antithetic_bits(off, on, u[..., level, 0], u_prime)
        nodes.append(node)
        bits.append(bit)
        node = 2 * node + bit
    return nodes, bits, node


def _at(level: Tensor, node: Tensor) -> tuple[Tensor, Tensor]:
    """Probabilities to go left and right at ``node``, ``(K/2, ..., V)``."""
    left, right = (side.expand(*node.shape, -1).gather(-1, node.unsqueeze(-1)) for side in level.unbind(-1))
    return left.squeeze(-1), right.squeeze(-1)


def _node_gradient(level: Tensor, node: Tensor, bit: Tensor, difference: Tensor) -> Tensor:
    """Gradient for the node logits of a level, ``(..., V, 2^level)``, the mean over pairs."""
    (first, second), (b, b_prime) = node.chunk(2), bit.to(level.dtype).chunk(2)
    (off, on), (_, on_prime) = _at(level, first), _at(level, second)
    together = first == second
    signal = torch.where(together, (b - b_prime) * torch.maximum(off, on), b - on)
    signal_prime = torch.where(together, 0.0, on_prime - b_prime)
    terms = torch.cat([difference * signal, difference * signal_prime]).movedim(0, -1)
    h = level.new_zeros(level.shape[:-1])
    return h.scatter_add_(-1, node.movedim(0, -1), terms) / len(first)


def _to_children(level: Tensor, parent: Tensor, h: Tensor) -> Tensor:
    """Pass on what the ancestors give to a subtree, in proportion to mass, and add what the node gives."""
    return (level * parent.unsqueeze(-1) + torch.stack([-h, h], -1)).flatten(-2)
