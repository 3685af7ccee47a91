"""Schedules and falls on a plateau against torch.optim.lr_scheduler, over whole runs."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler

from benchmarks.engine.optimizers.fixed import Plateau
from benchmarks.engine.optimizers.rule import Floats
from benchmarks.engine.optimizers.schedules import PlateauState, advanced, rates, start

LR = (1e-3, 0.5, 2.0)


def torch_optimizer(lr: float) -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)


def torch_rates(schedule: str, lr: float, final: float, total: int) -> list[float]:
    """The rate of every update, the scheduler being stepped after each."""
    optimizer = torch_optimizer(lr)
    scheduler: lr_scheduler.LRScheduler
    if schedule == "cosine":
        scheduler = lr_scheduler.CosineAnnealingLR(optimizer, T_max=total, eta_min=final * lr)
    else:
        scheduler = lr_scheduler.LinearLR(optimizer, 1.0, final, total_iters=total)
    found = []
    for _ in range(total):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def ours(schedule: str, final: float, totals: list[int], first: int, count: int) -> Floats:
    lr = LR[: len(totals)]
    return rates(schedule, lr=lr, final_lr=final, total_steps=totals, first_step=first, count=count)


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
@pytest.mark.parametrize("final", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("total", [1, 2, 7, 400])
def test_every_rate_of_a_run_equals_torch(schedule: str, final: float, total: int) -> None:
    """Torch's recursions gather rounding errors, relative to the first rate."""
    found = ours(schedule, final, [total] * 3, 1, total)
    for lane, lr in enumerate(LR):
        expected = torch_rates(schedule, lr, final, total)
        assert found[:, lane].tolist() == pytest.approx(expected, rel=0, abs=1e-12 * lr)


def test_rates_by_hand() -> None:
    """Steps 1 to 4 of 4: no way, a quarter, half, three quarters of it."""
    linear = rates("linear", lr=[8.0], final_lr=0.5, total_steps=[4], first_step=1, count=4)
    assert linear[:, 0].tolist() == [8.0, 7.0, 6.0, 5.0]
    cosine = rates("cosine", lr=[8.0], final_lr=0.0, total_steps=[4], first_step=1, count=4)
    assert cosine[:, 0].tolist() == pytest.approx([8, 4 + 8**0.5, 4, 4 - 8**0.5])


def test_a_constant_rate_is_the_rate_to_the_bit() -> None:
    found = ours("constant", 0.0, [3, 5, 9], 2, 10)
    assert found.shape == (10, 3)
    assert (found == np.array(LR)).all()


@pytest.mark.parametrize("schedule", ["constant", "cosine", "linear"])
def test_a_lane_has_its_own_length_and_keeps_its_last_rate(schedule: str) -> None:
    totals = [3, 10, 6]
    together = ours(schedule, 0.25, totals, 1, 12)
    for lane, total in enumerate(totals):
        alone = rates(schedule, lr=[LR[lane]], final_lr=0.25, total_steps=[total], first_step=1, count=12)
        assert (together[:, lane] == alone[:, 0]).all()
        last = LR[lane] * (1.0 if schedule == "constant" else 0.25)
        assert together[total:, lane].tolist() == pytest.approx([last] * (12 - total))


@pytest.mark.parametrize("schedule", ["constant", "cosine", "linear"])
def test_rates_do_not_depend_on_where_a_segment_starts(schedule: str) -> None:
    whole = ours(schedule, 0.1, [30, 20, 10], 1, 30)
    parts = [ours(schedule, 0.1, [30, 20, 10], first, count) for first, count in ((1, 7), (8, 1), (9, 22))]
    assert (whole == np.concatenate(parts)).all()


def test_an_unknown_schedule_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown schedule 'steps'; there are constant, cosine, linear"):
        ours("steps", 0.0, [1, 1, 1], 1, 1)


def follow(plateau: Plateau, values: list[float], lr: float) -> list[float]:
    """Rates after each evaluation."""
    state, found = start(), []
    for value in values:
        state = advanced(state, plateau, value, lr=lr)
        found.append(lr * state["scale"])
    return found


def torch_follow(plateau: Plateau, values: list[float], lr: float) -> list[float]:
    optimizer = torch_optimizer(lr)
    scheduler = lr_scheduler.ReduceLROnPlateau(
        optimizer,
        mode="max" if plateau.maximize else "min",
        factor=plateau.factor,
        patience=plateau.patience,
        threshold=plateau.threshold,
    )
    found = []
    for value in values:
        scheduler.step(value)
        found.append(optimizer.param_groups[0]["lr"])
    return found


@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("patience", [0, 1, 4])
@pytest.mark.parametrize("threshold", [0.0, 1e-4, 0.1])
@pytest.mark.parametrize("factor", [0.1, 0.7])
def test_falls_on_a_plateau_are_those_of_torch(
    factor: float, threshold: float, patience: int, maximize: bool
) -> None:
    """Random walks of either sign, with repeated values and some that are no number."""
    plateau = Plateau(
        metric="valid_loss", maximize=maximize, factor=factor, patience=patience, threshold=threshold
    )
    generator = np.random.default_rng(0)
    falls = 0
    for lr in (1e-3, 0.3, 1e-6):
        for drift in (-0.05, 0.0, 0.05):
            walk = 1 + np.cumsum(generator.normal(drift, 0.2, size=120)).round(1)
            walk[generator.integers(120, size=5)] = np.nan
            expected = torch_follow(plateau, walk.tolist(), lr)
            assert follow(plateau, walk.tolist(), lr) == pytest.approx(expected, rel=1e-12)
            falls += expected[-1] < lr
    assert falls > 3


def test_a_plateau_by_hand() -> None:
    plateau = Plateau(metric="accuracy", maximize=True, factor=0.5, patience=1, threshold=0.1)
    states = [start()]
    for value in (1.0, 1.1, 1.2, 1.2, 1.2, 1.2, 1.2):
        states.append(advanced(states[-1], plateau, value, lr=1.0))
    assert [(s["scale"], s["best"], s["bad"]) for s in states] == [
        (1.0, None, 0),
        (1.0, 1.0, 0),
        (1.0, 1.0, 1),  # 1.1 is no more than 1.0 * 1.1
        (1.0, 1.2, 0),
        (1.0, 1.2, 1),
        (0.5, 1.2, 0),
        (0.5, 1.2, 1),
        (0.25, 1.2, 0),
    ]


def test_a_rate_does_not_fall_without_end() -> None:
    """By no more than 1e-8, as in torch: it stays a number of float32."""
    plateau = Plateau(metric="loss", maximize=False, patience=0)
    found = follow(plateau, [1.0] * 100, 1e-3)
    assert found == pytest.approx(torch_follow(plateau, [1.0] * 100, 1e-3), rel=1e-12)
    assert found[-1] == pytest.approx(1e-8)


def test_a_state_survives_json() -> None:
    plateau = Plateau(metric="loss", maximize=False, patience=2)
    state = start()
    for value in (3.0, 2.0, math.nan, 2.5):
        state = advanced(state, plateau, value, lr=0.1)
        assert json.loads(json.dumps(state, allow_nan=False)) == state
    assert state == PlateauState(scale=1.0, best=2.0, bad=2)
    assert json.loads(json.dumps(start(), allow_nan=False)) == start()
