"""The prototypes as plain PyTorch programs: what a researcher writes and runs, one process per trial.

``nn.Module``, ``torch.optim``, a ``DataLoader``, autograd, losses fetched with ``.item()`` at every step, as
in :mod:`benchmarks.commands.speed.reference`; equal losses, batches and evaluations as the tasks.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Sampler, TensorDataset, default_collate

from benchmarks.commands.speed import reference_estimators
from benchmarks.spec import TrialSpec
from benchmarks.tasks.info import Split
from benchmarks.tasks.listops.reader import SYMBOLS, read
from benchmarks.tasks.listops.task import CLASSES, Sentences
from tests.support.prototypes import bernoulli_vae, image_cell
from tests.support.prototypes.infos import CLASSES as IMAGE_CLASSES
from tests.support.prototypes.infos import EDGES, OPERATIONS

Draw = reference_estimators.Sampler
"""Logits ``(..., n)`` to one-hot samples with a gradient."""


class BernoulliVAE(nn.Module):
    """Two layers of Bernoulli latents.

    Args:
        sizes: of the layers.
        draw: the estimator.
    """

    def __init__(self, sizes: bernoulli_vae.Sizes, draw: Draw) -> None:
        super().__init__()
        self.draw = draw
        self.encoder = nn.Linear(sizes.pixels, sizes.hidden)
        self.upper = nn.Linear(sizes.hidden, sizes.upper)
        self.lower = nn.Linear(sizes.hidden + sizes.upper, sizes.lower)
        self.prior = nn.Linear(sizes.upper, sizes.lower)
        self.prior_upper = nn.Parameter(torch.zeros(sizes.upper))
        self.decoder = nn.Linear(sizes.lower, sizes.hidden)
        self.pixels = nn.Linear(sizes.hidden, sizes.pixels)

    def forward(self, x: Tensor) -> Tensor:
        """Mean -ELBO of images ``(B, pixels)`` of 0 and 1."""
        hidden = functional.leaky_relu(self.encoder(x), bernoulli_vae.SLOPE)
        upper = self.upper(hidden)
        u = self._bits(upper)
        lower = self.lower(torch.cat([hidden, u], -1))
        pixels = self.pixels(functional.leaky_relu(self.decoder(self._bits(lower)), bernoulli_vae.SLOPE))
        misfit = functional.binary_cross_entropy_with_logits(pixels, x, reduction="sum")
        kl = _bernoulli_kl(upper, self.prior_upper) + _bernoulli_kl(lower, self.prior(u))
        return (misfit + kl) / len(x)

    def _bits(self, logits: Tensor) -> Tensor:
        if not self.training:
            return logits.sigmoid().bernoulli()
        return self.draw(torch.stack([torch.zeros_like(logits), logits], -1))[..., 1]


def _bernoulli_kl(posterior: Tensor, prior: Tensor) -> Tensor:
    terms = posterior.sigmoid() * (posterior - prior)
    return (terms - functional.softplus(posterior) + functional.softplus(prior)).sum()


class BernoulliVAETraining:
    """Training of one Bernoulli VAE with one sample an image.

    Args:
        trial: its parameters.
        sizes: of model and data.
        draw: the estimator.
    """

    def __init__(self, trial: TrialSpec, sizes: bernoulli_vae.Sizes, draw: Draw) -> None:
        if trial.task.values["samples"] != 1:
            raise ValueError(f"the plain loop draws one sample an image, not {trial.task.values['samples']}")
        torch.manual_seed(trial.seed)
        size = int(trial.task.values["batch_size"])
        self.model = BernoulliVAE(sizes, draw)
        self._optimizer = torch.optim.Adam(self.model.parameters(), lr=trial.lr)
        images = [
            TensorDataset(bernoulli_vae.grey_images(count, sizes.pixels, seed))
            for seed, count in enumerate((sizes.train, sizes.valid, sizes.test))
        ]
        self._train = DataLoader(images[0], batch_size=size, shuffle=True)
        self._evaluated = [DataLoader(part, batch_size=size) for part in images[1:]]

    def steps(self) -> Iterator[int]:
        """Train for ever, yielding 1 after every step; epochs end with a pass over both other splits."""
        while True:
            self.model.train()
            for (x,) in self._train:
                self.train_loss = self._step(x.bernoulli())
                yield 1
            self.losses = [self.evaluate(loader) for loader in self._evaluated]

    def _step(self, x: Tensor) -> float:
        loss = self.model(x)
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        return float(loss.item())

    @torch.no_grad()
    def evaluate(self, loader: DataLoader[tuple[Tensor, ...]]) -> float:
        """Mean -ELBO, one draw an image."""
        self.model.eval()
        return _mean((self.model(x.bernoulli()).item() * len(x), len(x)) for (x,) in loader)


class TreeLSTM(nn.Module):
    """Reads symbols with an LSTM and merges a pair of neighbours at a time.

    Args:
        symbols: how many there are.
        width: of a node.
        dropout: share of units that are dropped.
        draw: the estimator.
    """

    def __init__(self, symbols: int, width: int, dropout: float, draw: Draw) -> None:
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

    def __init__(self, trial: TrialSpec, sentences: Sentences, dropout: float, draw: Draw) -> None:
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
        return _mean(
            ((self.model(symbols, length).argmax(-1) == label).sum().item(), len(label))
            for symbols, length, label in loader
        )


def _by_length(data: Mapping[str, Tensor], size: int) -> DataLoader[tuple[Tensor, ...]]:
    """Minibatches cut to their longest sentence."""
    parts = TensorDataset(data["symbols"].long(), data["length"], data["label"])
    return DataLoader(parts, batch_sampler=Buckets(data["length"], size), collate_fn=_cut)


def _cut(examples: list[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    symbols, length, label = default_collate(examples)
    return symbols[:, : length.max()], length, label


class MixedEdge(nn.Module):
    """None, skip, convolution, convolution with ReLU, weighted.

    Args:
        channels: of its input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear = nn.Sequential(
            nn.Conv2d(channels, channels, 1, bias=False), nn.BatchNorm2d(channels, affine=False)
        )
        self.relu = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels, affine=False),
            nn.ReLU(),
        )

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        """All operations on x ``(B, channels, H, W)``."""
        mixed: Tensor = weights[1] * x + weights[2] * self.linear(x) + weights[3] * self.relu(x)
        return mixed


class SearchNetwork(nn.Module):
    """A cell of three nodes between a convolution and a linear layer.

    Args:
        channels: of every node.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(image_cell.COLOURS, channels, 3, padding=1, bias=False)
        self.edges = nn.ModuleList(MixedEdge(channels) for _ in range(EDGES))
        self.head = nn.Linear(channels, IMAGE_CLASSES)

    def forward(self, x: Tensor, cell: Tensor) -> Tensor:
        """Scores of classes of images, in the cell of one-hot rows ``(edges, operations)``."""
        node_0 = self.stem(x)
        node_1 = self.edges[0](node_0, cell[0])
        node_2 = self.edges[1](node_0, cell[1]) + self.edges[2](node_1, cell[2])
        scores: Tensor = self.head(node_2.mean((2, 3)))
        return scores


class SearchTraining:
    """A search: weights on one split, architecture on another, in turns.

    Args:
        trial: its parameters.
        sizes: of the data.
        draw: the estimator.
    """

    def __init__(self, trial: TrialSpec, sizes: image_cell.Sizes, draw: Draw) -> None:
        torch.manual_seed(trial.seed)
        values, self._draw = trial.task.values, draw
        self.model = SearchNetwork(int(values["width"]))
        self.architecture = nn.Parameter(torch.empty(EDGES, OPERATIONS).uniform_(-1e-3, 1e-3))
        self._weights = torch.optim.SGD(
            self.model.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4
        )
        size = int(values["batch_size"])
        total = int(values["epochs"]) * -(-sizes.train // size)
        self._schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self._weights, total)
        self._search = torch.optim.Adam([self.architecture], lr=trial.lr, betas=(0.5, 0.999), eps=1e-4)
        data = {split: TensorDataset(*pair) for split, pair in image_cell.coloured_images(sizes).items()}
        self._loaders = {
            split: DataLoader(part, batch_size=size, shuffle=split != "test") for split, part in data.items()
        }

    def steps(self) -> Iterator[int]:
        """Train for ever, yielding 1 after both updates; epochs end with an evaluation of both splits."""
        while True:
            self.model.train()
            others = itertools.chain.from_iterable(itertools.repeat(self._loaders["valid"]))
            for (x, y), (x_search, y_search) in zip(self._loaders["train"], others, strict=False):
                self.train_loss = self._weights_step(x, y)
                self.search_loss = self._architecture_step(x_search, y_search)
                yield 1
            self.accuracies = [self.accuracy("valid"), self.accuracy("test")]

    def weights_loss(self, x: Tensor, y: Tensor, cell: Tensor) -> Tensor:
        """Mean cross-entropy in a cell."""
        return functional.cross_entropy(self.model(x, cell), y)

    def _weights_step(self, x: Tensor, y: Tensor) -> float:
        loss = self.weights_loss(x, y, reference_estimators.one_hot_draw(self.architecture))
        self._weights.zero_grad()
        loss.backward()
        self._weights.step()
        self._schedule.step()
        return float(loss.item())

    def architecture_loss(self, x: Tensor, y: Tensor) -> Tensor:
        """Mean cross-entropy in a cell drawn with a gradient."""
        return self.weights_loss(x, y, self._draw(self.architecture))

    def _architecture_step(self, x: Tensor, y: Tensor) -> float:
        loss = self.architecture_loss(x, y)
        self._search.zero_grad()
        loss.backward(inputs=[self.architecture])
        self._search.step()
        return float(loss.item())

    @torch.no_grad()
    def accuracy(self, split: Split) -> float:
        """Of the likeliest cell with running statistics."""
        self.model.eval()
        cell = functional.one_hot(self.architecture.argmax(-1), OPERATIONS).float()
        return _mean(
            ((self.model(x, cell).argmax(-1) == y).sum().item(), len(y)) for x, y in self._loaders[split]
        )


def _mean(parts: Iterable[tuple[float, int]]) -> float:
    """Of sums over minibatches and their sizes."""
    total, examples = map(math.fsum, zip(*parts, strict=True))
    return total / examples
