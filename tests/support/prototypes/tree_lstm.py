r"""A binary Tree-LSTM that chooses its own tree, on made-up sequences whose label is their greatest symbol.

A sequence of l leaves is merged l - 1 times. At every merge each pair of neighbours has a candidate parent

    i, f_left, f_right, o, g = W [h_left; h_right] + b
    c = sigmoid(f_left + 1) c_left + sigmoid(f_right + 1) c_right + sigmoid(i) tanh(g)
    h = sigmoid(o) tanh(c)

with score <query, h> / sqrt(width), and one pair is drawn from the softmax of the scores. Nodes left of it
stay, those right of it move up by one place. Which pairs there are depends on earlier choices. In an
evaluation the best pair is merged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.engine.optimizers.fixed import FixedOptimizer, Plateau
from benchmarks.tasks.contract import Batch, Draw, Loss, Parameters, Phase, TaskBase, Variables
from benchmarks.tasks.info import Split
from estimators import NoiseSource, Value
from tests.support.prototypes.infos import LONGEST, SHORTEST, SYMBOLS, TREE_LSTM, TREE_SPLITS
from tests.support.prototypes.layers import (
    affine,
    cross_entropy,
    initial,
    is_right,
    likeliest,
    one_hot,
    seeded,
)

_PROTOCOL = FixedOptimizer(
    parameters=TREE_LSTM.fixed,
    plateau=Plateau(metric="valid_accuracy", maximize=True, factor=0.5, patience=4),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """How long and how many sequences are; by default as the registry declares them.

    Attributes:
        shortest, longest: symbols of a sequence.
        train, valid, test: sequences of each split.
    """

    shortest: int = SHORTEST
    longest: int = LONGEST
    train: int = TREE_SPLITS["train"]
    valid: int = TREE_SPLITS["valid"]
    test: int = TREE_SPLITS["test"]


class TreeLSTM(TaskBase):
    """The task for given parameters.

    Args:
        values: ``batch_size, hidden, dropout`` as the registry declares them.
        device: where sequences and parameters lie.
        data_dir: not read.
        dtype: of parameters.
        sizes: of the data.
    """

    evaluations_per_epoch = 2
    evaluated: tuple[Split, ...] = ("valid", "test")
    phases: tuple[Phase, ...] = (Phase(optimizer=_PROTOCOL),)
    sparse_inputs = frozenset({"embedding.weight"})

    def __init__(
        self,
        values: Mapping[str, Value],
        *,
        device: torch.device,
        data_dir: Path | None = None,
        dtype: torch.dtype = torch.float32,
        sizes: Sizes = Sizes(),
    ) -> None:
        self.splits = {"train": sizes.train, "valid": sizes.valid, "test": sizes.test}
        self.batch_size = int(values["batch_size"])
        self.steps_per_epoch = -(-self.splits["train"] // self.batch_size)
        self._width, self._dropout = int(values["hidden"]), float(values["dropout"])
        self._like = torch.zeros(SYMBOLS, dtype=dtype, device=device)
        self._data = {
            split: {name: tensor.to(device) for name, tensor in sequences(count, sizes, seed).items()}
            for seed, (split, count) in enumerate(self.splits.items())
        }
        self.lengths = {split: data["length"] for split, data in self._data.items()}

    def init(self, noise: NoiseSource, lanes: int) -> Variables:
        """All weights, and the query, uniform in +-1/sqrt(fan-in)."""
        width = self._width
        sizes = {
            "embedding": (SYMBOLS, width),
            "leaf": (width, 2 * width),
            "merge": (2 * width, 5 * width),
            "classifier": (width, SYMBOLS),
        }
        model = initial(noise, lanes, sizes, like=self._like)
        u = noise.uniform((lanes, width), dtype=self._like.dtype, device=self._like.device)
        model["query"] = (2 * u - 1) / math.sqrt(width)
        return Variables(groups={"model": model})

    def batch(self, split: Split, index: Tensor, noise: NoiseSource, *, length: int | None) -> Batch:
        """``tokens`` ``(lanes, B, length)``, behind a sequence's end any symbol; ``length``, ``label``."""
        data = {name: tensor[index] for name, tensor in self._data[split].items()}
        return data | {"tokens": data["tokens"][..., :length]}

    def loss(self, phase: Phase, variables: Variables, batch: Batch, draw: Draw) -> Loss:
        """Mean cross-entropy of the minibatch."""
        scores, label = self._scores(variables, batch, draw)
        loss = cross_entropy(scores, label).mean(-1)
        metrics = {"train_loss": loss.detach(), "train_accuracy": is_right(scores, label).mean(-1)}
        return Loss(loss=loss, metrics=metrics, weight=label.shape[1])

    def evaluate(self, split: Split, variables: Variables, batch: Batch, draw: Draw) -> Mapping[str, Tensor]:
        """Whether each sequence is classified rightly."""
        return {f"{split}_accuracy": is_right(*self._scores(variables, batch, draw))}

    def _scores(self, variables: Variables, batch: Batch, draw: Draw) -> tuple[Tensor, Tensor]:
        """Scores of classes ``(lanes, B, symbols)``, and labels."""
        assert isinstance(batch, Mapping)
        model, tokens = variables.groups["model"], batch["tokens"]
        embedded = affine(model, "embedding", one_hot(tokens, like=self._like), mostly_zero=True)
        nodes = affine(model, "leaf", embedded * self._kept("leaves", embedded[:, :, :1], draw))
        for merge in range(tokens.shape[-1] - 1):
            nodes = self._merged(model, nodes, batch["length"] - merge, draw)
        root, _ = nodes[:, :, 0].chunk(2, -1)
        return affine(model, "classifier", root * self._kept("root", root, draw)), batch["label"]

    def _merged(self, model: Parameters, nodes: Tensor, left: Tensor, draw: Draw) -> Tensor:
        """Nodes ``(lanes, B, n + 1, 2 width)`` after one merge, ``(lanes, B, n, 2 width)``.

        Args:
            model: parameters.
            nodes: h and c, side by side.
            left: nodes that are left of every sequence ``(lanes, B)``; one of a single node keeps it.
            draw: who chooses.
        """
        here, next_ = nodes[:, :, :-1], nodes[:, :, 1:]
        parents = _parents(model, here, next_)
        chosen = self._choice(model, parents, left, draw).unsqueeze(-1)
        reached = chosen.cumsum(-2)
        merged = chosen * parents + (1 - reached) * here + (reached - chosen) * next_
        return torch.where(left[..., None, None] > 1, merged, here)

    def _choice(self, model: Parameters, parents: Tensor, left: Tensor, draw: Draw) -> Tensor:
        """One-hot choice among the pairs there are ``(lanes, B, n)``; anything for finished sequences."""
        pairs = parents.shape[-2]
        if pairs == 1:
            return torch.ones_like(parents[..., 0])
        h, query = parents[..., : self._width], model["query"][:, None, None]
        scores = (h * query).sum(-1) / math.sqrt(self._width)
        missing = torch.arange(pairs, device=left.device) >= left.unsqueeze(-1) - 1
        logits = scores.masked_fill(missing, -torch.inf).masked_fill(left.unsqueeze(-1) < 2, 0.0)
        return draw.sample("merge", logits.unsqueeze(-2)).squeeze(-2) if draw.training else likeliest(logits)

    def _kept(self, name: str, like: Tensor, draw: Draw) -> Tensor:
        """What dropout multiplies with: 0 or 1 / (1 - rate) in training."""
        if not draw.training or self._dropout == 0:
            return torch.ones_like(like)
        kept = draw.uniform(name, tuple(like.shape), dtype=like.dtype) > self._dropout
        return kept.to(like.dtype) / (1 - self._dropout)


def _parents(model: Parameters, left: Tensor, right: Tensor) -> Tensor:
    """Candidate parents of nodes ``(lanes, B, n, 2 width)``, each of the pair at its place."""
    (h_left, c_left), (h_right, c_right) = left.chunk(2, -1), right.chunk(2, -1)
    gates = affine(model, "merge", torch.cat([h_left, h_right], -1))
    i, f_left, f_right, o, g = gates.chunk(5, -1)
    c = (f_left + 1).sigmoid() * c_left + (f_right + 1).sigmoid() * c_right + i.sigmoid() * g.tanh()
    return torch.cat([o.sigmoid() * c.tanh(), c], -1)


def sequences(count: int, sizes: Sizes, seed: int) -> dict[str, Tensor]:
    """Tokens ``(count, longest)``, length and label ``(count,)``; the labels are about equally frequent."""
    generator = seeded(seed)
    length = torch.randint(sizes.shortest, sizes.longest + 1, (count,), generator=generator)
    ceiling = torch.randint(1, SYMBOLS + 1, (count, 1), generator=generator)
    tokens = (torch.rand(count, sizes.longest, generator=generator) * ceiling).long()
    inside = torch.arange(sizes.longest) < length.unsqueeze(-1)
    return {"tokens": tokens, "length": length, "label": tokens.where(inside, -1).amax(-1)}
