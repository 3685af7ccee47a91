"""The search on NATS-Bench's cells as a plain PyTorch program.

Names of layers are the task's (:mod:`benchmarks.tasks.gdas.network`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from benchmarks.commands.speed.reference_estimators import Sampler, one_hot_draw
from benchmarks.spec import TrialSpec
from benchmarks.tasks.gdas.cells import EDGES, NODES, OPERATIONS
from benchmarks.tasks.gdas.images import Labelled
from benchmarks.tasks.gdas.sizes import source
from benchmarks.tasks.info import Split

STAGES = 3

_MOVES = 8
"""The side of an image is so many times as long as its longest move."""


class Edge(nn.Module):
    """None, skip, 1x1 and 3x3 convolution, 3x3 average pool.

    Args:
        width: channels of its input and output.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.one, self.three = _convolution(width, 1), _convolution(width, 3)
        self.pool = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)

    def forward(self, x: Tensor, places: Tensor, drawn: int | None) -> Tensor:
        """Operations on x ``(B, width, H, W)``, weighted by their ``places`` ``(5,)``.

        Args:
            x: the node where the edge begins.
            places: a weight of every operation.
            drawn: the one that is computed, beside the others' weights as bare numbers; ``None``: all but
                none, which is 0.
        """
        operations = (torch.zeros_like, nn.Identity(), self.one, self.three, self.pool)
        if drawn is None:
            return _sum(places[k] * operations[k](x) for k in range(1, len(operations)))
        y: Tensor = operations[drawn](x)
        if not places.requires_grad:
            return y  # the weight is known to be 1
        return places[drawn] * y + places[:drawn].sum() + places[drawn + 1 :].sum()


class Cell(nn.Module):
    """Four nodes, each the sum of edges from those before it.

    Args:
        width: channels of its nodes.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.edges = nn.ModuleList(Edge(width) for _ in EDGES)

    def forward(self, x: Tensor, places: Tensor, drawn: Sequence[int | None]) -> Tensor:
        """The last node of ``(B, width, H, W)``; for each edge, ``places`` ``(6, 5)`` and what is drawn."""
        nodes = [x]
        for target in range(1, NODES):
            nodes.append(
                _sum(
                    self.edges[k](nodes[edge[0]], places[k], drawn[k])
                    for k, edge in enumerate(EDGES)
                    if edge[1] == target
                )
            )
        return nodes[-1]


class Block(nn.Module):
    """The residual block between two stages: half as high and wide, twice as many channels.

    Args:
        width: channels of its input.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.ReLU(), nn.Conv2d(width, 2 * width, 3, 2, 1, bias=False), _norm(2 * width)
        )
        self.second = nn.Sequential(
            nn.ReLU(), nn.Conv2d(2 * width, 2 * width, 3, 1, 1, bias=False), _norm(2 * width)
        )
        self.residual = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(width, 2 * width, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """``(B, width, H, W)`` to ``(B, 2 width, H / 2, W / 2)``."""
        y: Tensor = self.second(self.first(x)) + self.residual(x)
        return y


class SuperNetwork(nn.Module):
    """A stem, three stages of cells, a classifier; batch norms by the minibatch, always.

    Args:
        colours: of an image.
        width: channels of the first stage.
        cells: of a stage.
        classes: of the labels.
    """

    def __init__(self, colours: int, width: int, cells: int, classes: int) -> None:
        super().__init__()
        widths = [width * 2**stage for stage in range(STAGES)]
        self.stem = nn.Sequential(nn.Conv2d(colours, width, 3, padding=1, bias=False), _norm(width))
        self._a_stage = cells
        self.cells = nn.ModuleList(Cell(w) for w in widths for _ in range(cells))
        self.blocks = nn.ModuleList(Block(w) for w in widths[:-1])
        self.end = nn.Sequential(_norm(widths[-1], affine=False), nn.ReLU())
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor, places: Tensor, *, every: bool) -> Tensor:
        """Scores of classes of images ``(B, colours, H, W)``.

        Args:
            x: the images.
            places: weights of the operations on the six edges of all cells, ``(6, 5)``.
            every: whether all operations are computed, or only the one with the largest weight.
        """
        drawn = [None] * len(EDGES) if every else places.argmax(-1).tolist()
        node = self.stem(x)
        for number, cell in enumerate(self.cells):
            stage, place = divmod(number, self._a_stage)
            node = self.blocks[stage - 1](node) if stage and place == 0 else node
            node = cell(node, places, drawn)
        scores: Tensor = self.head(self.end(node).mean((2, 3)))
        return scores


class SearchTraining:
    """A search: weights on one split, architecture on another, in turns.

    Args:
        trial: its parameters; of the optimizer, the decay.
        images: by split.
        sample: the estimator.

    Raises:
        ValueError: the temperature of the trial moves.
    """

    def __init__(self, trial: TrialSpec, images: Mapping[Split, Labelled], sample: Sampler) -> None:
        values = trial.task.values
        if values["final_temperature"] != 1:
            raise ValueError("the plain loop has one temperature, from the first epoch to the last")
        torch.manual_seed(trial.seed)
        self._sample, self._full, data = sample, values["network"] == "full", source(values)
        self.model = SuperNetwork(data.colours, int(values["channels"]), int(values["cells"]), data.classes)
        self.logits = nn.Parameter(1e-3 * torch.randn(len(EDGES), len(OPERATIONS)))
        self._loaders = loaders(images, int(values["batch_size"]))
        for weight in self.model.parameters():
            weight.grad = torch.zeros_like(weight)  # which are kept: what is not drawn decays, too
        self._weights = torch.optim.SGD(
            self.model.parameters(), lr=0.025, momentum=0.9, nesterov=True, weight_decay=5e-4
        )
        total = int(values["epochs"]) * len(self._loaders["train"])
        self._schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self._weights, total, eta_min=0.001)
        decay = float(trial.optimizer.values.get("weight_decay", 0.0))
        self._architecture = torch.optim.Adam(
            [self.logits], lr=trial.lr, betas=(0.5, 0.999), weight_decay=decay
        )

    def steps(self) -> Iterator[int]:
        """Train for ever, yielding 1 after both updates; epochs end with the likeliest cell."""
        others = itertools.chain.from_iterable(itertools.repeat(self._loaders["valid"]))
        while True:
            for (x, y), (x_search, y_search) in zip(self._loaders["train"], others, strict=False):
                self.train_loss, self.train_accuracy = self.weights_step(x, y)
                self.search_loss = self.architecture_step(x_search, y_search)
                yield 1
            self.cell = self.logits.argmax(-1).tolist()

    def weights_step(self, x: Tensor, y: Tensor, *, draw: Sampler = one_hot_draw) -> tuple[float, float]:
        """An update of the weights in a cell that is drawn; the loss and the accuracy in percent before it.

        Only the operations that are drawn are computed, also in the full network: weights get no gradient
        from the others.
        """
        scores = self.model(x, draw(self.logits.detach()), every=False)
        loss = functional.cross_entropy(scores, y)
        self._weights.zero_grad(set_to_none=False)
        loss.backward()
        self._weights.step()
        self._schedule.step()
        return loss.item(), 100 * (scores.argmax(-1) == y).float().mean().item()

    def architecture_step(self, x: Tensor, y: Tensor) -> float:
        """An update of the logits by a cell that is drawn with a gradient; the loss before it."""
        loss = functional.cross_entropy(self.model(x, self._sample(self.logits), every=self._full), y)
        self._architecture.zero_grad()
        loss.backward(inputs=[self.logits])
        self._architecture.step()
        return float(loss.item())


class Varied(Dataset[tuple[Tensor, Tensor]]):
    """Images that are mirrored and moved at every use.

    Args:
        data: the images.
        mean, deviation: of the colours, by which they are normalised, ``(colours, 1, 1)``.
    """

    def __init__(self, data: Labelled, mean: Tensor, deviation: Tensor) -> None:
        self._labels, self._side = data.labels, data.images.shape[-1]
        self._reach = self._side // _MOVES
        framed = functional.pad(data.images.float(), (self._reach,) * 4)
        self._framed = (framed - mean) / deviation

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """An image ``(colours, side, side)`` and its label."""
        mirrored, down, right = (torch.randint(count, ()).item() for count in (2, *[2 * self._reach + 1] * 2))
        image = self._framed[index, :, down : down + self._side, right : right + self._side]
        return image.flip(-1) if mirrored else image, self._labels[index]


def loaders(images: Mapping[Split, Labelled], size: int) -> dict[Split, DataLoader[tuple[Tensor, Tensor]]]:
    """Of both splits, normalised by the weights' images."""
    pixels = images["train"].images.float().transpose(0, 1).flatten(1)
    mean, deviation = (each[:, None, None] for each in (pixels.mean(1), pixels.std(1, correction=0)))
    return {
        split: DataLoader(Varied(part, mean, deviation), batch_size=size, shuffle=True)
        for split, part in images.items()
    }


def _convolution(width: int, side: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ReLU(), nn.Conv2d(width, width, side, padding=side // 2), _norm(width, affine=False)
    )


def _norm(width: int, *, affine: bool = True) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, affine=affine, track_running_stats=False)


def _sum(terms: Iterable[Tensor]) -> Tensor:
    first, *others = terms
    return sum(others, start=first)
