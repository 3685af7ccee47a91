"""Rates that fall when a metric does not improve: in the lane that deserves it, stopped or not."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

from benchmarks.engine.group import LaneGroup
from benchmarks.engine.optimizers.fixed import FixedOptimizer, Plateau
from benchmarks.tasks.contract import Phase
from benchmarks.tasks.info import Metric
from tests.support.groups import advanced, group, settings, stored
from tests.support.tasks import Scripted
from tests.support.trials import trial

BETTER = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
STUCK = [5.0, 4.0, 3.0, 2.0, 1.0, 0.0, 0.0, 0.0]
LATER = [1.0, 2.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0]
SCRIPTS = [BETTER, STUCK, LATER]
STEPS = 4
SCORE = Metric(name="score", title="", unit="", goal="maximize", split="valid", description="")
FALLS = Phase(
    optimizer=FixedOptimizer(plateau=Plateau(metric="score", maximize=True, factor=0.5, patience=1))
)
RATES = [0.25, 1.0, 0.5]
TRIALS = [trial(seed=seed, optimizer="sgd", lr=lr, epochs=8) for seed, lr in enumerate(RATES)]
SCALES = {
    0: [1.0] * 8,
    1: [1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.125],
    2: [1.0] * 5 + [0.5] * 2 + [0.25],
}
"""Of epochs: a rate falls after the second evaluation in a row that was no improvement, and then anew."""


def task(*lanes: int, phases: tuple[Phase, ...] = (FALLS,), **options: Any) -> Scripted:
    return Scripted(
        {"score": [SCRIPTS[lane] for lane in lanes]}, steps_per_epoch=STEPS, phases=phases, **options
    )


def parameter(lanes: LaneGroup, position: int, name: str = "model") -> float:
    return lanes.state(position)["parameters"][name]["w"].item()


def after(lane: int, epochs: int) -> float:
    """Minus the sum of all rates; exact in float32."""
    return -STEPS * RATES[lane] * sum(SCALES[lane][:epochs])


def test_rates_fall_in_the_lane_that_deserves_it() -> None:
    lanes = group(TRIALS, task(0, 1, 2), settings([SCORE]))
    for epoch in range(1, 8):
        advanced(lanes, epoch * STEPS)
        for lane in range(3):
            assert parameter(lanes, lane) == after(lane, epoch)


@pytest.mark.parametrize("lane", range(3))
def test_a_lane_has_the_rates_that_it_has_alone(lane: int) -> None:
    lanes = group([TRIALS[lane]], task(lane), settings([SCORE]))
    advanced(lanes)
    assert parameter(lanes, 0) == after(lane, 8)


@pytest.mark.parametrize("steps", [8, 12, 13, 18, 24])
def test_they_survive_stop_and_resume(steps: int) -> None:
    """Within an epoch, at its end and right after a fall; lanes go on in another order."""
    first = group(TRIALS, task(0, 1, 2), settings([SCORE]))
    advanced(first, steps)
    order = [2, 0, 1]
    states = [stored(first.state(lane)) for lane in order]
    again = group([TRIALS[lane] for lane in order], task(*order), settings([SCORE]), states=states)
    advanced(again)
    assert [parameter(again, i) for i in range(3)] == [after(lane, 8) for lane in order]


def test_a_resumed_lane_that_forgot_its_plateau_would_end_elsewhere() -> None:
    first = group(TRIALS[1:2], task(1), settings([SCORE]))
    advanced(first, 16)
    state = stored(first.state(0))
    state["record"]["plateaus"]["train"]["scale"] = 1.0
    again = group(TRIALS[1:2], task(1), settings([SCORE]), states=[state])
    advanced(again)
    assert parameter(again, 0) != after(1, 8)


def test_an_evaluation_within_an_epoch_lowers_the_rates_of_its_second_half() -> None:
    """Two evaluations an epoch of four steps: the same falls, at half the distance, resumed or not."""
    trials = [trial(seed=seed, optimizer="sgd", lr=lr, epochs=4) for seed, lr in enumerate(RATES)]
    expected = [-2 * RATES[lane] * sum(SCALES[lane]) for lane in range(3)]
    whole = group(trials, task(0, 1, 2, evaluations_per_epoch=2), settings([SCORE]))
    advanced(whole, limit=100)
    assert [parameter(whole, lane) for lane in range(3)] == expected
    for steps in (5, 6, 7, 10):
        first = group(trials, task(0, 1, 2, evaluations_per_epoch=2), settings([SCORE]))
        advanced(first, steps)
        states = [stored(first.state(lane)) for lane in range(3)]
        again = group(trials, task(0, 1, 2, evaluations_per_epoch=2), settings([SCORE]), states=states)
        advanced(again)
        assert [parameter(again, lane) for lane in range(3)] == expected


def test_a_phase_without_a_plateau_keeps_its_rate() -> None:
    """The other has a rate of its own that the task fixes."""
    other = Phase(name="choices", group="choices", optimizer=FixedOptimizer(id="sgd", lr=0.125))
    lanes = group(TRIALS, task(0, 1, 2, phases=(FALLS, other)), settings([SCORE]))
    advanced(lanes)
    for lane in range(3):
        assert parameter(lanes, lane) == after(lane, 8)
        assert parameter(lanes, lane, "choices") == -0.125 * STEPS * 8
    assert set(lanes.state(0)["record"]["plateaus"]) == {"train"}


@pytest.mark.parametrize(("lane", "metric"), list(itertools.product(range(3), ["score", "test_loss"])))
def test_a_metric_that_is_not_measured_lowers_nothing(lane: int, metric: str) -> None:
    plateau = Plateau(metric=metric, maximize=True, factor=0.5, patience=1)
    phase = Phase(optimizer=FixedOptimizer(plateau=plateau))
    lanes = group([TRIALS[lane]], task(lane, phases=(phase,)), settings([SCORE]))
    advanced(lanes)
    falls = metric == "score"
    assert parameter(lanes, 0) == (after(lane, 8) if falls else -STEPS * 8 * RATES[lane])


def test_a_lane_that_diverged_leaves_the_rates_of_others_alone() -> None:
    """Its metric is not finite at the third evaluation."""
    broken = [[1.0, 2.0, float("nan"), *BETTER[3:]], STUCK]
    lanes = group(
        TRIALS[:2], Scripted({"score": broken}, steps_per_epoch=STEPS, phases=(FALLS,)), settings([SCORE])
    )
    ran = advanced(lanes)
    assert ran.diverged == {0: 12}
    assert len(ran.curves[0]) == 2
    assert parameter(lanes, 1) == after(1, 8)
    assert torch.isfinite(lanes.state(1)["parameters"]["model"]["w"]).all()
