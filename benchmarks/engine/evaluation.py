"""Evaluation of all lanes: through whole splits in chunks, and what needs no data."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.engine.draw import EvaluationDraw
from benchmarks.engine.noise import ExampleNoise
from benchmarks.tasks.contract import Task, Variables
from benchmarks.tasks.info import Split
from estimators import Properties

CHUNK = 1000
"""Examples that are evaluated at a time; results do not depend on it, but for rounding."""


@torch.no_grad()
def evaluated(
    task: Task, variables: Variables, properties: Properties, keys: Tensor, *, number: int, chunk: int = CHUNK
) -> dict[str, Tensor]:
    """What a task measures of every lane: means over the examples of its splits, ``(lanes,)`` each.

    Args:
        task: what is evaluated.
        variables: of all lanes.
        properties: of the estimator.
        keys: of the noise, ``(lanes, 2)``.
        number: of the evaluation, counted from 1: its noise.
        chunk: examples at a time.
    """
    metrics: dict[str, Tensor] = {}
    for split in task.evaluated:
        examples = task.splits[split]
        sums: dict[str, Tensor] = {}
        for first in range(0, examples, chunk):
            count = min(chunk, examples - first)
            values = _chunk(task, variables, properties, keys, split, number, first, count)
            for name, value in values.items():
                total = value.sum(-1, dtype=torch.float64)
                sums[name] = sums[name] + total if name in sums else total
        metrics |= {name: total / examples for name, total in sums.items()}
    return metrics | dict(task.measure(variables))


def _chunk(
    task: Task,
    variables: Variables,
    properties: Properties,
    keys: Tensor,
    split: Split,
    number: int,
    first: int,
    count: int,
) -> dict[str, Tensor]:
    """Values of the examples from ``first`` on, ``(lanes, count)`` each."""
    place = list(task.evaluated).index(split)

    def noise(stream: int) -> ExampleNoise:
        return ExampleNoise(
            keys,
            step=number,
            examples=task.splits[split],
            first=first,
            count=count,
            stream=stream + place * _STREAMS_OF_A_SPLIT,
        )

    index = torch.arange(first, first + count, device=keys.device).expand(len(keys), -1)
    batch = task.batch(
        split, index, noise(_STREAMS_OF_A_SPLIT - 1), length=_longest(task, split, first, count)
    )
    draw = EvaluationDraw(properties, noise, keys.device)
    return dict(task.evaluate(split, variables, batch, draw))


_STREAMS_OF_A_SPLIT = 2**8


def _longest(task: Task, split: Split, first: int, count: int) -> int | None:
    if split not in task.lengths:
        return None
    return int(task.lengths[split][first : first + count].max())
