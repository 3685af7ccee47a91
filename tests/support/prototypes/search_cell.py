r"""Search for the best cell of three nodes on made-up vectors: weights on one split, architecture on another.

    node_1 = D_01(node_0),     node_2 = D_02(node_0) + D_12(node_1),     scores = W node_2 + b

Every edge has one of four operations: none, skip, linear, linear with ReLU; the two with weights end in a
batch norm without affine part. One draw D of the cell is shared by all vectors of a minibatch. Weights are
trained with a plain draw; the architecture is trained on the expected loss. What the search is for is looked
up in a table: how good the likeliest cell is when it is trained alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.engine.optimizers.fixed import FixedOptimizer
from benchmarks.tasks.contract import Batch, Draw, Loss, Phase, TaskBase, Variables
from benchmarks.tasks.info import Split
from estimators import NoiseSource, Value
from tests.support.prototypes.infos import CELL_SPLITS, CLASSES, EDGES, INPUTS, OPERATIONS, SEARCH_CELL
from tests.support.prototypes.layers import (
    affine,
    cross_entropy,
    initial,
    is_right,
    likeliest,
    seeded,
)

SKIP, LINEAR, RELU = 1, 2, 3  # operation 0 is none
_NEW = 0.1  # share of the new statistics in the running ones
EPS = 1e-5
"""Added to variances."""
_SGD = FixedOptimizer(
    id="sgd",
    lr=0.05,
    parameters={"momentum": 0.9, "nesterov": "yes", "schedule": "cosine", "weight_decay": 5e-4},
)
# Two samples of one cell differ by rounding only; with Adam's own eps the sign of that would be a full step.
_SWEEPS = FixedOptimizer(parameters=SEARCH_CELL.fixed)

Statistics = dict[str, Tensor]


class SearchCell(TaskBase):
    """The task for given parameters.

    Args:
        values: ``batch_size, width`` as the registry declares them.
        device: where vectors and parameters lie.
        data_dir: not read.
        dtype: of vectors and parameters.
    """

    splits = CELL_SPLITS
    evaluated: tuple[Split, ...] = ("valid", "test")
    phases: tuple[Phase, ...] = (
        Phase(name="weights", split="train", group="weights", optimizer=_SGD),
        Phase(name="architecture", split="valid", group="architecture", optimizer=_SWEEPS),
    )

    def __init__(
        self,
        values: Mapping[str, Value],
        *,
        device: torch.device,
        data_dir: Path | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.batch_size = int(values["batch_size"])
        self.steps_per_epoch = -(-self.splits["train"] // self.batch_size)
        self._width = int(values["width"])
        self._data = {
            split: (x.to(device, dtype), y.to(device))
            for split, (x, y) in zip(CELL_SPLITS, _vectors(), strict=True)
        }
        self._table = torch.rand(OPERATIONS**EDGES, generator=seeded(1)).to(device, dtype)

    def init(self, noise: NoiseSource, lanes: int) -> Variables:
        """Weights uniform in +-1/sqrt(fan-in), architecture in +-0.001, running means 0 and variances 1."""
        like = self._data["train"][0]
        width = self._width
        maps = [name for edge in range(EDGES) for name in names(edge)]
        sizes = {"stem": (INPUTS, width), **dict.fromkeys(maps, (width, width)), "head": (width, CLASSES)}
        weights = initial(noise, lanes, sizes, like=like)
        u = noise.uniform((lanes, EDGES, OPERATIONS), dtype=like.dtype, device=like.device)
        mean, variance = like.new_zeros(lanes, width), like.new_ones(lanes, width)
        buffers = {f"{name}.mean": mean.clone() for name in maps} | {
            f"{name}.var": variance.clone() for name in maps
        }
        return Variables(
            groups={"weights": weights, "architecture": {"logits": 1e-3 * (2 * u - 1)}}, buffers=buffers
        )

    def batch(self, split: Split, index: Tensor, noise: NoiseSource, *, length: int | None) -> Batch:
        """``x`` ``(lanes, B, 6)`` and ``y`` ``(lanes, B)``."""
        x, y = self._data[split]
        return {"x": x[index], "y": y[index]}

    def loss(self, phase: Phase, variables: Variables, batch: Batch, draw: Draw) -> Loss:
        """Mean cross-entropy of the minibatch, of a drawn cell or expected over cells."""
        search = self._architecture_loss if phase.name == "architecture" else self._weights_loss
        return search(variables, batch, draw)

    def scores(
        self, variables: Variables, x: Tensor, cells: Tensor, seen: Statistics | None = None
    ) -> Tensor:
        """Scores of classes ``(lanes, K, B, classes)`` of the examples ``(lanes, B, ...)`` in every cell.

        Args:
            variables: weights and running statistics.
            x: examples.
            cells: one-hot operations ``(lanes, K, V, n)``.
            seen: where the minibatch's statistics go; ``None``: the running ones are used instead.
        """
        weights = variables.groups["weights"]
        stem = affine(weights, "stem", x)
        node_0 = stem.unsqueeze(1).expand(-1, cells.shape[1], -1, -1)
        node_1 = _edge(variables, 0, node_0, cells, seen)
        node_2 = _edge(variables, 1, node_0, cells, seen) + _edge(variables, 2, node_1, cells, seen)
        return affine(weights, "head", node_2)

    def _weights_loss(self, variables: Variables, batch: Batch, draw: Draw) -> Loss:
        x, y = _pair(batch)
        cell = draw.sample("weights", variables.groups["architecture"]["logits"].detach())
        seen: Statistics = {}
        scores = self.scores(variables, x, cell.unsqueeze(1), seen).squeeze(1)
        loss = cross_entropy(scores, y).mean(-1)
        buffers = {
            name: torch.lerp(variables.buffers[name], new.squeeze(1), _NEW) for name, new in seen.items()
        }
        return Loss(loss=loss, metrics={"train_loss": loss.detach()}, weight=y.shape[1], buffers=buffers)

    def _architecture_loss(self, variables: Variables, batch: Batch, draw: Draw) -> Loss:
        x, y = _pair(batch)

        def loss_of(cells: Tensor) -> Tensor:
            """Mean cross-entropy of cells ``(lanes, K, V, n)``, ``(lanes, K)``."""
            scores = self.scores(variables, x, cells, {})
            return cross_entropy(scores, y.unsqueeze(1)).mean(-1)

        loss = draw.expect("cell", variables.groups["architecture"]["logits"], loss_of)
        return Loss(loss=loss, metrics={"search_loss": loss.detach()}, weight=y.shape[1])

    def evaluate(self, split: Split, variables: Variables, batch: Batch, draw: Draw) -> Mapping[str, Tensor]:
        """Whether the likeliest cell, with running statistics, classifies each vector rightly."""
        x, y = _pair(batch)
        cell = likeliest(variables.groups["architecture"]["logits"]).unsqueeze(1)
        return {f"{split}_accuracy": is_right(self.scores(variables, x, cell).squeeze(1), y)}

    def measure(self, variables: Variables) -> Mapping[str, Tensor]:
        """What the table says of the likeliest cell."""
        choice = variables.groups["architecture"]["logits"].argmax(-1)
        place = OPERATIONS ** torch.arange(EDGES, device=choice.device)
        return {"accuracy": self._table[(choice * place).sum(-1)]}


def _edge(variables: Variables, edge: int, x: Tensor, cells: Tensor, seen: Statistics | None) -> Tensor:
    """All operations of an edge on x ``(lanes, K, B, width)``, weighted by their places in the cells."""
    d = cells[:, :, edge, :, None, None]
    linear, relu = names(edge)
    weights = variables.groups["weights"]
    of_linear = _normalised(variables, linear, affine(weights, linear, x), seen)
    of_relu = _normalised(variables, relu, affine(weights, relu, x), seen).relu()
    return d[:, :, SKIP] * x + d[:, :, LINEAR] * of_linear + d[:, :, RELU] * of_relu


def names(edge: int) -> tuple[str, str]:
    """Of the two maps of an edge, that without and that with ReLU."""
    return f"edge.{edge}.linear", f"edge.{edge}.relu"


def _normalised(variables: Variables, name: str, x: Tensor, seen: Statistics | None) -> Tensor:
    """Batch norm of x ``(lanes, K, B, width)``, statistics ``(lanes, K, width)`` of every lane and cell."""
    if seen is None:
        mean, variance = (variables.buffers[f"{name}.{kind}"].unsqueeze(1) for kind in ("mean", "var"))
    else:
        mean, variance = x.mean(-2), x.var(-2, unbiased=False)
        seen.update({f"{name}.mean": mean.detach(), f"{name}.var": variance.detach()})
    return (x - mean.unsqueeze(-2)) / (variance.unsqueeze(-2) + EPS).sqrt()


def _pair(batch: Batch) -> tuple[Tensor, Tensor]:
    assert isinstance(batch, Mapping)
    return batch["x"], batch["y"]


def _vectors() -> list[tuple[Tensor, Tensor]]:
    """Normal vectors of every split; the class is the largest of three linear features of them."""
    generator = seeded(0)
    features = torch.randn(INPUTS, CLASSES, generator=generator)
    vectors = [torch.randn(count, INPUTS, generator=generator) for count in CELL_SPLITS.values()]
    return [(x, (x @ features).argmax(-1)) for x in vectors]
