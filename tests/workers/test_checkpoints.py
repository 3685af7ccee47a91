"""Checkpoints of an attempt against stores of files and a reporter that remembers."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from benchmarks.engine.cohort import Cohort, Segment
from benchmarks.engine.lane_state import LaneState
from benchmarks.engine.records import LaneRecord
from benchmarks.spec import TrialSpec
from tests.support.fakes import FakeReporter, ManualClock, ScriptedCohort, make_segment, make_start_reply
from tests.support.sweeps import small_sweep
from workers import checkpoints
from workers.checkpoint_store import PART, FsspecStore, NoStore, opened
from workers.checkpoints import Checkpoints, Damaged, Interval, packed, unpacked
from workers.messages import (
    Checkpoint,
    HeartbeatReply,
    LaneTrial,
    ResumedTrial,
    StartReply,
    StoredCheckpoint,
)
from workers.ports import CheckpointName, QueueUnavailable
from workers.runner import run_attempt
from workers.sweeping import keep_swept, sweep

EPOCHS, STEPS = 6, 20
NAMES = [CheckpointName("abc", 3, step) for step in (10, 20)]


def specs(*seeds: int) -> list[TrialSpec]:
    task = {"id": "polynomial", "latents": 4, "epochs": EPOCHS, "steps_per_epoch": STEPS}
    return list(small_sweep(task=task, estimators=["reinforce_ema"], seeds=list(seeds)).expand())


@pytest.fixture(params=["directory", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> FsspecStore:
    url = str(tmp_path / "kept") if request.param == "directory" else f"memory://{tmp_path.name}"
    return FsspecStore(url)


@dataclass
class BrokenStore:
    """A place that cannot be reached."""

    tried: int = 0

    def write(self, name: CheckpointName, content: bytes) -> None:
        self.tried += 1
        raise OSError("no route to the store")

    def read(self, name: CheckpointName) -> bytes:
        raise OSError("no route to the store")

    def remove(self, names: object) -> None:
        raise OSError("no route to the store")

    def names(self) -> list[CheckpointName]:
        raise OSError("no route to the store")


class TestStore:
    def test_what_was_written_is_read_until_it_is_removed(self, store: FsspecStore) -> None:
        assert store.names() == []
        for name in NAMES:
            store.write(name, b"x" * name.step)
        assert store.names() == NAMES
        store.write(NAMES[0], b"again")
        assert (store.read(NAMES[0]), store.read(NAMES[1])) == (b"again", b"x" * 20)
        store.remove([NAMES[0], CheckpointName("other", 1, 1)])
        assert store.names() == NAMES[1:]
        with pytest.raises(FileNotFoundError):
            store.read(NAMES[0])

    def test_a_file_appears_when_all_of_it_is_there(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Killed before the file is renamed: the one of that name is as it was, and what is half is swept."""
        store = FsspecStore(str(tmp_path))
        store.write(NAMES[0], b"old")

        def killed(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(type(store._files), "mv", killed)
            with pytest.raises(KeyboardInterrupt):
                store.write(NAMES[0], b"new")
        assert store.read(NAMES[0]) == b"old"
        assert (tmp_path / (NAMES[0].file + PART)).read_bytes() == b"new"
        store.remove(store.names())
        assert list(tmp_path.iterdir()) == []

    def test_files_of_others_are_left_alone(self, tmp_path: Path) -> None:
        for name in ("notes.txt", "abc-1.pt", "abc-1-2.pt.old", "-1-2.pt"):
            (tmp_path / name).write_text("mine")
        assert FsspecStore(str(tmp_path)).names() == []

    @pytest.mark.parametrize("key", ["../../etc/x", "a/b", "", "a-b", "a.b", "ä"])
    def test_names_lead_nowhere_else(self, key: str) -> None:
        with pytest.raises(ValueError, match="is not the key of a trial"):
            CheckpointName(key, 1, 2).file  # noqa: B018

    def test_names_read_back(self) -> None:
        assert CheckpointName.of_file(NAMES[0].file) == NAMES[0]
        assert CheckpointName.of_file(NAMES[0].file + PART) == NAMES[0]

    def test_an_address_that_nothing_can_open_is_said(self, caplog: pytest.LogCaptureFixture) -> None:
        with pytest.raises(NoStore, match="cannot be kept at 'nowhere://x'"):
            FsspecStore("nowhere://x")
        assert opened("nowhere://x") is None
        assert opened(None) is None
        assert "nowhere://x" in caplog.text

    def test_sweeping_removes_what_records_do_not_need(self, store: FsspecStore) -> None:
        @dataclass
        class Records:
            asked: list[CheckpointName] = field(default_factory=list)

            def unneeded(self, names: Iterable[CheckpointName]) -> list[CheckpointName]:
                self.asked += names
                return [NAMES[0]]

        for name in NAMES:
            store.write(name, b"x")
        records = Records()
        assert sweep(store, records) == 1
        assert records.asked == NAMES
        assert store.names() == NAMES[1:]


class Twice(threading.Event):
    """An event that comes with the third wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.waits = list[float | None]()

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout)
        return len(self.waits) > 2


@pytest.mark.parametrize("away", [QueueUnavailable("no route"), OSError("no route")])
def test_sweeping_goes_on_whatever_is_away(
    store: FsspecStore, away: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """The first time the database or the store cannot be reached; the second time it is swept."""

    class Records:
        asked = 0

        def unneeded(self, names: Iterable[CheckpointName]) -> list[CheckpointName]:
            self.asked += 1
            if self.asked == 1:
                raise away
            return list(names)

    store.write(NAMES[0], b"x")
    stop = Twice()
    with caplog.at_level("INFO"):
        keep_swept(store, Records(), stop, every=7)
    assert stop.waits == [7, 7, 7]
    assert store.names() == []
    assert "no route" in caplog.text


def test_an_interval_is_the_least_or_fifty_times_what_writing_takes() -> None:
    """2 % of the time: 0.2 s a round allow a round every 10 s, 2 s one every 100 s."""
    interval = Interval(30)
    for cost, seconds in ((0.0, 30), (0.2, 30), (0.6, 30), (1.2, 60), (2.0, 100)):
        interval.took(cost)
        assert interval.seconds == pytest.approx(seconds)


def test_states_survive_their_file_and_other_formats_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    cohort = Cohort(specs(0), compiled=False)
    next(iter(cohort.segments()))
    content = packed(cohort.lane_state(0))
    assert packed(unpacked(content)) == content
    monkeypatch.setattr(checkpoints, "FORMAT", 2)
    with pytest.raises(Damaged, match="its format is 1, and this version reads 2"):
        unpacked(content)


def test_the_format_is_that_of_these_fields() -> None:
    """Whoever changes what a state holds makes files of another format: raise ``FORMAT``, then this."""
    assert checkpoints.FORMAT == 1
    state = {"step", "parameters", "buffers", "optimizer", "estimator", "sums", "weight", "record"}
    assert set(get_type_hints(LaneState)) == state
    assert set(get_type_hints(LaneRecord)) == {"history", "plateaus", "diagnostics", "diagnosed"}


class Slow:
    """A real cohort, ten seconds of a clock a segment; killed after some segments, if at all."""

    def __init__(self, clock: ManualClock, *, segments: float = math.inf, width: int | None = None) -> None:
        self.clock, self.most, self.width = clock, segments, width
        self.states: Mapping[int, LaneState] = {}

    def __call__(
        self,
        trials: Sequence[TrialSpec],
        *,
        device: str,
        data_dir: Path | None,
        states: Mapping[int, LaneState],
    ) -> Slow:
        # A clock of its own: segments of as many steps, whatever the machine does.
        self.states = states
        self.cohort = Cohort(
            trials, states=states, compiled=False, clock=ManualClock(), group_width=self.width
        )
        self.execution, self.steps_per_epoch = self.cohort.execution, self.cohort.steps_per_epoch
        return self

    def lane_state(self, lane: int) -> LaneState:
        return self.cohort.lane_state(lane)

    def segments(self) -> Iterator[Segment]:
        for number, segment in enumerate(self.cohort.segments()):
            if number >= self.most:
                raise KeyboardInterrupt
            self.clock.now += 10
            yield segment


def reply_for(
    trials: Sequence[TrialSpec], *, attempt: int = 1, offered: Mapping[str, Any] | None = None
) -> StartReply:
    lanes = tuple(
        LaneTrial(key=spec.key, spec=spec.to_json(), checkpoints=(offered or {}).get(spec.key, ()))
        for spec in trials
    )
    return StartReply(attempt_id=attempt, cohort_id=1, number=attempt, lease_seconds=30, trials=lanes)


def offers(reporter: FakeReporter, *, attempt: int) -> dict[str, tuple[StoredCheckpoint, ...]]:
    """What the server would offer: the last two of every trial, newest first."""
    found: dict[str, list[StoredCheckpoint]] = {}
    for one in (one for report in reporter.checkpoints for one in report.checkpoints):
        stored = StoredCheckpoint(**one.model_dump(), attempt=attempt)
        found[one.trial] = [stored, *found.get(one.trial, [])][:2]
    return {trial: tuple(those) for trial, those in found.items()}


def results(*reporters: FakeReporter) -> dict[str, dict[str, float]]:
    """Final metrics by trial."""
    ends = [end for reporter in reporters for end in reporter.outcomes]
    return {end.trial: end.metrics for end in ends if end.status == "succeeded"}


def points(reporter: FakeReporter, trial: str) -> dict[int, float]:
    """The curve of the training loss by epoch."""
    segments = [
        s for b in reporter.batches for s in b.segments if (s.trial, s.metric) == (trial, "train_loss")
    ]
    return {s.first + n: value for s in segments for n, value in enumerate(s.values)}


def undisturbed(trials: Sequence[TrialSpec], *, width: int | None = None) -> FakeReporter:
    reporter, clock = FakeReporter(reply_for(trials)), ManualClock()
    assert run_attempt(reporter, build=Slow(clock, width=width), clock=clock) == "finished"
    return reporter


def killed(
    trials: Sequence[TrialSpec], store: FsspecStore, *, segments: float, width: int | None = None
) -> FakeReporter:
    """The first attempt, killed after so many segments."""
    reporter, clock = FakeReporter(reply_for(trials)), ManualClock()
    lanes = Slow(clock, segments=segments, width=width)
    with pytest.raises(KeyboardInterrupt):
        run_attempt(reporter, build=lanes, clock=clock, store=store)
    return reporter


def again(
    trials: Sequence[TrialSpec], store: FsspecStore, first: FakeReporter, *, width: int | None = None
) -> tuple[FakeReporter, Slow]:
    """The second attempt, to its end."""
    clock = ManualClock()
    reporter = FakeReporter(reply_for(trials, attempt=2, offered=offers(first, attempt=1)))
    lanes = Slow(clock, width=width)
    assert run_attempt(reporter, build=lanes, clock=clock, store=store) == "finished"
    return reporter, lanes


class TestAttempts:
    def test_a_short_trial_pays_nothing(self, store: FsspecStore) -> None:
        clock = ManualClock()

        def short() -> Iterator[Segment]:
            for lane in range(20):  # lanes of 29 s each, one after the other
                clock.now += 29
                yield make_segment(1, epochs=1, lanes=[lane], ends=True)

        reporter = FakeReporter(make_start_reply(20))
        assert run_attempt(reporter, build=ScriptedCohort(short), clock=clock, store=store) == "finished"
        assert reporter.checkpoints == []
        assert reporter.resumption is None

    def test_time_spent_on_compiling_is_no_work_that_is_lost(self, store: FsspecStore) -> None:
        """Of 31 s 1.5 went into a program, which stays on the disk."""
        clock = ManualClock()

        def compiles() -> Iterator[Segment]:
            clock.now += 31
            yield make_segment(1, epochs=9, lanes=[0])
            raise KeyboardInterrupt

        reporter = FakeReporter(make_start_reply(1))
        with pytest.raises(KeyboardInterrupt):
            run_attempt(reporter, build=ScriptedCohort(compiles), clock=clock, store=store)
        assert reporter.checkpoints == []

    def test_a_resumed_attempt_ends_as_an_undisturbed_one(self, store: FsspecStore) -> None:
        """Two lanes, one after the other, in segments of 10 s: up to 5, 20, 40, ... 120 steps, the second up
        to 20, 40, ... 120. That is killed at 100 steps, 20 s after its checkpoint at 60, and goes on in
        segments up to 65, 80, 100, 120."""
        trials = specs(0, 1)
        whole = undisturbed(trials)
        first = killed(trials, store, segments=7 + 5)
        told = [
            (one.trial, one.step, one.epochs, one.seconds) for r in first.checkpoints for one in r.checkpoints
        ]
        assert [entry[1:] for entry in told] == [(40, 2, 30.0), (100, 5, 60.0), (60, 3, 30.0)]
        left = reply_for([trials[1]], attempt=2, offered=offers(first, attempt=1))
        reporter, clock = FakeReporter(left), ManualClock()
        assert run_attempt(reporter, build=Slow(clock), clock=clock, store=store) == "finished"
        assert results(first, reporter) == results(whole)
        key = trials[1].key
        assert min(points(reporter, key)) == 4
        kept = {epoch: value for epoch, value in points(first, key).items() if epoch <= 3}
        assert kept | points(reporter, key) == points(whole, key)
        assert reporter.resumption is not None
        assert reporter.resumption.trials == (ResumedTrial(trial=key, attempt=1, step=60),)
        assert reporter.outcomes[0].seconds == pytest.approx(30 + 40)

    def test_other_lane_mates_change_nothing(self, store: FsspecStore) -> None:
        trials = specs(0)
        first = killed(trials, store, segments=5)
        mates = specs(5, 0, 3)
        reporter, _ = again(mates, store, first)
        assert results(reporter) == results(undisturbed(mates))

    @pytest.mark.parametrize("damage", ["flipped", "cut", "missing", "another's"])
    def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(
        self, tmp_path: Path, damage: str
    ) -> None:
        store, trials = FsspecStore(str(tmp_path)), specs(0)
        first = killed(trials, store, segments=7 - 1)
        newest = CheckpointName(trials[0].key, 1, 100)
        assert store.names()[-1] == newest
        _damage(tmp_path / newest.file, damage)
        reporter, lanes = again(trials, store, first)
        assert lanes.states[0]["step"] == 40
        assert reporter.resumption is not None
        assert reporter.resumption.trials == (ResumedTrial(trial=trials[0].key, attempt=1, step=40),)
        assert results(reporter) == results(undisturbed(trials))

    def test_files_of_another_version_are_passed_over(
        self, store: FsspecStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        trials = specs(0)
        with monkeypatch.context() as older:
            older.setattr(checkpoints, "FORMAT", 0)
            first = killed(trials, store, segments=6)
        reporter, lanes = again(trials, store, first)
        assert lanes.states == {}
        assert results(reporter) == results(undisturbed(trials))

    def test_without_a_sound_one_a_trial_begins_anew(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        store, trials = FsspecStore(str(tmp_path)), specs(0)
        first = killed(trials, store, segments=6)
        for file in tmp_path.iterdir():
            _damage(file, "flipped")
        reporter, lanes = again(trials, store, first)
        assert lanes.states == {}
        assert reporter.resumption is not None
        assert reporter.resumption.trials == (ResumedTrial(trial=trials[0].key),)
        assert reporter.outcomes[0].seconds == pytest.approx(70)
        assert results(reporter) == results(undisturbed(trials))
        assert "it is not what was written" in caplog.text

    def test_the_last_two_are_kept_and_none_of_a_trial_that_has_ended(
        self, store: FsspecStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        trials, clock, seen = specs(0), ManualClock(), list[list[int]]()

        class Watching(FakeReporter):
            def checkpoint(self, message: Any, told: Callable[[], None]) -> None:
                super().checkpoint(message, told)
                seen.append([name.step for name in store.names()])

        reporter = Watching(reply_for(trials))
        run_attempt(reporter, build=Slow(clock), clock=clock, store=store, checkpoint_seconds=10)
        assert seen == [[5], [5, 20], [20, 40], [40, 60], [60, 80], [80, 100]]
        assert store.names() == []

    def test_none_is_taken_while_the_server_does_not_know_of_the_last(self, store: FsspecStore) -> None:
        trials, clock = specs(0), ManualClock()

        class Deaf(FakeReporter):
            def checkpoint(self, message: Any, told: Callable[[], None]) -> None:
                self.checkpoints.append(message)

        reporter = Deaf(reply_for(trials))
        run_attempt(reporter, build=Slow(clock), clock=clock, store=store, checkpoint_seconds=10)
        assert [one.step for report in reporter.checkpoints for one in report.checkpoints] == [5]

    def test_a_store_that_is_away_costs_the_checkpoints_alone(self, caplog: pytest.LogCaptureFixture) -> None:
        trials, clock, store = specs(0), ManualClock(), BrokenStore()
        reporter = FakeReporter(
            reply_for(trials, attempt=2, offered={trials[0].key: (some_offer(trials[0]),)})
        )
        run_attempt(reporter, build=Slow(clock), clock=clock, store=store)
        assert results(reporter) == results(undisturbed(trials))
        assert (reporter.checkpoints, store.tried) == ([], 2)
        assert "no route to the store" in caplog.text

    def test_without_a_store_nothing_is_resumed_and_that_is_told(self) -> None:
        trials, clock = specs(0), ManualClock()
        offered = {trials[0].key: (some_offer(trials[0]),)}
        reporter = FakeReporter(reply_for(trials, attempt=2, offered=offered))
        run_attempt(reporter, build=Slow(clock), clock=clock)
        assert reporter.resumption is not None
        assert reporter.resumption.trials == (ResumedTrial(trial=trials[0].key),)
        assert reporter.checkpoints == []

    def test_an_attempt_that_is_asked_to_stop_keeps_what_it_has(self, store: FsspecStore) -> None:
        trials, clock = specs(0, 1), ManualClock()
        reply = reply_for(trials).model_copy(update={"lease_seconds": 0.03})
        first = FakeReporter(reply, lambda _message: HeartbeatReply(stop="asked"))

        class Waiting(Slow):
            def segments(self) -> Iterator[Segment]:
                for segment in super().segments():
                    assert first.beat.wait(10)
                    yield segment

        assert run_attempt(first, build=Waiting(clock), clock=clock, store=store) == "stopped"
        (report,) = first.checkpoints
        (one,) = report.checkpoints
        assert store.names() == [CheckpointName(trials[0].key, 1, one.step)]
        reporter, lanes = again(trials, store, first)
        assert {lane: state["step"] for lane, state in lanes.states.items()} == {0: one.step}
        assert results(reporter) == results(undisturbed(trials))

    def test_of_lanes_side_by_side_one_diverges_and_the_others_go_on(self, store: FsspecStore) -> None:
        """Three lanes of one group, as on a GPU; at a rate of 1e38 the first diverges at once."""
        tame = specs(1, 2)
        trials = [dataclasses.replace(specs(0)[0], lr=1e38), *tame]
        first = killed(trials, store, segments=6, width=3)
        taken = {(one.trial, one.step) for report in first.checkpoints for one in report.checkpoints}
        assert taken == {(trial.key, step) for trial in tame for step in (40, 100)}
        assert [end.status for end in first.outcomes] == ["failed"]
        assert "diverged" in (first.outcomes[0].error or "")
        reporter, lanes = again(tame, store, first, width=3)
        assert [state["step"] for state in lanes.states.values()] == [100, 100]
        assert results(reporter) == results(undisturbed(trials, width=3))
        assert store.names() == []


SOME_STATE = LaneState(
    step=10,
    parameters={},
    buffers={},
    optimizer={},
    estimator={},
    sums={},
    weight={},
    record=LaneRecord(history={}, plateaus={}, diagnostics={}, diagnosed=0),
)


def some_offer(spec: TrialSpec) -> StoredCheckpoint:
    digest = hashlib.sha256(b"x").hexdigest()
    return StoredCheckpoint(trial=spec.key, attempt=1, step=40, epochs=2, digest=digest, bytes=1, seconds=30)


def _damage(file: Path, how: str) -> None:
    content = bytearray(file.read_bytes())
    if how == "missing":
        file.unlink()
    elif how == "another's":  # whole, and of the same trial, but after another step
        file.write_bytes(next(one for one in file.parent.iterdir() if one != file).read_bytes())
    elif how == "cut":
        file.write_bytes(content[: len(content) // 2])
    else:
        content[len(content) // 2] ^= 1
        file.write_bytes(content)


def test_a_round_is_counted_once(store: FsspecStore) -> None:
    """Lanes of one round are told together; the next may come when that is known."""
    clock, reply = ManualClock(), make_start_reply(2)
    kept = Checkpoints(store, attempt=7, trials=reply.trials, interval=Interval(10), clock=clock)

    class Lanes:
        steps_per_epoch = 10

        def lane_state(self, lane: int) -> LaneState:
            return {**SOME_STATE, "step": 25}

    def run(seconds: float) -> None:
        began = clock.now
        clock.now += seconds
        kept.ran(make_segment(1, epochs=9, lanes=[0, 1]), since=began)

    assert not kept.due
    run(9)
    assert not kept.due
    run(1)
    assert kept.due
    told: tuple[Checkpoint, ...] = kept.take(Lanes(), lambda lane: 5.0 * lane)
    assert [(one.trial, one.step, one.epochs, one.seconds) for one in told] == [
        ("t0", 25, 2, 0.0),
        ("t1", 25, 2, 5.0),
    ]
    run(20)
    assert not kept.due
    kept.told(told)
    assert kept.due
