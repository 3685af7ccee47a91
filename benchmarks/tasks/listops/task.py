r"""The value of a nested list of digits, read off the root of a tree that the model grows itself.

    e_t = dropout(E[symbol_t])                                          embedding
    h_t, c_t = LSTM(e_t; h_{t-1}, c_{t-1})                              leaves
    root = merges of neighbours, see :mod:`benchmarks.tasks.listops.tree`
    scores = W_2 dropout(ReLU(W_1 dropout(h_root) + b_1)) + b_2         classifier

All layers are H wide, dropout is 1/2. The classifier has eleven outputs, since the released vocabulary of
labels has an entry for unknown ones. The loss is the cross-entropy, averaged over the minibatch. In an
evaluation the pair with the highest score is merged and nothing is dropped.

The protocol: gradients clipped at the norm 5; two evaluations an epoch; the rate is halved when validation
accuracy has not risen for more than four of them.

Source: Liu et al., "Bridging Discrete and Backpropagation: Straight-Through and Beyond", NeurIPS 2023,
section 5.2 and the code released with it; the model is that of Choi, Yoo and Lee, "Learning to Compose
Task-Specific Tree Structures", 2018.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from benchmarks.datasets import listops
from benchmarks.datasets.listops import Sentence
from benchmarks.engine.optimizers.fixed import FixedOptimizer, Plateau
from benchmarks.tasks.contract import Batch, Draw, Loss, Parameters, Phase, TaskBase, Variables, linear
from benchmarks.tasks.info import Split
from benchmarks.tasks.listops import leaves, start, tree
from benchmarks.tasks.listops.info import FIXED, split_sizes
from benchmarks.tasks.listops.reader import SYMBOLS, Reader, read
from benchmarks.tasks.listops.sentences import random_sentences
from estimators import NoiseSource, Value

CLASSES = 11
DROPOUT = 0.5
Sentences = Mapping[Split, Sequence[Sentence]]
_SPLITS: tuple[Split, ...] = ("train", "valid", "test")
_PLACES = 2**14
"""Symbols, with padding, that are evaluated at a time: of every one some thousands of numbers are kept."""
_PROTOCOL = FixedOptimizer(
    parameters=FIXED,
    plateau=Plateau(metric="valid_accuracy", maximize=True, factor=0.5, patience=4),
)


class ListOps(TaskBase):
    """The task for given parameters.

    Args:
        values: ``reader, train_sentences, max_tokens, hidden, batch_size`` as the registry declares them.
        device: where sentences and parameters lie.
        data_dir: where data sets lie; default as in :mod:`benchmarks.datasets.files`.
        sentences: by split, instead of those of the data set; too long ones are left out.
        made_up: how many random sentences to take instead, by split.
        dtype: of parameters.
        dropout: share of units that are dropped.

    Raises:
        DatasetUnavailable: the data set can be neither found nor fetched.
    """

    evaluations_per_epoch = 2
    evaluated: tuple[Split, ...] = ("valid", "test")
    phases: tuple[Phase, ...] = (Phase(optimizer=_PROTOCOL),)

    def __init__(
        self,
        values: Mapping[str, Value],
        *,
        device: torch.device,
        data_dir: Path | None = None,
        sentences: Sentences | None = None,
        made_up: Mapping[Split, int] | None = None,
        dtype: torch.dtype = torch.float32,
        dropout: float = DROPOUT,
    ) -> None:
        reader, most = cast(Reader, values["reader"]), int(values["max_tokens"])
        if made_up is not None:
            sentences = random_sentences(made_up, most)
        data = _data_set(values, data_dir) if sentences is None else _tensors(sentences, reader, most)
        self._data = {
            split: {name: tensor.to(device) for name, tensor in part.items()} for split, part in data.items()
        }
        self.lengths = {split: part["length"] for split, part in self._data.items()}
        self.splits = {split: len(length) for split, length in self.lengths.items()}
        self.batch_size, self._width = int(values["batch_size"]), int(values["hidden"])
        self.steps_per_epoch = -(-self.splits["train"] // self.batch_size)
        self._symbols, self._dropout = len(SYMBOLS[reader]), dropout
        self._like = torch.zeros((), dtype=dtype, device=device)

    def init(self, noise: NoiseSource, lanes: int) -> Variables:
        """See :mod:`benchmarks.tasks.listops.start`."""
        model = start.parameters(
            noise, lanes, symbols=self._symbols, width=self._width, classes=CLASSES, like=self._like
        )
        return Variables(groups={"model": model})

    def batch(self, split: Split, index: Tensor, noise: NoiseSource, *, length: int | None) -> Batch:
        """``symbols`` ``(lanes, B, length)``, ``length`` and ``label`` ``(lanes, B)``."""
        chosen = {name: tensor[index] for name, tensor in self._data[split].items()}
        return chosen | {"symbols": chosen["symbols"][..., :length]}

    def loss(self, phase: Phase, variables: Variables, batch: Batch, draw: Draw) -> Loss:
        """Mean cross-entropy of the minibatch, in drawn trees and with dropout."""
        parts = _parts(batch)
        scores = self._scores(variables.groups["model"], parts["symbols"], parts["length"], draw)
        loss = cross_entropy(scores, parts["label"]).mean(-1)
        accuracy = _percent_right(scores, parts["label"]).mean(-1)
        metrics = {"train_loss": loss.detach(), "train_accuracy": accuracy}
        return Loss(loss=loss, metrics=metrics, weight=scores.shape[1])

    def evaluate(self, split: Split, variables: Variables, batch: Batch, draw: Draw) -> Mapping[str, Tensor]:
        """Whether every sentence is classified rightly, in percent."""
        parts, model = _parts(batch), variables.groups["model"]
        lanes, _, length = parts["symbols"].shape
        size = max(1, _PLACES // (lanes * length))
        pieces = zip(*(parts[name].split(size, 1) for name in ("symbols", "length", "label")), strict=True)
        right = [
            _percent_right(self._scores(model, symbols, lengths, draw), label)
            for symbols, lengths, label in pieces
        ]
        return {f"{split}_accuracy": torch.cat(right, 1)}

    def _scores(self, model: Parameters, symbols: Tensor, length: Tensor, draw: Draw) -> Tensor:
        """Scores of classes ``(lanes, B, classes)``."""
        embedded = _one_hot(symbols.transpose(1, 2), model["embedding.weight"])
        embedded = self._dropped("symbols", embedded, draw)
        bias = model["leaf.bias_ih"] + model["leaf.bias_hh"]
        nodes = leaves.read(linear(embedded, model["leaf.weight_ih"], bias), model["leaf.weight_hh"])
        composition = tree.Composition(model["merge.weight"], model["merge.bias"], model["query"])
        hard = not draw.training or draw.properties.hard_forward
        h = tree.root(nodes, length, composition, _chooser(draw), hard=hard)
        h = self._dropped("root", h, draw)
        h = linear(h, model["classifier.0.weight"], model["classifier.0.bias"]).relu()
        h = self._dropped("hidden", h, draw)
        return linear(h, model["classifier.1.weight"], model["classifier.1.bias"])

    def _dropped(self, name: str, x: Tensor, draw: Draw) -> Tensor:
        """The units that are kept, scaled; in an evaluation all."""
        if not draw.training or self._dropout == 0:
            return x
        kept = draw.uniform(name, tuple(x.shape), dtype=x.dtype) > self._dropout
        return x * (kept * (1 / (1 - self._dropout)))


def _tensors(sentences: Sentences, reader: Reader, most: int) -> dict[Split, dict[str, Tensor]]:
    """Those for evaluation by length: what is evaluated together is then alike."""
    return {split: read(sentences[split], reader, most=most, by_length=split != "train") for split in _SPLITS}


def _data_set(values: Mapping[str, Value], data_dir: Path | None) -> dict[Split, dict[str, Tensor]]:
    """The data set, and of its training sentences as many as are wanted.

    Raises:
        DatasetUnavailable: it can be neither found nor fetched.
        ValueError: there are not as many sentences as the registry entry says.
    """
    loaded, sizes = listops.load(data_dir=data_dir), split_sizes(values)
    sentences: Sentences = {split: loaded[split] for split in _SPLITS}
    data = _tensors(sentences, cast(Reader, values["reader"]), int(values["max_tokens"]))
    data["train"] = {name: tensor[: sizes["train"]] for name, tensor in data["train"].items()}
    found = {split: len(part["length"]) for split, part in data.items()}
    if found != dict(sizes):
        raise ValueError(f"ListOps should have {dict(sizes)} sentences that are short enough, it has {found}")
    return data


def _chooser(draw: Draw) -> tree.Choose:
    """The estimator in training; in an evaluation the likeliest."""
    if not draw.training:
        return lambda logits: logits
    return lambda logits: draw.sample("merge", logits.unsqueeze(-2)).squeeze(-2)


def _parts(batch: Batch) -> Mapping[str, Tensor]:
    if not isinstance(batch, Mapping):
        raise ValueError("ListOps needs a minibatch of sentences")
    return batch


def _one_hot(symbols: Tensor, table: Tensor) -> Tensor:
    """Rows of a table ``(lanes, symbols, H)``, as a product: its gradient adds up in one order always."""
    at = torch.arange(table.shape[1], device=symbols.device)
    chosen = (symbols.unsqueeze(-1) == at).to(table.dtype)
    return (chosen.flatten(1, 2) @ table).view(*symbols.shape, -1)


def cross_entropy(scores: Tensor, label: Tensor) -> Tensor:
    """-ln softmax of the label in nats, ``(..., classes), (...) -> (...)``."""
    return -scores.log_softmax(-1).gather(-1, label.unsqueeze(-1)).squeeze(-1)


def _percent_right(scores: Tensor, label: Tensor) -> Tensor:
    """100 where the label has the highest score, else 0."""
    return (scores.detach().argmax(-1) == label) * scores.new_tensor(100.0)
