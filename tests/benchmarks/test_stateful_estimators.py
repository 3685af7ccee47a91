"""Estimators that learn, in the lane engine: their state belongs to the lane and is checkpointed with it."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator

import pytest
import torch

import estimators
from benchmarks.engine.lane_state import LaneState
from benchmarks.spec import TrialSpec
from tests.support.trials import cohort, run, trial

STATEFUL = [id for id in estimators.available() if estimators.get(id).stateful]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Bitwise statements hold on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def short(id: str, *, seed: int, lr: float = 1e-2) -> TrialSpec:
    return trial("polynomial", id, seed=seed, lr=lr, epochs=3, steps_per_epoch=4)


def lanes(id: str) -> list[TrialSpec]:
    return [short(id, seed=seed, lr=lr) for seed, lr in ((0, 1e-2), (3, 3e-2), (5, 1e-3))]


def stored(state: LaneState) -> LaneState:
    """Through bytes, as checkpoints go."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    loaded: LaneState = torch.load(file, weights_only=True)
    return loaded


def test_there_are_stateful_estimators() -> None:
    assert {"reinforce_ema", "nvil", "rebar", "relax", "double_cv", "rodeo"} <= set(STATEFUL)


@pytest.mark.parametrize("id", estimators.available())
def test_every_estimator_trains_a_task(id: str) -> None:
    _, ends = run(*[short(id, seed=seed) for seed in (0, 1)])
    for end in ends.values():
        assert end.diverged_at is None
        assert math.isfinite(end.metrics["expected_loss"])


@pytest.mark.parametrize("id", STATEFUL)
def test_a_trial_has_the_same_bits_whatever_its_lane_mates(id: str) -> None:
    together, _ = run(*lanes(id))
    for position, alone in enumerate(lanes(id)):
        curves, _ = run(alone)
        assert curves[0] == together[position]


@pytest.mark.parametrize("id", STATEFUL)
def test_wide_groups_agree_with_single_lanes(id: str) -> None:
    """Lanes of one group keep their states apart; float32 rounding over a dozen steps."""
    narrow, _ = run(*lanes(id), group_width=1)
    wide, _ = run(*lanes(id), group_width=3)
    for lane in range(3):
        assert [p[2] for p in wide[lane]] == pytest.approx([p[2] for p in narrow[lane]], rel=1e-4)


@pytest.mark.parametrize("id", STATEFUL)
def test_stop_and_resume_gives_the_same_bits(id: str) -> None:
    """The state resumes with the lane; without it the curves would differ."""
    whole, _ = run(*lanes(id))
    first = [cohort(spec) for spec in lanes(id)]
    seen = [next(alone.segments()).points for alone in first]  # one epoch of every lane
    states = {lane: stored(alone.lane_state(0)) for lane, alone in enumerate(first)}
    assert all(state["estimator"] for state in states.values())
    rest = [point for s in cohort(*lanes(id), states=states).segments() for point in s.points]
    for lane in range(3):
        points = [*seen[lane], *(point for point in rest if point.lane == lane)]
        assert [(p.metric, p.epoch, p.value) for p in points] == whole[lane]


def test_the_state_matters() -> None:
    """A resumed lane whose estimator forgot what it learned ends elsewhere."""
    first = cohort(*lanes("reinforce_ema")[:1])
    next(first.segments())
    state = stored(first.lane_state(0))
    forgetful = state.copy()
    forgetful["estimator"] = {}
    ends = []
    for start in (state, forgetful):
        segments = list(cohort(*lanes("reinforce_ema")[:1], states={0: start}).segments())
        ends.append([p.value for s in segments for p in s.points if p.metric == "expected_loss"])
    assert ends[0] != ends[1]
