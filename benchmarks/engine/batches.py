"""Which examples every minibatch has: the order of an epoch, by lane.

Without lengths, the examples of a split are shuffled anew in every epoch and cut into minibatches. Where
examples differ in length, the shuffled order is cut into pools of ``POOL`` minibatches, each pool is sorted
by length and its minibatches are shuffled: minibatches have examples of similar length, and every example
comes once an epoch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.engine.noise import LaneNoise, Purpose, shuffled
from benchmarks.tasks.contract import Phase, Task
from benchmarks.tasks.info import Split

POOL = 100
"""Minibatches that are sorted by length together."""
LENGTH_STEP = 8
"""Minibatches of differing lengths are cut to multiples of it, so that few shapes serve all."""

_PURPOSES: dict[Split, Purpose] = {"train": Purpose.ORDER, "valid": Purpose.ORDER_OF_VALID}


@dataclass(frozen=True, slots=True)
class StepShape:
    """What of a step's shapes may change from step to step.

    Attributes:
        size: examples of its minibatches.
        lengths: by phase, to which length its examples are cut; ``None`` for data without lengths.
    """

    size: int
    lengths: tuple[int | None, ...]


class Batches:
    """The order of data in the epochs of a task.

    Args:
        task: whose data.
        keys: of the noise, ``(lanes, 2)``.
    """

    def __init__(self, task: Task, keys: Tensor) -> None:
        self._task, self._keys = task, keys
        self._splits = tuple(
            dict.fromkeys(phase.split for phase in task.phases if phase.split in task.splits)
        )
        self._lengths = {split: task.lengths[split] for split in self._splits if split in task.lengths}
        self._longest: dict[Split, list[int]] = {}

    def empty(self) -> dict[str, Tensor]:
        """Places for the orders, by split: ``(lanes, examples)``."""
        lanes, device = len(self._keys), self._keys.device
        return {
            split: torch.zeros(lanes, self._task.splits[split], dtype=torch.int64, device=device)
            for split in self._splits
        }

    def fill(self, order: dict[str, Tensor], epoch: int) -> None:
        """Put the orders of an epoch (counted from 0) into their places."""
        for split in self._splits:
            plain = shuffled(self._keys, epoch, self._task.splits[split], purpose=_PURPOSES[split])
            if split in self._lengths:
                plain = self._by_length(split, plain, epoch)
                self._longest[split] = self._longest_of(split, plain)
            order[split].copy_(plain)

    def shape(self, position: int) -> StepShape:
        """The shape of the step at a position of the epoch that was filled in last."""
        task = self._task
        first = task.phases[0].split
        left = task.splits[first] - position * task.batch_size if first in task.splits else task.batch_size
        return StepShape(
            size=min(task.batch_size, left),
            lengths=tuple(self._length(phase, position) for phase in task.phases),
        )

    def alike(self, position: int, stop: int) -> int:
        """How many steps from a position on, at most up to ``stop``, have the shape of the first."""
        shape = self.shape(position)
        if not self._longest:
            first = self._task.phases[0].split
            whole = self._task.splits[first] // self._task.batch_size if first in self._task.splits else stop
            return max(1, min(stop, whole) - position)
        return next(
            (i - position for i in range(position + 1, stop) if self.shape(i) != shape), stop - position
        )

    def _length(self, phase: Phase, position: int) -> int | None:
        longest = self._longest.get(phase.split)
        return longest[position % len(longest)] if longest else None

    def _by_length(self, split: Split, order: Tensor, epoch: int) -> Tensor:
        """Pools sorted by length, their whole minibatches shuffled; a short last one stays the last."""
        lengths, size = self._lengths[split].to(order.device), self._task.batch_size
        pools = [
            pool.gather(1, lengths[pool].argsort(dim=1, stable=True)) for pool in order.split(size * POOL, 1)
        ]
        noise = LaneNoise(self._keys, _PURPOSES[split], step=epoch, first_draw=1)
        return torch.cat([_shuffled_batches(pool, size, noise) for pool in pools], 1)

    def _longest_of(self, split: Split, order: Tensor) -> list[int]:
        """The length of every minibatch: that of its longest example in any lane, rounded up."""
        lengths = self._lengths[split].to(order.device)
        ordered = lengths[order].cpu()
        parts = [int(part.max()) for part in ordered.split(self._task.batch_size, 1)]
        most = int(lengths.max())
        return [min(-(-part // LENGTH_STEP) * LENGTH_STEP, most) for part in parts]


def _shuffled_batches(pool: Tensor, size: int, noise: LaneNoise) -> Tensor:
    """The whole minibatches of a pool in another order, by lane."""
    whole = pool.shape[1] // size
    if whole < 2:
        return pool
    lanes = pool.shape[0]
    rank = noise.uniform((lanes, whole), dtype=torch.float64, device=pool.device).argsort(1)
    batches = pool[:, : whole * size].reshape(lanes, whole, size)
    moved = batches.gather(1, rank.unsqueeze(-1).expand(-1, -1, size)).flatten(1)
    return torch.cat([moved, pool[:, whole * size :]], 1)
