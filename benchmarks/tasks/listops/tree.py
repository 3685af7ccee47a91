r"""A tree over the leaves of a sequence, grown by merging one pair of neighbours at a time.

Of m nodes every pair of neighbours has a candidate parent (:mod:`benchmarks.tasks.listops.cell`) with score
<query, h> / sqrt(H), and one pair D is drawn from the softmax of the scores. With a node x = [h; c], parent
p_j of x_j and x_{j+1}, and R_j = D_0 + ... + D_j,

    x'_j = D_j p_j + (1 - R_j) x_j + (R_j - D_j) x_{j+1}

so that nodes left of the pair stay and those right of it move up. Of a sequence of l leaves among n places,
the pair j can be chosen at merge t where j + t + 1 < l; a finished sequence gets equal scores and keeps its
node. The last merge has one pair only.

If D is one-hot, most nodes, pairs and scores are those of the merge before, and only one node and two pairs
are new. A gradient cannot be had by keeping them in a graph: that of D_j is <p_j - x_{j+1}, G_j> + sum over
i >= j of <x_{i+1} - x_i, G_i>, where G_j = dL/dx'_j has what later merges sent back and nothing else. So the
backward pass is written out. It goes from merge to merge with G, which changes by

    dL/dscore_j  d score_j / d(x_j, x_{j+1})    for every pair
    (dp / d(x_j, x_{j+1}))^T G_j                for the chosen one

The first derivative of a pair stays the same as long as the pair does, and is computed once; the second is
one matmul for one pair a sequence. In all a sequence of l leaves costs about 9 l matmuls of a row with W,
where candidates made anew at every merge cost 3 l^2 / 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from benchmarks.tasks.listops.cell import FORGET_SHIFT, GATES, Cells, Slopes, cells
from estimators.building_blocks import apply

Choose = Callable[[Tensor], Tensor]
"""Logits ``(lanes, B, pairs)`` to one draw of each row."""


@dataclass(frozen=True, slots=True, eq=False)
class Composition:
    """What parents and scores are made with.

    Attributes:
        weight: W_left and W_right side by side, ``(lanes, 5 H, 2 H)``.
        bias: ``(lanes, 5 H)``.
        query: ``(lanes, H)``.
    """

    weight: Tensor
    bias: Tensor
    query: Tensor


def root(nodes: Tensor, length: Tensor, composition: Composition, choose: Choose, *, hard: bool) -> Tensor:
    """h of the root of every sequence, ``(lanes, B, H)``.

    Args:
        nodes: leaves, h and c side by side, ``(lanes, n, B, 2 H)``; behind a sequence's end anything finite.
        length: leaves of every sequence, ``(lanes, B)``, from 1 to n.
        composition: what parents are made with.
        choose: who chooses; the gradient of what it returns goes through its logits.
        hard: whether choices are exactly one-hot.
    """
    if nodes.shape[1] == 1:
        return nodes[:, 0, :, : nodes.shape[-1] // 2]
    if not hard:
        return mixed_root(nodes, length, composition, choose)
    c = composition
    return apply(_Grown, nodes, c.weight, c.bias, c.query, length, choose)


def allowed(length: Tensor, merge: int, pairs: int) -> tuple[Tensor, Tensor]:
    """Which pairs can be chosen ``(lanes, B, pairs)``, and what stands in the place of other scores."""
    left = (length - merge).unsqueeze(-1)
    legal = torch.arange(pairs, device=length.device) < left - 1
    return legal, torch.where(left < 2, 0.0, -torch.inf)


def mixed_root(nodes: Tensor, length: Tensor, composition: Composition, choose: Choose) -> Tensor:
    """The root by the equations as they stand, for choices that are mixtures."""
    x = nodes.transpose(1, 2)
    width = x.shape[-1] // 2
    for merge in range(x.shape[2] - 1):
        here, following = x[:, :, :-1], x[:, :, 1:]
        parents = _parents(composition, here, following)
        if parents.shape[2] == 1:
            chosen = torch.ones_like(parents[..., :1])
        else:
            scores = (parents[..., :width] * composition.query[:, None, None]).sum(-1) / math.sqrt(width)
            legal, other = allowed(length, merge, scores.shape[-1])
            chosen = choose(torch.where(legal, scores, other.to(scores.dtype))).unsqueeze(-1)
        reached = chosen.cumsum(2)
        merged = chosen * parents + (1 - reached) * here + (reached - chosen) * following
        x = torch.where((length - merge > 1)[..., None, None], merged, here)
    return x[:, :, 0, :width]


def _parents(composition: Composition, here: Tensor, following: Tensor) -> Tensor:
    """Candidate parents of nodes ``(lanes, B, m, 2 H)`` and those to their right."""
    width = here.shape[-1] // 2
    children = torch.cat([here[..., :width], following[..., :width]], -1)
    bias = _shifted(composition.bias)[:, None, None]
    g, i, f_left, f_right, o = (
        (children.flatten(1, 2) @ composition.weight.mT).view(*here.shape[:-1], -1) + bias
    ).chunk(GATES, -1)
    kept = f_left.sigmoid() * here[..., width:] + f_right.sigmoid() * following[..., width:]
    c = kept + i.sigmoid() * g.tanh()
    return torch.cat([o.sigmoid() * c.tanh(), c], -1)


def _shifted(bias: Tensor) -> Tensor:
    """The bias, and the shift of the forget gates."""
    width = bias.shape[-1] // GATES
    shift = torch.zeros_like(bias)
    shift[..., 2 * width : 4 * width] = FORGET_SHIFT
    return bias + shift


@dataclass(frozen=True, slots=True, eq=False)
class _Choice:
    """One merge of all sequences.

    Attributes:
        logits: ``(lanes, B, pairs)``, a leaf of the graph of ``draw``.
        draw: what was chosen, likewise.
        legal: which pairs could be, likewise.
        place: of the chosen pair, ``(lanes, B, 1)``.
        pairs: rows of all pairs, ``(lanes, B, pairs)``.
        pair: row of the chosen one, ``(lanes, B)``.
    """

    logits: Tensor
    draw: Tensor
    legal: Tensor
    place: Tensor
    pairs: Tensor
    pair: Tensor


@dataclass(slots=True, eq=False)
class _History:
    """What was made in the order it was made; pieces have the axes (lanes, number, B).

    Nodes and pairs are numbered in the order they are made, leaves and pairs of leaves first. A row is the
    place of a node or pair of one sequence when lanes, numbers and B are one axis.

    Attributes:
        nodes: all nodes, and a last one that stands beside the first and the last of a sequence.
        done: cells of pairs.
        left, right: rows of their nodes.
        choices: merges, but for the last.
        last: row of the pair of the last merge, ``(lanes, B)``.
        merges_last: whether the sequence has a last merge, likewise.
    """

    nodes: Tensor
    done: list[Cells] = field(default_factory=list)
    left: list[Tensor] = field(default_factory=list)
    right: list[Tensor] = field(default_factory=list)
    choices: list[_Choice] = field(default_factory=list)
    last: Tensor | None = None
    merges_last: Tensor | None = None


class _Growth:
    """The merges of all sequences.

    Args:
        leaves: ``(lanes, n, B, 2 H)``.
        composition: what parents are made with.
        keep: whether what a backward pass needs is kept.
    """

    def __init__(self, leaves: Tensor, composition: Composition, *, keep: bool) -> None:
        self._lanes, self._places, self._rows, double = leaves.shape
        self._width, self._keep = double // 2, keep
        gates = GATES * self._width
        # the half of a pair that its right node makes, bias included, and the half that its left node makes
        halves = composition.weight.unflatten(-1, (2, self._width)).flip(2).permute(0, 3, 2, 1)
        self._weight = halves.reshape(self._lanes, self._width, 2 * gates)
        self._bias = torch.cat([_shifted(composition.bias), torch.zeros_like(composition.bias)], -1)
        self._query = composition.query.unsqueeze(-1) / math.sqrt(self._width)
        self._numbers = 2 * self._places - 1, 3 * self._places - 5 if self._places > 2 else 1
        self._nodes = leaves.new_zeros(self._lanes, self._numbers[0], self._rows, double)
        self._halves = leaves.new_zeros(self._lanes, self._numbers[0], self._rows, 2, gates + self._width)
        self._parents = leaves.new_empty(self._lanes, self._numbers[1], self._rows, double)
        self._scores = leaves.new_empty(self._lanes, self._numbers[1], self._rows)
        self.history = _History(self._nodes)
        self._order = self._start(leaves)

    def _rows_of(self, kind: int, numbers: Tensor) -> Tensor:
        """Rows ``(lanes, *numbers, B)`` of nodes (kind 0) or pairs (kind 1)."""
        lane = torch.arange(self._lanes, device=numbers.device).view(-1, *[1] * (numbers.dim() + 1))
        place = lane * self._numbers[kind] + numbers.unsqueeze(-1)
        return place * self._rows + torch.arange(self._rows, device=numbers.device)

    def _start(self, leaves: Tensor) -> Tensor:
        """Leaves and their pairs; rows of both from left to right, ``(lanes, B, 2, n + 2)``."""
        count, width = self._places, self._width
        self._add_nodes(slice(0, count), leaves)
        halves = self._halves[:, :count]
        gates = halves[:, :-1, :, 1, :-width] + halves[:, 1:, :, 0, :-width]
        numbers = torch.arange(count, device=leaves.device)
        nodes, pairs = self._rows_of(0, numbers), self._rows_of(1, numbers)
        c = leaves[..., width:]
        self._add_pairs(slice(0, count - 1), gates, (c[:, :-1], c[:, 1:]), (nodes[:, :-1], nodes[:, 1:]))
        self._aside = self._rows_of(0, numbers.new_full((1,), self._numbers[0] - 1))
        inner = torch.stack([nodes, pairs], 1)
        edge = self._aside.unsqueeze(1).expand(-1, 2, -1, -1)
        return torch.cat([edge, inner, edge], 2).permute(0, 3, 1, 2)

    def _add_nodes(self, numbers: slice, nodes: Tensor) -> Tensor:
        """Keep nodes ``(lanes, count, B, 2 H)`` and their halves of pairs; returns the latter."""
        h, c = nodes.chunk(2, -1)
        rows = h.reshape(self._lanes, -1, self._width)
        halves = torch.baddbmm(self._bias.unsqueeze(1), rows, self._weight)
        halves = halves.view(*h.shape[:-1], 2, -1)
        self._nodes[:, numbers] = nodes
        self._halves[:, numbers, ..., : -self._width] = halves
        self._halves[:, numbers, ..., -self._width :] = c.unsqueeze(-2)
        return halves

    def _add_pairs(
        self, numbers: slice, gates: Tensor, c: tuple[Tensor, Tensor], rows: tuple[Tensor, Tensor]
    ) -> None:
        """Keep pairs ``(lanes, count, B)``: their parents and scores."""
        done = cells(gates, *c)
        h = done.parents[..., : self._width].reshape(self._lanes, -1, self._width)
        self._parents[:, numbers] = done.parents
        self._scores[:, numbers] = (h @ self._query).view(done.parents.shape[:-1])
        if self._keep:
            self.history.done.append(done)
            self.history.left.append(rows[0])
            self.history.right.append(rows[1])

    def run(self, length: Tensor, choose: Choose) -> Tensor:
        """All merges; h of the roots ``(lanes, B, H)``."""
        for merge in range(self._places - 2):
            self._merge(merge, length, choose)
        history, order = self.history, self._order
        history.last, history.merges_last = order[:, :, 1, 1], length == self._places
        parents, nodes = self._parents.flatten(0, 2), self._nodes.flatten(0, 2)
        merged = parents.index_select(0, history.last.flatten()).view(self._lanes, self._rows, -1)
        single = nodes.index_select(0, order[:, :, 0, 1].flatten()).view_as(merged)
        return torch.where(history.merges_last.unsqueeze(-1), merged, single)[..., : self._width]

    def _merge(self, merge: int, length: Tensor, choose: Choose) -> None:
        """Choose a pair of every sequence; in finished ones one behind their end."""
        pairs = self._order[:, :, 1, 1:-2]
        scores = self._scores.flatten().index_select(0, pairs.flatten()).view(pairs.shape)
        legal, other = allowed(length, merge, pairs.shape[-1])
        logits = torch.where(legal, scores, other.to(scores.dtype))
        if self._keep:
            with torch.enable_grad():
                draw = choose(logits.requires_grad_())
        else:
            draw = choose(logits)
        first = draw.detach().argmax(-1, keepdim=True)
        place = torch.where(legal[..., :1], first, pairs.shape[-1] - 1)
        pair = pairs.gather(-1, place).squeeze(-1)
        if self._keep:
            self.history.choices.append(_Choice(logits, draw, legal, place, pairs, pair))
        self._grow(merge, place, pair)

    def _grow(self, merge: int, place: Tensor, pair: Tensor) -> None:
        """The chosen parents become nodes, with pairs of their own."""
        lanes, rows, width = self._lanes, self._rows, self._width
        beside = self._order[:, :, 0].gather(-1, place + place.new_tensor([0, 3]))  # (lanes, B, 2)
        parents = self._parents.flatten(0, 2).index_select(0, pair.flatten()).view(lanes, 1, rows, -1)
        number = self._places + merge
        mine = self._add_nodes(slice(number, number + 1), parents).squeeze(1).transpose(1, 2)
        halves = 2 * beside.transpose(1, 2) + beside.new_tensor([[1], [0]])
        other = self._halves.flatten(0, 3).index_select(0, halves.flatten()).view(lanes, 2, rows, -1)
        c_other, c_mine = other[..., -width:], parents[..., width:]
        c = torch.cat([c_other[:, :1], c_mine], 1), torch.cat([c_mine, c_other[:, 1:]], 1)
        new = self._rows_of(0, place.new_full((1,), number))
        side = beside.transpose(1, 2)
        children = torch.cat([side[:, :1], new], 1), torch.cat([new, side[:, 1:]], 1)
        number = self._places - 1 + 2 * merge
        self._add_pairs(slice(number, number + 2), other[..., :-width] + mine, c, children)
        made = self._rows_of(1, torch.arange(number, number + 2, device=place.device)).transpose(1, 2)
        self._order = _moved_up(self._order, place, new.transpose(1, 2), made)


def _moved_up(order: Tensor, place: Tensor, node: Tensor, pairs: Tensor) -> Tensor:
    """Rows from left to right after a merge.

    Args:
        order: before it ``(lanes, B, 2, m + 2)``.
        place: of the chosen pair ``(lanes, B, 1)``.
        node: row of the new node, likewise.
        pairs: rows of its pairs ``(lanes, B, 2)``.
    """
    at = torch.arange(order.shape[-1] - 1, device=order.device)
    source = at + (at > place + 1)
    nodes = order[:, :, 0].gather(-1, source).scatter(-1, place + 1, node)
    both = torch.cat([place, place + 1], -1)
    return torch.stack([nodes, order[:, :, 1].gather(-1, source).scatter(-1, both, pairs)], 2)


class _Grown(torch.autograd.Function):
    """The root for choices that are one-hot."""

    @staticmethod
    def forward(
        ctx: Any, nodes: Tensor, weight: Tensor, bias: Tensor, query: Tensor, length: Tensor, choose: Choose
    ) -> Tensor:
        keep = any(ctx.needs_input_grad)
        growth = _Growth(nodes, Composition(weight, bias, query), keep=keep)
        h = growth.run(length, choose)
        ctx.save_for_backward(weight, query)
        ctx.history = growth.history
        return h

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, of_root: Tensor) -> tuple[Tensor | None, ...]:
        weight, query = ctx.saved_tensors
        return (*_Shrinking(ctx.history, weight, query).run(of_root), None, None)


class _Shrinking:
    """The backward pass.

    Args:
        history: of the merges.
        weight, query: see :class:`Composition`.
    """

    def __init__(self, history: _History, weight: Tensor, query: Tensor) -> None:
        self._history, self._weight = history, weight
        width = query.shape[-1]
        left, right = (torch.cat(rows, 1).flatten() for rows in (history.left, history.right))
        nodes = history.nodes.flatten(0, 2)
        x_left, x_right = nodes.index_select(0, left), nodes.index_select(0, right)
        done = Cells(*(_all(history.done, name) for name in ("gates", "tanh_c", "parents")))
        self._slopes = Slopes.of(done, x_left[:, width:], x_right[:, width:])
        self._children = torch.cat([x_left[:, :width], x_right[:, :width]], -1)
        self._parents_h = done.parents[:, :width]
        self._root_width = 1 / math.sqrt(width)
        rows = len(left) // len(query)
        of_h = (query * self._root_width).repeat_interleave(rows, 0, output_size=len(left))
        self._of_score, of_c = self._slopes.back(of_h)
        # by pair: what G is multiplied with for the gradient of D, and what a score adds to G, left and right
        self._pairs = torch.cat(
            [done.parents - x_right, x_right - x_left, self._to_children(self._of_score, of_c)], -1
        )
        self._of_scores = x_left.new_zeros(len(left))
        self._chosen: list[tuple[Tensor, Tensor]] = []

    def run(self, of_root: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Gradients of leaves, weight, bias and query."""
        history, lanes = self._history, len(self._weight)
        assert history.last is not None
        assert history.merges_last is not None
        merges = history.merges_last.unsqueeze(-1)
        of_node = torch.cat([of_root, torch.zeros_like(of_root)], -1)
        of_children = self._through(history.last, torch.where(merges, of_node, 0.0))
        first, second = of_children.chunk(2, -1)
        g = torch.stack([torch.where(merges, first, of_node), second], 2)
        for choice in reversed(history.choices):
            g = self._before(choice, g)
        by_score = self._of_scores.unsqueeze(-1)
        of_gates = self._of_score * by_score
        for pair, part in self._chosen:
            of_gates.index_add_(0, pair, part)
        of_gates = of_gates.view(lanes, -1, of_gates.shape[-1])
        of_weight = of_gates.mT @ self._children.view(lanes, -1, self._children.shape[-1])
        of_query = (self._parents_h * by_score).view(lanes, -1, self._parents_h.shape[-1]).sum(1)
        return g.transpose(1, 2), of_weight, of_gates.sum(1), of_query * self._root_width

    def _before(self, choice: _Choice, g: Tensor) -> Tensor:
        """G of the nodes before a merge ``(lanes, B, m, 2 H)``, from that after it."""
        lanes, rows, count, double = g.shape
        pairs = self._pairs.index_select(0, choice.pairs.flatten())
        dots = torch.bmm(pairs[:, : 2 * double].view(-1, 2, double), g.reshape(-1, double, 1))
        one, rest = dots.view(lanes, rows, count, 2).unbind(-1)
        of_draw = one + rest.flip(-1).cumsum(-1).flip(-1)
        (of_logits,) = torch.autograd.grad(choice.draw, choice.logits, of_draw, retain_graph=True)
        of_scores = torch.where(choice.legal, of_logits, 0.0)
        self._of_scores.index_add_(0, choice.pairs.flatten(), of_scores.flatten())
        sequence = torch.arange(lanes * rows, device=g.device).view(lanes, rows, 1)
        g = g.reshape(-1, double)
        parent = g.index_select(0, (sequence * count + choice.place).flatten()).view(lanes, rows, double)
        of_children = self._through(choice.pair, parent)
        at = torch.arange(count + 1, device=g.device)
        source = sequence * count + at - (at > choice.place).long()
        before = g.index_select(0, source.flatten())
        target = sequence * (count + 1) + choice.place + at[:2]
        before.index_copy_(0, target.flatten(), of_children.view(-1, double))
        before = before.view(lanes, rows, count + 1, double)
        by = of_scores.unsqueeze(-1)
        left, right = pairs[:, 2 * double :].view(lanes, rows, count, 2, double).unbind(-2)
        before[:, :, :-1].addcmul_(by, left)
        before[:, :, 1:].addcmul_(by, right)
        return before

    def _through(self, pair: Tensor, of_parent: Tensor) -> Tensor:
        """dL/dx of both children, side by side ``(lanes, B, 4 H)``, of pairs that became nodes."""
        rows = pair.flatten()
        of_h, of_c = of_parent.reshape(len(rows), -1).chunk(2, -1)
        of_gates, of_children = self._slopes.select(rows).back(of_h, of_c)
        self._chosen.append((rows, of_gates))
        return self._to_children(of_gates, of_children).view(*pair.shape, -1)

    def _to_children(self, of_gates: Tensor, of_c: Tensor) -> Tensor:
        """dL/dh and dL/dc of left, then of right children, ``(rows, 4 H)``."""
        rows = of_gates.view(len(self._weight), -1, of_gates.shape[-1])
        left_h, right_h = (rows @ self._weight).flatten(0, 1).chunk(2, -1)
        left_c, right_c = of_c.chunk(2, -1)
        return torch.cat([left_h, left_c, right_h, right_c], -1)


def _all(done: list[Cells], name: str) -> Tensor:
    """One field of all cells, a row each."""
    return torch.cat([getattr(each, name) for each in done], 1).flatten(0, 2)
