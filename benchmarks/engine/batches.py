"""Which examples every minibatch has: the order of an epoch, by lane.

Without lengths, the examples of a split are shuffled anew in every epoch and cut into minibatches. Where
examples differ in length they are sorted by it, equal lengths in the lane's own shuffled order, and cut into
minibatches, which come in an order that is the epoch's alone. So every example comes once an epoch,
minibatches have examples of similar length, and the length of a step's minibatch is the same in all lanes:
what a lane computes does not depend on its lane-mates. What is left over when minibatches are cut, the
longest examples, comes last.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.engine.noise import Purpose, seed_keys, shuffled
from benchmarks.tasks.contract import Task
from benchmarks.tasks.info import Split

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
        return StepShape(
            size=self._size(position),
            lengths=tuple(
                self._longest[phase.split][position] if phase.split in self._longest else None
                for phase in self._task.phases
            ),
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

    def _size(self, position: int) -> int:
        task = self._task
        first = task.phases[0].split
        left = task.splits[first] - position * task.batch_size if first in task.splits else task.batch_size
        return min(task.batch_size, left)

    def _by_length(self, split: Split, order: Tensor, epoch: int) -> Tensor:
        """Sorted by length, equal lengths in the lane's order, and cut into minibatches in the epoch's
        order."""
        lengths, size = self._lengths[split].to(order.device), self._task.batch_size
        by_length = order.gather(1, lengths[order].argsort(dim=1, stable=True))
        whole = order.shape[1] // size
        everyone = seed_keys([0], order.device)
        rank = shuffled(everyone, epoch, whole, purpose=Purpose.ORDER_OF_LENGTHS)[0]
        batches = by_length[:, : whole * size].reshape(len(order), whole, size)[:, rank]
        return torch.cat([batches.flatten(1), by_length[:, whole * size :]], 1)

    def _longest_of(self, split: Split, order: Tensor) -> list[int]:
        """The length of every step, which is the same in all lanes: its longest example's, rounded up.

        Steps go on at the front where a split ends, in the middle of a minibatch or not.
        """
        lengths = self._lengths[split].to(order.device)[order[0]].tolist()
        most, longest = max(lengths), []
        for position in range(self._task.steps_per_epoch):
            first = position * self._task.batch_size
            part = max(lengths[i % len(lengths)] for i in range(first, first + self._size(position)))
            longest.append(min(-(-part // LENGTH_STEP) * LENGTH_STEP, most))
        return longest
