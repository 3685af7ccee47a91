r"""Learning rates that move.

The step t of a trial, counted from 1, of T in all, has the rate r s((t - 1) / T):

    constant    s(x) = 1
    linear      s(x) = 1 + (final - 1) x
    cosine      s(x) = final + (1 - final) (1 + cos(pi x)) / 2

The first step has r; the last is one step short of final r, and so is what ``torch.optim.lr_scheduler`` says
when a scheduler is stepped after each update: ``LinearLR(start_factor=1, end_factor=final, total_iters=T)``
and ``CosineAnnealingLR(T_max=T, eta_min=final r)``.

:func:`advanced` is ``ReduceLROnPlateau`` for rates that follow a metric. Its scale multiplies those above.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypedDict

import numpy as np

from benchmarks.engine.optimizers.fixed import Plateau
from benchmarks.engine.optimizers.rule import Floats

_SMALLEST_FALL = 1e-8
"""A fall of the rate by no more than this does not happen, as in torch."""


def rates(
    schedule: str,
    *,
    lr: Sequence[float],
    final_lr: float,
    total_steps: Sequence[int],
    first_step: int,
    count: int,
) -> Floats:
    """Learning rates ``(count, lanes)`` of steps of each lane; a lane that is past its end keeps its last.

    Args:
        schedule: ``constant``, ``cosine`` or ``linear``.
        lr: at the start, one per lane.
        final_lr: share of it at the end.
        total_steps: of each lane's trial.
        first_step: of the first row, counted from 1.
        count: of steps.

    Raises:
        ValueError: an unknown schedule.
    """
    if schedule not in ("constant", "cosine", "linear"):
        raise ValueError(f"unknown schedule {schedule!r}; there are constant, cosine, linear")
    if schedule == "constant":
        return np.tile(np.array(lr, dtype=np.float64), (count, 1))
    shares = {
        total: [
            _share(schedule, min(done, total) / total, final_lr)
            for done in range(first_step - 1, first_step - 1 + count)
        ]
        for total in set(total_steps)
    }
    by_lane: Floats = np.array([shares[total] for total in total_steps], dtype=np.float64)
    return np.array(lr, dtype=np.float64) * by_lane.T


def _share(schedule: str, x: float, final: float) -> float:
    """s(x) of a schedule that moves; by the host's cosine, whose bits depend on no other lane or step."""
    if schedule == "linear":
        return 1 + (final - 1) * x
    return final + (1 - final) * (1 + math.cos(math.pi * x)) / 2


class PlateauState(TypedDict):
    """What a lane remembers of a metric; plain numbers, for checkpoints and JSON.

    Attributes:
        scale: what its learning rates are multiplied by.
        best: the best value so far; ``None`` before there is one.
        bad: evaluations since then, or since the last fall, that were no improvement.
    """

    scale: float
    best: float | None
    bad: int


def start() -> PlateauState:
    """The state before the first evaluation."""
    return PlateauState(scale=1.0, best=None, bad=0)


def advanced(state: PlateauState, plateau: Plateau, value: float, *, lr: float) -> PlateauState:
    """The state after one more evaluation; ``state`` stays as it is.

    Args:
        state: before.
        plateau: the rule.
        value: of the metric.
        lr: the rate that the scale multiplies. One that would fall by no more than 1e-8 stays, as in torch.
    """
    if _is_better(value, state["best"], plateau):
        return PlateauState(scale=state["scale"], best=value, bad=0)
    bad, scale = state["bad"] + 1, state["scale"]
    if bad > plateau.patience:
        bad, lower = 0, scale * plateau.factor
        scale = lower if lr * scale - lr * lower > _SMALLEST_FALL else scale
    return PlateauState(scale=scale, best=state["best"], bad=bad)


def _is_better(value: float, best: float | None, plateau: Plateau) -> bool:
    """Whether it is an improvement by more than the threshold; NaN is none."""
    if plateau.maximize:
        return value > (-math.inf if best is None else best * (1 + plateau.threshold))
    return value < (math.inf if best is None else best * (1 - plateau.threshold))
