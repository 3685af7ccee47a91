"""The Tree-LSTM of ListOps as a plain PyTorch program."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Sampler, TensorDataset, default_collate

from benchmarks.commands.speed import reference_estimators
from benchmarks.spec import TrialSpec
from benchmarks.tasks.listops.reader import SYMBOLS, read
from benchmarks.tasks.listops.task import CLASSES, Sentences


class TreeLSTM(nn.Module):
    """Reads symbols with an LSTM and merges a pair of neighbours at a time.

    Args:
        symbols: how many there are.
        width: of a node.
        dropout: share of units that are dropped.
        draw: the estimator.
    """

    def __init__(self, symbols: int, width: int, dropout: float, draw: reference_estimators.Sampler) -> None:
        super().__init__()
        self.draw = draw
        self.embedding = nn.Embedding(symbols, width)
        self.dropout = nn.Dropout(dropout)
        self.leaf = nn.LSTMCell(width, width)
        self.merge = nn.Linear(2 * width, 5 * width)
        self.query = nn.Parameter(0.01 * torch.randn(width))
        self.classifier = nn.Sequential(
            self.dropout, nn.Linear(width, width), nn.ReLU(), self.dropout, nn.Linear(width, CLASSES)
        )

    def forward(self, symbols: Tensor, length: Tensor) -> Tensor:
        """Scores of classes ``(B, classes)`` of sentences ``(B, longest)``."""
        embedded = self.dropout(self.embedding(symbols))
        state = torch.zeros_like(embedded[:, 0]), torch.zeros_like(embedded[:, 0])
        states = []
        for place in range(symbols.shape[1]):
            state = self.leaf(embedded[:, place], state)
            states.append(state)
        h, c = (torch.stack(part, 1) for part in zip(*states, strict=True))
        for merged in range(symbols.shape[1] - 1):
            h, c = self._merged(h, c, length - merged)
        scores: Tensor = self.classifier(h[:, 0])
        return scores

    def _merged(self, h: Tensor, c: Tensor, left: Tensor) -> tuple[Tensor, Tensor]:
        """Nodes after one merge; a sentence of one node keeps it."""
        parent_h, parent_c = self._parents(h, c)
        chosen = self._choice(parent_h, left).unsqueeze(-1)
        reached = chosen.cumsum(1)
        before, after, going_on = 1 - reached, reached - chosen, (left > 1)[:, None, None]
        h = torch.where(going_on, chosen * parent_h + before * h[:, :-1] + after * h[:, 1:], h[:, :-1])
        c = torch.where(going_on, chosen * parent_c + before * c[:, :-1] + after * c[:, 1:], c[:, :-1])
        return h, c

    def _parents(self, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        gates = self.merge(torch.cat([h[:, :-1], h[:, 1:]], -1))
        g, i, f_left, f_right, o = gates.chunk(5, -1)
        kept = (f_left + 1).sigmoid() * c[:, :-1] + (f_right + 1).sigmoid() * c[:, 1:]
        parent = kept + i.sigmoid() * g.tanh()
        return o.sigmoid() * parent.tanh(), parent

    def _choice(self, parents: Tensor, left: Tensor) -> Tensor:
        pairs = parents.shape[1]
        if pairs == 1:
            return torch.ones_like(parents[..., 0])
        scores = parents @ self.query / math.sqrt(len(self.query))
        missing = torch.arange(pairs) >= left.unsqueeze(-1) - 1
        logits = scores.masked_fill(missing, -torch.inf).masked_fill(left.unsqueeze(-1) < 2, 0.0)
        if self.training:
            return self.draw(logits.unsqueeze(-2)).squeeze(-2)
        return functional.one_hot(logits.argmax(-1), pairs).to(scores.dtype)


class Buckets(Sampler[list[int]]):
    """Minibatches of sentences of similar length, in random order.

    Args:
        lengths: of all sentences.
        size: of a minibatch.
    """

    def __init__(self, lengths: Tensor, size: int) -> None:
        self._lengths, self._size = lengths, size

    def __iter__(self) -> Iterator[list[int]]:
        order = torch.randperm(len(self._lengths))
        batches = order[self._lengths[order].argsort(stable=True)].split(self._size)
        for place in torch.randperm(len(batches)).tolist():
            yield batches[place].tolist()


class TreeLSTMTraining:
    """Training of one Tree-LSTM on tokens.

    Args:
        trial: its parameters.
        sentences: by split.
        dropout: share of units that are dropped.
        draw: the estimator.
    """

    def __init__(
        self, trial: TrialSpec, sentences: Sentences, dropout: float, draw: reference_estimators.Sampler
    ) -> None:
        torch.manual_seed(trial.seed)
        values = trial.task.values
        self.model = TreeLSTM(len(SYMBOLS["token"]), int(values["hidden"]), dropout, draw)
        self._optimizer = torch.optim.Adam(self.model.parameters(), lr=trial.lr)
        self._schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
            self._optimizer, mode="max", factor=0.5, patience=4
        )
        size, most = int(values["batch_size"]), int(values["max_tokens"])
        data = {split: read(part, "token", most=most, by_length=False) for split, part in sentences.items()}
        self._train, *self._evaluated = (
            _by_length(data[split], size) for split in ("train", "valid", "test")
        )
        self._half = -(-len(data["train"]["label"]) // size) // 2

    def steps(self) -> Iterator[int]:
        """Train for ever, yielding 1 after every step; two evaluations of both other splits an epoch."""
        while True:
            for done, (symbols, length, label) in enumerate(self._train, 1):
                self.model.train()
                self.train_loss = self._step(symbols, length, label)
                yield 1
                if done == self._half:
                    self._evaluate()
            self._evaluate()

    def _step(self, symbols: Tensor, length: Tensor, label: Tensor) -> float:
        loss = functional.cross_entropy(self.model(symbols, length), label)
        self._optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self._optimizer.step()
        return float(loss.item())

    def _evaluate(self) -> None:
        self.accuracies = [self.accuracy(loader) for loader in self._evaluated]
        self._schedule.step(self.accuracies[0])

    @torch.no_grad()
    def accuracy(self, loader: DataLoader[tuple[Tensor, ...]]) -> float:
        """Of the likeliest trees."""
        self.model.eval()
        right, count = 0.0, 0
        for symbols, length, label in loader:
            right += (self.model(symbols, length).argmax(-1) == label).sum().item()
            count += len(label)
        return right / count


def _by_length(data: Mapping[str, Tensor], size: int) -> DataLoader[tuple[Tensor, ...]]:
    """Minibatches cut to their longest sentence."""
    parts = TensorDataset(data["symbols"].long(), data["length"], data["label"])
    return DataLoader(parts, batch_sampler=Buckets(data["length"], size), collate_fn=_cut)


def _cut(examples: list[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    symbols, length, label = default_collate(examples)
    return symbols[:, : length.max()], length, label
