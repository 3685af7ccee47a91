"""The lane engine: independence of packing, resume, divergence, progress."""

from __future__ import annotations

import dataclasses
import io
import itertools
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import torch

from benchmarks.engine.cohort import Cohort, LaneEnd, Segment
from benchmarks.engine.lane_state import LaneState
from benchmarks.spec import TrialSpec
from benchmarks.tasks.categorical_vae.task import CategoricalVAE
from benchmarks.tasks.contract import Batch, Draw, Loss, Phase, Variables
from benchmarks.tasks.info import Split
from benchmarks.tasks.polynomial.task import Polynomial
from estimators import NoiseSource
from tests.support.trials import cohort, made_up_images, run, trial

WIDTHS = [1, 2, None]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Bitwise statements hold on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def mixed(task: str) -> list[TrialSpec]:
    """Lanes that differ in everything that may differ."""
    return [
        trial(task, seed=0, lr=1e-2, temperature=1.0),
        trial(task, seed=1, lr=3e-3, temperature=1.3, optimizer="radam"),
        trial(task, seed=0, lr=1e-2, temperature=1.0, optimizer="radam", epochs=1),
        trial(task, seed=7, lr=1e-3, temperature=2.0, epochs=3),
    ]


def irregular_clock() -> Callable[[], float]:
    """A clock that makes segments of any length."""
    chance = random.Random(0)
    times = itertools.accumulate(chance.choice([0.01, 0.3, 0.6, 2.0]) for _ in itertools.count())
    return lambda: next(times)


@pytest.mark.parametrize("task", ["polynomial", "categorical_vae"])
def test_a_trial_has_the_same_bits_whatever_its_lane_mates(task: str) -> None:
    trials = mixed(task)
    curves, ends = run(*trials)
    for lane, alone in enumerate(trials):
        alone_curves, alone_ends = run(alone)
        assert alone_curves[0] == curves[lane]
        assert alone_ends[0].metrics == ends[lane].metrics


@pytest.mark.parametrize("task", ["polynomial", "categorical_vae"])
@pytest.mark.parametrize("width", [2, 4])
def test_wide_groups_agree_with_single_lanes(task: str, width: int) -> None:
    """Batched products sum in another order: float32 rounding over a few dozen steps."""
    trials = mixed(task)
    narrow, _ = run(*trials, group_width=1)
    wide, ends = run(*trials, group_width=width)
    assert set(ends) == set(range(4))
    for lane in range(4):
        assert [p[:2] for p in wide[lane]] == [p[:2] for p in narrow[lane]]
        assert [p[2] for p in wide[lane]] == pytest.approx([p[2] for p in narrow[lane]], rel=1e-4)


class Recording(CategoricalVAE):
    """Remembers which images were asked for and the noise that each step met."""

    def __init__(self, spec: TrialSpec) -> None:
        super().__init__(spec.task.values, device=torch.device("cpu"), images=made_up_images())
        self.seen: list[list[float]] = []

    def batch(
        self, split: Split, index: torch.Tensor, noise: NoiseSource, *, length: int | None
    ) -> torch.Tensor:
        """Note the indices of training."""
        if split == "train":
            self.seen.append(index.flatten().tolist())
        return super().batch(split, index, noise, length=length)

    def loss(self, phase: Phase, variables: Variables, batch: Batch, draw: Draw) -> Loss:
        """Note a draw from the stream of the estimator's call."""
        self.seen.append(draw.uniform("code", (1, 3), dtype=torch.float32).tolist()[0])
        return super().loss(phase, variables, batch, draw)


def test_equal_seeds_share_start_data_order_and_noise_whatever_the_estimator() -> None:
    starts, records = [], []
    for estimator in ("st", "stgs", "reinmax"):
        spec = trial("categorical_vae", estimator, seed=5)
        starts.append(cohort(spec).lane_state(0)["parameters"]["model"])
        task = Recording(spec)
        run(spec, task=task)
        records.append(task.seen)
    assert all(torch.equal(starts[0][name], other[name]) for other in starts for name in starts[0])
    assert records[0] == records[1] == records[2]
    epochs = [list(itertools.chain(*records[0][i : i + 6 : 2])) for i in (0, 6)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(50))
    assert epochs[0] != epochs[1]


@pytest.mark.parametrize("width", WIDTHS)
def test_where_segments_end_changes_nothing(width: int | None) -> None:
    trials = mixed("polynomial")
    assert run(*trials, group_width=width, clock=irregular_clock()) == run(*trials, group_width=width)


@pytest.mark.parametrize("task", ["polynomial", "categorical_vae"])
@pytest.mark.parametrize("stop_after", [1, 2, 3, 5])
def test_stop_and_resume_gives_the_same_bits(task: str, stop_after: int) -> None:
    """Stop after any segment (most lie inside an epoch), resume what is left swapped, from stored bytes."""
    trials = mixed(task)[:2]
    curves, ends = run(*trials)
    first = cohort(*trials, clock=irregular_clock())
    seen = list(itertools.islice(first.segments(), stop_after))
    ended = {end.lane for segment in seen for end in segment.ended}
    left = [lane for lane in (1, 0) if lane not in ended]
    states = {i: stored(first.lane_state(lane)) for i, lane in enumerate(left)}
    second = list(cohort(*[trials[lane] for lane in left], states=states).segments())
    for i, lane in enumerate(left):
        assert points(seen, lane) + points(second, i) == curves[lane]
        assert lane_end(second, i).metrics == ends[lane].metrics


def stored(state: LaneState) -> LaneState:
    """Through a file, as checkpoints go."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    loaded: LaneState = torch.load(file, weights_only=True)
    return loaded


def points(segments: list[Segment], lane: int) -> list[tuple[str, int, float]]:
    return [(p.metric, p.epoch, p.value) for s in segments for p in s.points if p.lane == lane]


def lane_end(segments: list[Segment], lane: int) -> LaneEnd:
    (end,) = [end for s in segments for end in s.ended if end.lane == lane]
    return end


class Breaking(Polynomial):
    """A polynomial task whose first lane of a marked start breaks at a step: in its loss or gradient only."""

    def __init__(self, values: Mapping[str, float | int | str], *, at: int, where: str) -> None:
        super().__init__(values, device=torch.device("cpu"))
        self._at, self._where, self._calls = at, where, 0

    def init(self, noise: NoiseSource, lanes: int) -> Variables:
        """Mark lane 0 by a parameter that takes no part otherwise."""
        mark = torch.zeros(lanes, 1)
        mark[0] = 1
        return Variables(groups={"model": {**super().init(noise, lanes).groups["model"], "mark": mark}})

    def loss(self, phase: Phase, variables: Variables, batch: Batch, draw: Draw) -> Loss:
        """Break lane 0 at the chosen call."""
        self._calls += 1
        result = super().loss(phase, variables, batch, draw)
        mark = variables.groups["model"]["mark"][:, 0]
        loss = result.loss + 0 * mark
        if self._calls == self._at and self._where == "loss":
            loss = loss / (1 - mark)
        if self._calls == self._at and self._where == "gradient":
            root = (1 - mark).sqrt()  # finite at 1, with an infinite slope
            loss = loss + (root - root.detach())
        metrics = {name: loss.detach() for name in result.metrics}
        return dataclasses.replace(result, loss=loss, metrics=metrics)


@pytest.mark.parametrize("where", ["loss", "gradient"])
@pytest.mark.parametrize("at", [1, 7, 20])
def test_a_lane_that_diverges_is_frozen_and_reported_and_the_others_go_on(where: str, at: int) -> None:
    trials = [trial(seed=seed) for seed in range(3)]
    values = trials[0].task.values
    healthy, _ = run(*trials, group_width=3, task=Breaking(values, at=-1, where=where))
    curves, ends = run(*trials, group_width=3, task=Breaking(values, at=at, where=where))
    assert ends[0] == LaneEnd(lane=0, metrics={}, diverged_at=at)
    assert curves[0] == [p for p in healthy[0] if p[1] <= (at - 1) // 5]
    for lane in (1, 2):
        assert curves[lane] == healthy[lane]
        assert ends[lane].diverged_at is None


def test_parameters_that_are_not_finite_are_a_divergence_and_no_error() -> None:
    """SGD with weight decay 1 and rate 1000 drives all logits to infinity: an eager step then refuses them.
    The lanes before and after are computed as they are alone."""
    decaying: dict[str, Any] = {"id": "sgd", "version": 1, "parameters": {"weight_decay": 1.0}}
    tame, wild = (trial(seed=1, optimizer=decaying, lr=rate, epochs=8) for rate in (1e-2, 1e6))
    curves, ends = run(tame, wild, tame, compiled=False)
    alone, end = run(tame, compiled=False)
    assert ends[1].diverged_at is not None
    assert (ends[1].metrics, ends[1].error) == ({}, None)
    assert curves[0] == curves[2] == alone[0]
    assert ends[2].metrics == end[0].metrics


@pytest.mark.parametrize("broken", [0, 1])
def test_what_a_step_raises_ends_its_lane_and_no_other(broken: int) -> None:
    """The task gives up at its seventh evaluation, a step of the first lane, or its 27th, of the second."""

    class GivingUp(Polynomial):
        calls = 0

        def loss(self, phase: Phase, variables: Variables, batch: Batch, draw: Draw) -> Loss:
            self.calls += 1
            if self.calls == 7 + 20 * broken:
                raise ZeroDivisionError("a task went wrong")
            return super().loss(phase, variables, batch, draw)

    trials = [trial(seed=seed) for seed in range(2)]
    task = GivingUp(trials[0].task.values, device=torch.device("cpu"))
    _, healthy = run(*trials, compiled=False)
    segments = list(Cohort(trials, task=task, compiled=False, contain=True).segments())
    ends = {end.lane: end for segment in segments for end in segment.ended}
    assert isinstance(ends[broken].error, ZeroDivisionError)
    assert ends[broken].diverged_at is None
    assert ends[1 - broken] == healthy[1 - broken]
    assert segments[-1].steps_done == segments[-1].steps_total
    again = GivingUp(trials[0].task.values, device=torch.device("cpu"))
    with pytest.raises(ZeroDivisionError, match="a task went wrong"):
        list(Cohort(trials, task=again, compiled=False).segments())


def test_a_real_divergence_is_reported() -> None:
    """A learning rate of 1e30 drives the logits to infinity; the neighbour with 1e-2 notices nothing."""
    wild, tame = trial(seed=0, lr=1e38), trial(seed=1)
    curves, ends = run(wild, tame, group_width=2)
    alone, _ = run(tame, wild, group_width=2)
    assert ends[0].diverged_at is not None
    assert ends[0].metrics == {}
    assert curves[1] == alone[0]


@pytest.mark.parametrize("width", WIDTHS)
def test_progress_counts_lane_steps_and_ends_at_the_total(width: int | None) -> None:
    segments = list(cohort(*mixed("polynomial"), group_width=width).segments())
    assert {s.steps_total for s in segments} == {(4 + 4 + 1 + 3) * 5}
    done = [s.steps_done for s in segments]
    assert done == sorted(done)
    assert done[-1] == 60
    assert sorted(end.lane for s in segments for end in s.ended) == [0, 1, 2, 3]


@pytest.mark.parametrize(("width", "order"), [(1, [(0,), (1,), (2,), (3,)]), (3, [(0, 1, 2), (3,)])])
def test_a_group_runs_to_its_end_before_the_next(width: int, order: list[tuple[int, ...]]) -> None:
    """Four, four, one and three epochs; a lane that has ended does no more steps."""
    segments = list(cohort(*mixed("polynomial"), group_width=width, clock=irregular_clock()).segments())
    first = [min(i for i, s in enumerate(segments) if lane in s.lanes) for lane in range(4)]
    last = [max(i for i, s in enumerate(segments) if lane in s.lanes) for lane in range(4)]
    for earlier, later in itertools.pairwise(order):
        assert max(last[lane] for lane in earlier) < min(first[lane] for lane in later)
    ends = {end.lane: i for i, s in enumerate(segments) for end in s.ended}
    assert [ends[lane] for lane in range(4)] == last


def test_final_metrics_are_those_of_the_last_epoch() -> None:
    curves, ends = run(trial(epochs=3))
    assert ends[0].metrics == {metric: value for metric, epoch, value in curves[0] if epoch == 3}
    assert [epoch for metric, epoch, _ in curves[0] if metric == "expected_loss"] == [1, 2, 3]


def test_asking_on_continues_where_the_last_call_stopped() -> None:
    stepwise = cohort(trial())
    seen = list(itertools.islice(stepwise.segments(), 2)) + list(stepwise.segments())
    assert points(seen, 0) == run(trial())[0][0]


def test_trials_that_cannot_share_a_program_are_refused() -> None:
    with pytest.raises(ValueError, match="trial 1 cannot share a program with trial 0"):
        Cohort([trial(), trial(estimator="st")])
    with pytest.raises(ValueError, match="trial 1 cannot share"):
        Cohort([trial(), trial(latents=9)])
    with pytest.raises(ValueError, match="at least one trial"):
        Cohort([])
    with pytest.raises(IndexError, match="lanes 0 to 0, not 3"):
        Cohort([trial()]).lane_state(3)


def test_a_lane_that_has_ended_cannot_go_on() -> None:
    done = cohort(trial(epochs=2))
    list(done.segments())
    with pytest.raises(ValueError, match="lane 0 has done 10 steps of 10"):
        cohort(trial(epochs=2), states={0: done.lane_state(0)})
    assert len(list(cohort(trial(epochs=3), states={0: done.lane_state(0)}).segments())) > 0
