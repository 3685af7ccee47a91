"""How a task goes through its data."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from benchmarks.tasks.battery.subject import Subject
from benchmarks.tasks.battery.training import ABSOLUTE, RELATIVE, Outcome, disagreement, require, train
from benchmarks.tasks.battery.watching import Watched
from benchmarks.tasks.contract import Loss

LANES = 2
_SMALL_CHUNK = 7


def minibatches(subject: Subject, estimator: str) -> None:
    """Every example comes once an epoch in every lane; training metrics are weighted means."""
    watched = Watched(subject.task())
    examples, phase = watched.splits[watched.phases[0].split], watched.phases[0]
    require(
        examples % watched.batch_size != 0,
        f"minibatches of {watched.batch_size} leave none of {examples} examples over, so that none is "
        "short; let `small` say another batch size",
    )
    outcome = train(watched, subject.trials(estimator, LANES), group_width=LANES)
    steps = watched.steps_per_epoch
    indices = watched.record.indices[phase.name]
    losses = watched.record.losses[phase.name]
    for epoch in range(int(subject.values["epochs"])):
        part = slice(epoch * steps, (epoch + 1) * steps)
        _check_epoch(indices[part], losses[part], examples)
        _check_means(losses[part], outcome, epoch + 1)


def _check_epoch(indices: Sequence[Tensor], losses: Sequence[Loss], examples: int) -> None:
    seen = torch.cat(list(indices), dim=1).sort(dim=1).values
    everything = torch.arange(examples).expand(LANES, -1)
    require(
        torch.equal(seen, everything), f"an epoch is not one pass over the {examples} examples in every lane"
    )
    for index, loss in zip(indices, losses, strict=True):
        require(
            loss.weight == index.shape[1],
            f"a minibatch of {index.shape[1]} examples has the weight {loss.weight}",
        )


def _check_means(losses: Sequence[Loss], outcome: Outcome, epoch: int) -> None:
    weights = torch.tensor([float(loss.weight) for loss in losses], dtype=torch.float64)
    for name in losses[0].metrics:
        mean = weights @ torch.stack([loss.metrics[name].double() for loss in losses]) / weights.sum()
        for lane, curve in outcome.curves.items():
            reported = next((v for metric, at, v in curve if (metric, at) == (name, epoch)), math.nan)
            expected = float(mean[lane])
            require(
                math.isclose(reported, expected, rel_tol=RELATIVE, abs_tol=ABSOLUTE),
                f"{name} at epoch {epoch} is {reported}, the mean with the weights of minibatches {expected}",
            )


def evaluation(subject: Subject, estimator: str) -> None:
    """Metrics do not depend on the chunks in which a split is evaluated, but for rounding."""
    whole, cut = (
        train(subject.task(), subject.trials(estimator, LANES), group_width=LANES, evaluation_chunk=chunk)
        for chunk in (max(subject.splits.values()), _SMALL_CHUNK)
    )
    for lane in range(LANES):
        found = disagreement(_by_name(whole, lane), _by_name(cut, lane))
        require(not found, f"whole splits against chunks of {_SMALL_CHUNK} examples: {found}")


def _by_name(outcome: Outcome, lane: int) -> dict[str, float]:
    return {f"{metric} at epoch {epoch}": value for metric, epoch, value in outcome.curves[lane]}
