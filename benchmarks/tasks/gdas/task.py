r"""Search for the best cell of NATS-Bench by GDAS: weights and architecture in turns.

Every forward pass draws one operation for each of the six edges, D ~ softmax(logits), and all cells of the
super-network (:mod:`benchmarks.tasks.gdas.network`) have it. A step has two phases, each with a draw, images
and an optimizer of its own:

    weights         cross-entropy of a minibatch of the train split; SGD, rate from 0.025 to 0.001 by a
                    cosine, Nesterov's momentum 0.9, decay 5e-4
    architecture    E[cross-entropy of a minibatch of the valid split]; Adam, betas (0.5, 0.999), rate and L2
                    decay of the sweep

What the estimator sees of the operations that are not drawn is the network's choice. A sparse one, NATS's,
does not evaluate them: with k drawn, an edge is D_k op_k(x) + sum of the other D_j as bare numbers, so that
their gradient is that of an output of all ones. A full one evaluates all: sum of D_j op_j(x). Values are the
same. So are gradients by weights, for which only what is drawn is computed.

The search is judged by the likeliest cell: its accuracy after 200 epochs of training alone is looked up.

Source: Dong and Yang, "Searching for a Robust Neural Architecture in Four GPU Hours", CVPR 2019; the search
of NATS-Bench; Liu et al., "Bridging Discrete and Backpropagation: Straight-Through and Beyond", NeurIPS 2023,
section 5.5.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.datasets import nats_bench
from benchmarks.engine.optimizers.fixed import FixedOptimizer
from benchmarks.tasks.contract import Batch, Draw, Loss, Parameters, Phase, TaskBase, Variables
from benchmarks.tasks.gdas import images
from benchmarks.tasks.gdas.cells import COLUMNS, EDGES, OPERATIONS, looked_up
from benchmarks.tasks.gdas.info import FIXED, LOOKED_UP
from benchmarks.tasks.gdas.network import Evaluated, SuperNetwork
from benchmarks.tasks.gdas.sizes import source
from benchmarks.tasks.info import Split
from estimators import NoiseSource, Value

_WEIGHTS = FixedOptimizer(
    id="sgd",
    lr=0.025,
    parameters={
        "momentum": 0.9,
        "nesterov": "yes",
        "schedule": "cosine",
        "final_lr": 0.001 / 0.025,
        "weight_decay": 5e-4,
    },
)
_LOGITS_SD = 1e-3


class Gdas(TaskBase):
    """The task for given parameters.

    Args:
        values: as the registry declares them.
        device: where images and parameters lie.
        data_dir: where data sets lie; default as in :mod:`benchmarks.datasets.loading`.
        made_up: how many random images to take instead, by split.

    Raises:
        DatasetUnavailable: images or table can be neither found nor fetched.
    """

    phases: tuple[Phase, ...] = (
        Phase(name="weights", split="train", group="weights", optimizer=_WEIGHTS),
        Phase(
            name="architecture",
            split="valid",
            group="architecture",
            optimizer=FixedOptimizer(parameters=FIXED),
        ),
    )

    def __init__(
        self,
        values: Mapping[str, Value],
        *,
        device: torch.device,
        data_dir: Path | None = None,
        made_up: Mapping[Split, int] | None = None,
    ) -> None:
        data = images.load(values, data_dir) if made_up is None else images.random(values, made_up)
        self._images = {split: part.images.to(device) for split, part in data.items()}
        self._labels = {split: part.labels.to(device) for split, part in data.items()}
        self._varied = images.Augmentation(self._images["train"])
        self._device = device
        self._table = _accuracies(data_dir).to(device)
        self.splits = {split: len(labels) for split, labels in self._labels.items()}
        self.batch_size = int(values["batch_size"])
        self.steps_per_epoch = -(-self.splits["train"] // self.batch_size)
        self.final_temperature = float(values["final_temperature"])
        self._searched: Evaluated = "all" if values["network"] == "full" else "drawn"
        self.network = SuperNetwork(
            colours=source(values).colours,
            channels=int(values["channels"]),
            cells=int(values["cells"]),
            classes=source(values).classes,
        )

    def init(self, noise: NoiseSource, lanes: int) -> Variables:
        """PyTorch's default for the weights; logits normal with standard deviation 0.001."""
        weights = self.network.initial(noise, lanes, self._device)
        u = noise.uniform((lanes, len(EDGES), len(OPERATIONS)), dtype=torch.float32, device=self._device)
        architecture: Parameters = {"logits": _LOGITS_SD * torch.special.ndtri(u)}
        return Variables(groups={"weights": weights, "architecture": architecture})

    def batch(self, split: Split, index: Tensor, noise: NoiseSource, *, length: int | None) -> Batch:
        """``x`` ``(lanes, B, colours, side, side)``, mirrored and moved, and ``y`` ``(lanes, B)``."""
        pixels = self._images[split].index_select(0, index.flatten()).unflatten(0, index.shape)
        return {"x": self._varied(pixels, noise), "y": self._labels[split][index]}

    def loss(self, phase: Phase, variables: Variables, batch: Batch, draw: Draw) -> Loss:
        """Mean cross-entropy of the minibatch: in a drawn cell, or expected over cells."""
        if phase.name == "architecture":
            return self._architecture_loss(variables, batch, draw)
        return self._weights_loss(variables, batch, draw)

    def _weights_loss(self, variables: Variables, batch: Batch, draw: Draw) -> Loss:
        x, y = _pair(batch)
        cell = draw.sample("weights", variables.groups["architecture"]["logits"].detach()).unsqueeze(1)
        scores = self.network.scores(variables.groups["weights"], x, cell, "drawn only").squeeze(1)
        loss = cross_entropy(scores, y).mean(-1)
        right = (scores.detach().argmax(-1) == y).to(loss.dtype).mean(-1)
        metrics = {"train_loss": loss.detach(), "train_accuracy": 100 * right}
        return Loss(loss=loss, metrics=metrics, weight=y.shape[1])

    def _architecture_loss(self, variables: Variables, batch: Batch, draw: Draw) -> Loss:
        x, y = _pair(batch)
        weights, logits = variables.groups["weights"], variables.groups["architecture"]["logits"]

        def loss_of(cells: Tensor) -> Tensor:
            """Mean cross-entropy in cells ``(lanes, K, 6, 5)``, ``(lanes, K)``."""
            scores = self.network.scores(weights, x, cells, self._searched)
            return cross_entropy(scores, y.unsqueeze(1).expand(scores.shape[:-1])).mean(-1)

        loss = draw.expect("cell", logits, loss_of)
        return Loss(loss=loss, metrics={"search_loss": loss.detach()}, weight=y.shape[1])

    def measure(self, variables: Variables) -> Mapping[str, Tensor]:
        """The likeliest cell, and what the table says of it."""
        choice = variables.groups["architecture"]["logits"].argmax(-1)
        place = len(OPERATIONS) ** torch.arange(len(EDGES) - 1, -1, -1, device=choice.device)
        row = self._table.index_select(0, (choice * place).sum(-1))
        return dict(zip(("cell", *LOOKED_UP), row.unbind(-1), strict=True))


def cross_entropy(scores: Tensor, label: Tensor) -> Tensor:
    """-ln softmax of the label, ``(..., classes), (...) -> (...)``."""
    return -scores.log_softmax(-1).gather(-1, label.unsqueeze(-1)).squeeze(-1)


def _pair(batch: Batch) -> tuple[Tensor, Tensor]:
    if not isinstance(batch, Mapping):
        raise ValueError("the search needs a minibatch of images with labels")
    return batch["x"], batch["y"]


@functools.cache
def _accuracies(data_dir: Path | None) -> Tensor:
    """``(15,625, 7)``: index and accuracies of all cells, in the order of :func:`cells.choices`."""
    return torch.tensor(looked_up(nats_bench.load(data_dir=data_dir), COLUMNS))
