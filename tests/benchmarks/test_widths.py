"""Groups of a fixed width: idle lanes, memory predicted and measured, out of memory, precision."""

from __future__ import annotations

import functools
import itertools
import sys
import weakref
from collections.abc import Iterator

import pytest
import torch

from benchmarks.engine import cohort as cohort_module
from benchmarks.engine import memory, precision
from benchmarks.engine.batches import StepShape
from benchmarks.engine.cohort import Cohort, Segment
from benchmarks.engine.compiled import forms
from benchmarks.engine.compiled.compiler import Compiler
from benchmarks.engine.compiled.forms import Program
from benchmarks.engine.compiled.recording import Make
from benchmarks.engine.group import Advance, LaneGroup
from benchmarks.engine.memory import Footprint
from benchmarks.engine.step import Inputs, LaneStep, State
from benchmarks.spec import Precision, TrialSpec
from tests.support.processes import in_new_process
from tests.support.trials import cohort, run, small_polynomial, small_vae, trial

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Bitwise statements hold on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def many(count: int, task: str = "polynomial") -> list[TrialSpec]:
    """Trials of different length and learning rate."""
    return [trial(task, seed=i, lr=1e-2 / (i + 1), epochs=1 + i % 3) for i in range(count)]


@pytest.mark.parametrize("task", ["polynomial", "categorical_vae"])
@pytest.mark.parametrize("compiled", [False, True])
def test_at_a_fixed_width_a_trial_has_the_same_bits_whatever_its_lane_mates(
    task: str, compiled: bool
) -> None:
    """Alone it is filled up with idle lanes to the width that it has in company."""
    trials = many(8, task)
    together, ends = run(*trials, group_width=8, compiled=compiled)
    assert sorted(ends) == list(range(8))
    for lane in (0, 5):
        group = cohort(trials[lane], group_width=8, compiled=compiled)._groups[0].group
        assert group.width == 1  # one trial takes no company of idle lanes
        mates = [trials[lane], *many(3, task)]
        curves, _ = run(*mates, group_width=8, compiled=compiled)
        assert curves[0] == together[lane]


def test_groups_have_the_widths_of_buckets() -> None:
    def widths(count: int, most: int) -> list[int]:
        return [placed.group.width for placed in cohort(*many(count), group_width=most)._groups]

    assert widths(1, 64) == [1]
    assert widths(2, 64) == [8]
    assert widths(3, 2) == [2, 1]
    assert widths(9, 64) == [16]
    assert widths(10, 8) == [8, 8]


def test_idle_lanes_count_for_nothing() -> None:
    segments = list(cohort(*many(3), group_width=8).segments())
    assert {s.steps_total for s in segments} == {(1 + 2 + 3) * 5}
    assert segments[-1].steps_done == 30
    assert sorted(end.lane for s in segments for end in s.ended) == [0, 1, 2]
    assert {point.lane for s in segments for point in s.points} == {0, 1, 2}


class Full(LaneGroup):
    """A group that finds no memory when it is wide, at chosen calls, after it has changed its state."""

    fails_from_width = 4
    calls: Iterator[int]
    failing: frozenset[int]

    def advance(self, limit: int) -> Advance:
        """Work, then fail."""
        done = super().advance(limit)
        if self.width >= self.fails_from_width and next(self.calls) in self.failing:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return done


def full(monkeypatch: pytest.MonkeyPatch, *failing: int, fails_from_width: int = 4) -> None:
    monkeypatch.setattr(Full, "calls", itertools.count(), raising=False)
    monkeypatch.setattr(Full, "failing", frozenset(failing), raising=False)
    monkeypatch.setattr(Full, "fails_from_width", fails_from_width)
    monkeypatch.setattr(cohort_module, "LaneGroup", Full)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("failing", [0, 1, 2])
def test_out_of_memory_halves_the_group_and_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, failing: int, compiled: bool
) -> None:
    """At the first segment, after an epoch, and when some lanes have ended: every point is there once."""
    trials = many(8)
    expected, ends = run(*trials, group_width=8, compiled=compiled)
    full(monkeypatch, failing)
    lanes = cohort(*trials, group_width=8, compiled=compiled, clock=lambda: 0.0)
    segments = list(lanes.segments())
    for lane in range(8):
        points = [(p.metric, p.epoch, p.value) for s in segments for p in s.points if p.lane == lane]
        assert [p[:2] for p in points] == [p[:2] for p in expected[lane]]
        assert [p[2] for p in points] == pytest.approx([p[2] for p in expected[lane]], rel=1e-4)
        (end,) = [end for s in segments for end in s.ended if end.lane == lane]
        assert end.metrics == pytest.approx(ends[lane].metrics, rel=1e-4)
    assert_progress(segments, sum(1 + i % 3 for i in range(8)) * 5)
    (note,) = lanes.execution.failures
    assert note.startswith("8 lanes: out of memory after step ")


def assert_progress(segments: list[Segment], total: int) -> None:
    done = [segment.steps_done for segment in segments]
    assert done == sorted(done)
    assert done[-1] == total


def test_a_group_is_halved_until_it_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    full(monkeypatch, *range(100), fails_from_width=2)
    lanes = cohort(*many(8), group_width=8)
    list(lanes.segments())
    assert len(lanes.execution.failures) == 1 + 2 + 4
    assert {placed.group.width for placed in lanes._groups} == {1}


def test_what_does_not_fit_as_one_lane_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    full(monkeypatch, *range(100), fails_from_width=1)
    with pytest.raises(torch.OutOfMemoryError, match="out of memory"):
        list(cohort(*many(2), group_width=2).segments())


def test_other_errors_are_not_taken_for_a_lack_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: LaneGroup, limit: int) -> Advance:
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(LaneGroup, "advance", broken)
    with pytest.raises(RuntimeError, match="shapes differ"):
        list(cohort(*many(2), group_width=2).segments())


def test_a_lack_of_memory_on_a_cpu_is_known_as_one() -> None:
    with pytest.raises(RuntimeError) as error:
        torch.empty(2**55, dtype=torch.uint8)
    assert memory.is_out_of_memory(error.value)
    assert not memory.is_out_of_memory(RuntimeError("shapes differ"))


def test_a_lack_of_memory_is_known_behind_the_errors_it_causes() -> None:
    """A broken capture raises while the lack is handled; a compiler raises its own error from it."""

    def capture() -> None:
        try:
            raise torch.OutOfMemoryError("CUDA out of memory")
        finally:
            raise RuntimeError("operation failed due to a previous error during capture")

    with pytest.raises(RuntimeError) as broken:
        capture()
    assert not isinstance(broken.value, torch.OutOfMemoryError)
    assert memory.is_out_of_memory(broken.value)
    compiler = RuntimeError("backend failed")
    compiler.__cause__ = MemoryError()
    assert memory.is_out_of_memory(compiler)
    harmless = RuntimeError("backend failed")
    harmless.__cause__ = harmless.__context__ = RuntimeError("shapes differ")
    harmless.__cause__.__context__ = harmless  # a circle ends
    assert not memory.is_out_of_memory(harmless)


def test_programs_of_a_width_that_did_not_fit_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A captured graph would hold its memory; it goes before groups of half the width compile theirs."""
    spec = many(8)
    task = small_polynomial(spec[0])
    wide: list[weakref.ref[Program]] = []
    widths, held = [], []

    def noting(step: LaneStep, shape: StepShape, state: State, inputs: Inputs, make: Make) -> Program:
        held.append(any(program() for program in wide))
        program = forms.Steps(step, shape, state, inputs, make)
        widths.append(len(state["alive"]))
        if widths[-1] == 8:
            wide.append(weakref.ref(program))
        return program

    full(monkeypatch, 1)
    compiler = Compiler(forms=lambda state: {"steps": noting})
    lanes = cohort(*spec, task=task, group_width=8, compiled=True, compiler=compiler, clock=lambda: 0.0)
    list(lanes.segments())
    assert not any(held), "the program of the wide group was still there"
    assert len(lanes.execution.failures) == 1
    assert widths == [8, 4, 1]


def test_the_widest_group_that_fits() -> None:
    need = Footprint(fixed=1000, per_lane=100)
    assert need(8) == 1800
    assert need.widest(10_000_000) == 64
    assert need.widest(int(need(32) / memory.SHARE) + 1) == 32
    assert need.widest(int(need(32) / memory.SHARE) - 2) == 16
    assert need.widest(0) == 1
    assert memory.footprint(lambda lanes: 1000 + 100 * lanes) == need


def peaks(task: str, widths: list[int]) -> list[int]:
    """In a process of its own: measured peaks."""
    torch.set_num_threads(1)
    if task == "polynomial":
        spec = trial(task, latents=512, batch_size=512)
    else:
        spec = trial(task, latents=30, categories=10)
    lanes = Cohort([spec], task=small_vae(spec) if task == "categorical_vae" else None)
    lanes.rehearse(1)  # libraries allocate their own things once
    return [memory.peak_of(functools.partial(lanes.rehearse, width), CPU) for width in widths]


@pytest.mark.skipif(sys.platform != "linux", reason="peaks on a CPU are read from Linux's /proc")
@pytest.mark.parametrize("task", ["polynomial", "categorical_vae"])
def test_memory_of_wide_groups_is_predicted_from_narrow_ones(
    monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    """Within 5 % at widths far from those the line is drawn through; the heap gives back what it can."""
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "65536")
    one, three, *wide = in_new_process(peaks, task, [1, 3, 8, 16])
    need = memory.footprint({1: one, 3: three}.__getitem__)
    assert need.per_lane > 2**20
    for width, measured in zip((8, 16), wide, strict=True):
        assert need(width) == pytest.approx(measured, rel=0.05)


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("wanted", ["float32", "tf32"])
def test_precision_holds_inside_and_what_was_set_returns(wanted: Precision, before: bool) -> None:
    matmul = torch.backends.cuda.matmul
    given = matmul.allow_tf32
    try:
        matmul.allow_tf32 = before
        with precision.matmul_precision(wanted):
            assert matmul.allow_tf32 is (wanted == "tf32")
        assert matmul.allow_tf32 is before
    finally:
        matmul.allow_tf32 = given


def test_tf32_is_refused_where_there_is_none() -> None:
    spec = TrialSpec.from_json(trial().to_json() | {"precision": "tf32"})
    with pytest.raises(ValueError, match="precision tf32 needs a CUDA device, this is cpu"):
        cohort(spec)


def test_precision_is_part_of_the_key_and_of_a_cohort() -> None:
    plain = trial()
    coarse = TrialSpec.from_json(plain.to_json() | {"precision": "tf32"})
    assert "precision" not in plain.to_json()
    assert TrialSpec.from_json(coarse.to_json()) == coarse
    assert len({plain.key, coarse.key}) == len({plain.cell_key, coarse.cell_key}) == 2
    with pytest.raises(ValueError, match="trial 1 cannot share a program"):
        cohort(plain, coarse)


def test_programs_of_another_precision_are_not_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """A captured graph replays the products it was captured with. The CPU stands in for a GPU."""
    monkeypatch.setattr(precision, "check", lambda wanted, device: None)
    compiler = Compiler(forms=lambda state: {"steps": forms.Steps})
    plain = trial(latents=12)
    coarse = TrialSpec.from_json(plain.to_json() | {"precision": "tf32"})
    task = small_polynomial(plain)
    seconds = []
    for spec in (plain, coarse, plain):
        lanes = cohort(spec, task=task, compiled=True, compiler=compiler)
        list(lanes.segments())
        assert lanes.execution.forms == ("steps",)
        seconds.append(lanes.execution.compile_seconds)
    assert seconds[0] > 0
    assert seconds[1] > 0
    assert seconds[2] == 0
