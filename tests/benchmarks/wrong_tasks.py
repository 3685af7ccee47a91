"""Tasks with one mistake each, and the check of the battery that must find it.

All are one small regression: a code of three binary variables shifts the prediction for points of a line.
The correct one comes first.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.tasks.contract import Batch, Draw, Loss, Phase, TaskBase, Variables
from benchmarks.tasks.info import Facts, Metric, Space, Split, TaskInfo, epochs
from estimators import NoiseSource, Value
from estimators._tracing import is_traced

_SPLITS: Mapping[Split, int] = {"train": 14, "test": 9}
_BATCH = 4
_CODE = Space(variables=3, categories=2, rows=_BATCH)


class Correct(TaskBase):
    """Squared error of ``weight x + shift * code`` for targets ``2 x + 1``."""

    def __init__(
        self, values: Mapping[str, Value], *, device: torch.device, data_dir: Path | None = None
    ) -> None:
        self.splits = dict(_SPLITS)
        self.batch_size = _BATCH
        self.steps_per_epoch = 4
        self.evaluated = ("test",)
        self._x = {split: torch.linspace(-1, 1, count, device=device) for split, count in _SPLITS.items()}

    def init(self, noise: NoiseSource, lanes: int) -> Variables:
        """Small numbers."""
        device = self._x["train"].device
        u = noise.uniform((lanes, 4, 2), dtype=torch.float32, device=device) - 0.5
        model = {
            "logits": u[:, :3].contiguous(),
            "weight": u[:, 3, :1].contiguous(),
            "shift": u[:, 3, 1:] + 0,
        }
        return Variables(groups={"model": model})

    def batch(self, split: Split, index: Tensor, noise: NoiseSource, *, length: int | None) -> Batch:
        """Points ``(lanes, B)``."""
        return self._x[split][index]

    def loss(self, phase: Phase, variables: Variables, batch: Batch, draw: Draw) -> Loss:
        """The mean squared error of the minibatch."""
        assert isinstance(batch, Tensor)
        loss = self.average(self.errors(variables, batch, draw))
        return Loss(loss=loss, metrics={"train_error": loss.detach()}, weight=batch.shape[1])

    def evaluate(self, split: Split, variables: Variables, batch: Batch, draw: Draw) -> Mapping[str, Tensor]:
        """The squared error of every point."""
        assert isinstance(batch, Tensor)
        return {"test_error": self.errors(variables, batch, draw)}

    def errors(self, variables: Variables, x: Tensor, draw: Draw) -> Tensor:
        """Expected squared errors ``(lanes, B)``."""
        model = variables.groups["model"]
        logits = model["logits"].unsqueeze(1).expand(-1, x.shape[1], -1, -1)

        def squared_error(samples: Tensor) -> Tensor:
            code = samples[..., 0].sum(-1)  # (lanes, K, B)
            predicted = (model["weight"] * x).unsqueeze(1) + model["shift"].unsqueeze(-1) * code
            return (predicted - (2 * x + 1).unsqueeze(1)).square()

        return draw.expect("code", logits, squared_error)

    def average(self, errors: Tensor) -> Tensor:
        """Over the minibatch."""
        return errors.mean(1)


class MeanAcrossLanes(Correct):
    """The loss of a lane has a share of the others'."""

    def average(self, errors: Tensor) -> Tensor:
        """Over everything."""
        return 0.5 * errors.mean(1) + 0.5 * errors.mean()


class NormalisedAcrossLanes(Correct):
    """Points are divided by the largest in any lane."""

    def batch(self, split: Split, index: Tensor, noise: NoiseSource, *, length: int | None) -> Batch:
        """Scaled."""
        x = self._x[split][index]
        return x / x.abs().max()


class NoiseOfTheFirstLane(Correct):
    """Dropout that all lanes take from the first one."""

    def loss(self, phase: Phase, variables: Variables, batch: Batch, draw: Draw) -> Loss:
        """With points left out."""
        assert isinstance(batch, Tensor)
        kept = draw.uniform("dropout", tuple(batch.shape), dtype=batch.dtype)[:1] < 0.8
        return super().loss(phase, variables, batch * kept, draw)


class NoiseOfTorch(Correct):
    """Dropout from torch's own generator."""

    def loss(self, phase: Phase, variables: Variables, batch: Batch, draw: Draw) -> Loss:
        """With points left out."""
        assert isinstance(batch, Tensor)
        return super().loss(phase, variables, batch * (torch.rand(batch.shape) < 0.8), draw)


class SeededNoise(Correct):
    """A start that is the same for every seed."""

    def init(self, noise: NoiseSource, lanes: int) -> Variables:
        """From a generator of its own."""
        right = super().init(noise, lanes)
        logits = torch.rand(3, 2, generator=torch.Generator().manual_seed(0)).expand(lanes, -1, -1)
        return Variables(groups={"model": {**right.groups["model"], "logits": logits.clone()}})


class HiddenCounter(Correct):
    """The loss shrinks with the number of steps that this object has done."""

    steps = 0

    def average(self, errors: Tensor) -> Tensor:
        """Weighted by a counter that no checkpoint has."""
        self.steps += 1
        return errors.mean(1) / self.steps


class HiddenTensor(Correct):
    """A baseline that is carried from step to step beside the state."""

    baseline: Tensor | float = 0.0

    def average(self, errors: Tensor) -> Tensor:
        """Less a running mean."""
        mean = errors.mean(1)
        before, self.baseline = self.baseline, 0.9 * mean.detach()
        return mean * (1 + before)


class ReadsTheLoss(Correct):
    """A step that asks for a number."""

    def average(self, errors: Tensor) -> Tensor:
        """Scaled by a Python number."""
        return errors.mean(1) * (1 + 0 * errors.detach().mean().item())


class BranchesOnATensor(Correct):
    """A step that asks whether a tensor is true."""

    def average(self, errors: Tensor) -> Tensor:
        """Clipped if need be."""
        return errors.clamp(max=100.0).mean(1) if errors.max() > 100 else errors.mean(1)


class LeavesTheDevice(Correct):
    """A step through numpy."""

    def average(self, errors: Tensor) -> Tensor:
        """Scaled by the largest number, as numpy sees it."""
        return errors.mean(1) * (1 + 0 * float(errors.detach().numpy().max()))


class HidesDivergence(Correct):
    """Parameters that are not numbers count as 0."""

    def errors(self, variables: Variables, x: Tensor, draw: Draw) -> Tensor:
        """Of finite parameters."""
        finite = {name: p.nan_to_num() for name, p in variables.groups["model"].items()}
        return super().errors(Variables(groups={"model": finite}), x, draw)


class SpreadsNaN(Correct):
    """A lane that is not finite makes the others so: 0 times its loss is added."""

    def average(self, errors: Tensor) -> Tensor:
        """0 times a NaN is one."""
        return errors.mean(1) + 0 * errors.mean()


class DependsOnWidth(Correct):
    """Another computation in a group of several lanes."""

    def average(self, errors: Tensor) -> Tensor:
        """As for other numbers of lanes."""
        return errors.mean(1) * (1 + 0.01 * (len(errors) > 1))


class DependsOnCompiling(Correct):
    """Another computation while a step is recorded."""

    def average(self, errors: Tensor) -> Tensor:
        """As a recorder sees it."""
        return errors.mean(1) * (1.01 if is_traced() else 1)


class WeighsWrongly(Correct):
    """A short minibatch counts as a full one."""

    def loss(self, phase: Phase, variables: Variables, batch: Batch, draw: Draw) -> Loss:
        """Of the declared size."""
        return dataclasses.replace(super().loss(phase, variables, batch, draw), weight=_BATCH)


class DependsOnChunks(Correct):
    """An evaluation relative to the points that come with a point."""

    def evaluate(self, split: Split, variables: Variables, batch: Batch, draw: Draw) -> Mapping[str, Tensor]:
        """Divided by the largest error of the chunk."""
        errors = super().evaluate(split, variables, batch, draw)["test_error"]
        return {"test_error": errors / errors.amax(1, keepdim=True)}


class OneDrawForTheChunk(Correct):
    """Evaluated at one code for all points of a chunk."""

    def evaluate(self, split: Split, variables: Variables, batch: Batch, draw: Draw) -> Mapping[str, Tensor]:
        """With the noise of the first point."""
        assert isinstance(batch, Tensor)
        u = draw.uniform("shared", tuple(batch.shape), dtype=batch.dtype)[:, :1]
        return {"test_error": super().evaluate(split, variables, batch, draw)["test_error"] + u}


class ReportsMore(Correct):
    """A metric that is not declared."""

    def measure(self, variables: Variables) -> Mapping[str, Tensor]:
        """The size of the weight."""
        return {"size": variables.groups["model"]["weight"].abs().squeeze(1)}


class ReportsLess(Correct):
    """A declared metric that is not reported."""

    evaluated: tuple[Split, ...] = ()

    def __init__(
        self, values: Mapping[str, Value], *, device: torch.device, data_dir: Path | None = None
    ) -> None:
        super().__init__(values, device=device, data_dir=data_dir)
        self.evaluated = ()


def _metric(name: str, split: Split) -> Metric:
    return Metric(name=name, title=name, unit="", goal="minimize", split=split, description="Squared error.")


CORRECT = TaskInfo(
    id="correct",
    title="A line and a code",
    parameters=(epochs(default=2, description="Epochs."),),
    metrics=(_metric("test_error", "test"), _metric("train_error", "train")),
    select="test_error",
    report=("train_error",),
    optimizers=("adam",),
    default_lr=1e-2,
    version=1,
    describe=lambda v: "A line and a code",
    facts=lambda v: Facts(spaces={"code": _CODE}, flop=100.0),
    splits=lambda v: _SPLITS,
    steps_per_epoch=lambda v: 4,
    references=lambda v: (),
    target="tests.benchmarks.wrong_tasks:Correct",
)

WRONG = (
    (MeanAcrossLanes, "lanes", "depends on the lanes beside it"),
    (NormalisedAcrossLanes, "lanes", "depends on the lanes beside it"),
    (NoiseOfTheFirstLane, "lanes", "lane 1 of 3 depends on the lanes beside it"),
    (NoiseOfTorch, "lanes", "depends on the lanes beside it"),
    (NoiseOfTorch, "noise", "`loss` draws by aten::rand"),
    (SeededNoise, "noise", "`init` draws by aten::rand"),
    (HiddenCounter, "resume", "stopped after step .* and resumed"),
    (HiddenCounter, "lanes", "groups that take turns"),
    (HiddenTensor, "resume", "stopped after step .* and resumed"),
    (DependsOnWidth, "wide", "alone against 3 lanes together"),
    (SpreadsNaN, "nan", "is disturbed by lane 1"),
    (HidesDivergence, "nan", "diverges at step .* reported was None"),
    (DependsOnCompiling, "compiled", "compiled steps differ"),
    (ReadsTheLoss, "compiled", "a step cannot be compiled: steps: RuntimeError"),
    (WeighsWrongly, "minibatches", "a minibatch of 2 examples has the weight 4"),
    (DependsOnChunks, "evaluation", "chunks of 7 examples: /test_error"),
    (OneDrawForTheChunk, "evaluation", "chunks of 7 examples: /test_error"),
    (ReportsMore, "metrics", "a trial reports .*size"),
    (ReportsLess, "metrics", "declared are test_error, train_error; a trial reports train_error"),
    (ReadsTheLoss, "synchronisation", "`loss` reads a tensor by aten::_local_scalar_dense"),
    (BranchesOnATensor, "synchronisation", "`loss` reads a tensor by aten::"),
    (LeavesTheDevice, "synchronisation", "`loss` reads a tensor by `numpy`"),
)
"""Class, the check that must find its mistake, and words of what it says."""


def _declared(**facts: Any) -> Callable[[Mapping[str, Value]], Facts]:
    return lambda v: dataclasses.replace(CORRECT.facts(v), **facts)


MISDECLARED: tuple[tuple[dict[str, Any], str, str], ...] = (
    (
        {"facts": _declared(spaces={"code": Space(variables=4, categories=2, rows=4)})},
        "spaces",
        "declared are 4 variables of 2 categories, the logits have 3 of 2",
    ),
    (
        {"facts": _declared(spaces={"z": _CODE})},
        "spaces",
        "declared are the calls z, those whose logits learn are code",
    ),
    (
        {"facts": _declared(sequential=True)},
        "spaces",
        "sequential is declared True, .* are not given to `sample`",
    ),
    (
        {"facts": _declared(differentiable=False)},
        "spaces",
        "differentiable is declared False, .* have a gradient",
    ),
    (
        {"facts": _declared(spaces={"code": Space(variables=3, categories=2, separable=True, rows=4)})},
        "evaluations",
        "exact declares 2 evaluations an estimate .* there were 8",
    ),
    ({"report": ("accuracy",)}, "metrics", "accuracy is selected, reported or referred to, not declared"),
    ({"splits": lambda v: {"train": 14, "test": 10}}, "splits", "should have .*10.* they have .*9"),
    ({"steps_per_epoch": lambda v: 5}, "splits", "are 4 steps an epoch, not 5"),
    (
        {"facts": _declared(ragged=True)},
        "splits",
        "ragged is declared True, the examples trained on have no lengths",
    ),
    ({"fixed": {"clip_norm": 1.0}}, "protocol", "train fixes {} of the sweep's optimizer"),
)
"""What is wrong in the entry of the correct task, the check that must find it, and words of what it says."""
