"""A small task of what tasks of several draws need: one code depends on another, statistics run along.

No registered task has an expectation within another's objective, a buffer that a loss replaces and an
evaluation reads, or two phases in steps that are small enough to be compiled. This one has them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.engine.optimizers.fixed import FixedOptimizer
from benchmarks.tasks.contract import Batch, Draw, Loss, Parameters, Phase, TaskBase, Variables
from benchmarks.tasks.info import Facts, Metric, Space, Split, TaskInfo, epochs
from estimators import NoiseSource, Value

SPLITS: Mapping[Split, int] = {"train": 14, "valid": 10, "test": 9}
BATCH = 4
UPPER, LOWER = 2, 3
_NEW = 0.25  # share of a minibatch's mean in the running one
_SGD = FixedOptimizer(id="sgd", lr=0.05, parameters={"momentum": 0.9, "schedule": "cosine"})


class Chain(TaskBase):
    r"""Squared error of ``weight (x - mean) + shift (u + l)`` for targets ``2 x + 1``.

    u and l are sums of binary variables, and the logits of l's are ``lower + u link``. Weights are trained on
    one split with codes that are drawn, logits on another with the expectation over u of that over l. The
    mean of x is that of the minibatch where weights are trained, and a running one elsewhere.
    """

    phases: tuple[Phase, ...] = (
        Phase(name="weights", split="train", group="weights", optimizer=_SGD),
        Phase(name="codes", split="valid", group="codes"),
    )
    evaluated: tuple[Split, ...] = ("test",)

    def __init__(
        self, values: Mapping[str, Value], *, device: torch.device, data_dir: Path | None = None
    ) -> None:
        self.splits = dict(SPLITS)
        self.batch_size = BATCH
        self.steps_per_epoch = 4
        self._x = {split: torch.linspace(-1, 2, count, device=device) for split, count in SPLITS.items()}

    def init(self, noise: NoiseSource, lanes: int) -> Variables:
        """Small numbers; a running mean of 0."""
        device = self._x["train"].device
        u = noise.uniform((lanes, UPPER + 2 * LOWER + 1, 2), dtype=torch.float32, device=device) - 0.5
        upper, lower, link, last = (part.clone() for part in u.split((UPPER, LOWER, LOWER, 1), 1))
        weights: Parameters = {"weight": last[:, 0, :1].clone(), "shift": last[:, 0, 1:].clone()}
        return Variables(
            groups={"weights": weights, "codes": {"upper": upper, "lower": lower, "link": link}},
            buffers={"mean": torch.zeros(lanes, 1, device=device)},
        )

    def batch(self, split: Split, index: Tensor, noise: NoiseSource, *, length: int | None) -> Batch:
        """Points ``(lanes, B)``."""
        return self._x[split][index]

    def loss(self, phase: Phase, variables: Variables, batch: Batch, draw: Draw) -> Loss:
        """The mean squared error of the minibatch; the first phase moves the running mean."""
        assert isinstance(batch, Tensor)
        if phase.name == "codes":
            loss = self._expected(variables, batch, draw).mean(1)
            return Loss(loss=loss, metrics={"search_error": loss.detach()}, weight=batch.shape[1])
        mean = batch.mean(1, keepdim=True)
        codes = {name: tensor.detach() for name, tensor in variables.groups["codes"].items()}
        u = draw.sample("upper", _upper(codes, batch))[..., 0].sum(-1)
        code = u + draw.sample("lower", _lower(codes, u))[..., 0].sum(-1)
        loss = _error(variables, batch, mean, code).mean(1)
        return Loss(
            loss=loss,
            metrics={"train_error": loss.detach()},
            weight=batch.shape[1],
            buffers={"mean": torch.lerp(variables.buffers["mean"], mean, _NEW)},
        )

    def evaluate(self, split: Split, variables: Variables, batch: Batch, draw: Draw) -> Mapping[str, Tensor]:
        """The squared error of every point, for codes that are drawn."""
        assert isinstance(batch, Tensor)
        return {"test_error": self._expected(variables, batch, draw)}

    def _expected(self, variables: Variables, x: Tensor, draw: Draw) -> Tensor:
        """Over both codes, with the running mean: ``(lanes, B)``."""
        codes, mean = variables.groups["codes"], variables.buffers["mean"]

        def over_lower(upper: Tensor) -> Tensor:
            """Of codes ``(lanes, K, B, 2, 2)``, ``(lanes, K, B)``."""
            u = upper[..., 0].sum(-1)

            def error(lower: Tensor) -> Tensor:
                """Of codes ``(lanes, J, K, B, 3, 2)``, ``(lanes, J, K, B)``."""
                return _error(variables, x, mean, u.unsqueeze(1) + lower[..., 0].sum(-1))

            return draw.expect("lower", _lower(codes, u), error)

        return draw.expect("upper", _upper(codes, x), over_lower)


def _upper(codes: Parameters, x: Tensor) -> Tensor:
    """Logits ``(lanes, B, 2, 2)``, the same for every point."""
    return codes["upper"].unsqueeze(1).expand(-1, x.shape[1], -1, -1)


def _lower(codes: Parameters, u: Tensor) -> Tensor:
    """Logits given u ``(lanes, ...)``, ``(lanes, ..., 3, 2)``."""
    lower, link = (_beside(codes[name], u.dim() - 1) for name in ("lower", "link"))
    return lower + u[..., None, None] * link


def _error(variables: Variables, x: Tensor, mean: Tensor, code: Tensor) -> Tensor:
    """Of every point for a code ``(lanes, ..., B)``, of its shape."""
    weights, between = variables.groups["weights"], code.dim() - 2
    slope = _beside(weights["weight"] * (x - mean) - 2 * x - 1, between)
    return (slope + _beside(weights["shift"], between) * code).square()


def _beside(tensor: Tensor, between: int) -> Tensor:
    """``(lanes, ...)`` with so many axes of size 1 behind the lanes."""
    return tensor.view(len(tensor), *[1] * between, *tensor.shape[1:])


def _metric(name: str, split: Split) -> Metric:
    return Metric(name=name, title=name, unit="", goal="minimize", split=split, description="Squared error.")


INFO = TaskInfo(
    id="chain",
    title="A code that depends on a code",
    parameters=(epochs(default=2, description="Epochs."),),
    metrics=(
        _metric("test_error", "test"),
        _metric("train_error", "train"),
        _metric("search_error", "valid"),
    ),
    select="test_error",
    report=("train_error",),
    optimizers=("adam", "radam"),
    default_lr=1e-2,
    version=1,
    describe=lambda v: "A code that depends on a code",
    facts=lambda v: Facts(
        spaces={
            "upper": Space(variables=UPPER, categories=2, rows=BATCH),
            "lower": Space(variables=LOWER, categories=2, rows=BATCH),
        },
        flop=500.0,
        nested=True,
    ),
    splits=lambda v: SPLITS,
    steps_per_epoch=lambda v: 4,
    references=lambda v: (),
    target="tests.support.chain:Chain",
)
