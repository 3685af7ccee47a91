"""Sweeps beside scripts: arithmetic by hand, processes of scripts, and the whole command with a tiny case."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from service.benchmark import __main__ as command
from service.benchmark import scripts
from service.benchmark.cases import CASES, COLD, FRESH, LOCAL, QUICK, WARM, Case, Mode, Target, spread
from service.benchmark.measuring import Settings, scripts_of
from service.benchmark.ours import Turn, awaited
from service.benchmark.phases import NAMES, spent
from service.benchmark.report import Report, Row, tables, to_json
from service.benchmark.scripts import ScriptFailed
from service.resources.schemas import Attempt, SweepDetail
from tests.support.answers import filled, sweep_answer
from tests.support.fakes import ManualClock

TINY = Case(
    name="tiny",
    sweep={
        "task": {"id": "polynomial", "latents": 4, "batch_size": 8, "epochs": 2, "steps_per_epoch": 20},
        "estimators": [{"id": "st", "temperature": 1.0}],
        "grid": {"optimizer": "adam", "lr": 1e-3},
    },
    seeds=2,
    script_seconds=3.0,
    rounds=1,
    scripts=1,
    fresh=Target(must=1e-9, goal=1e9),
    modes=(LOCAL, Mode(launcher="local", workers="warm")),
)


def turn(seconds: float, **phases: float) -> Turn:
    return Turn(seconds=seconds, phases=dict.fromkeys(NAMES, 0.0) | phases, executors=("loop",))


def row(case: Case = CASES[0], mode: Mode = FRESH) -> Row:
    """Three rounds of four trials, two of them run as scripts."""
    turns = [turn(10.0, steps=6.0), turn(20.0, steps=9.0), turn(40.0, steps=9.0)]
    return Row(case=case, mode=mode, trials=4, measured=2, ours=turns, scripts=[15.0, 20.0, 48.0])


def test_ratios_are_of_rounds_that_followed_each_other() -> None:
    assert row().ratios == (1.5, 1.0, 1.2)
    assert row().ratio == 1.2
    assert row().trials_per_hour == (720.0, 720.0)
    assert row().phases["steps"] == 8.0


@pytest.mark.parametrize(
    ("ratio", "verdict"), [(0.99, "MISSED"), (1.0, "must"), (1.39, "must"), (1.4, "goal")]
)
def test_verdicts(ratio: float, verdict: str) -> None:
    assert CASES[0].fresh == Target(1.0, 1.4)
    assert Target(1.0, 1.4).verdict(ratio) == verdict


def test_what_is_demanded_depends_on_the_mode() -> None:
    (vae,) = (case for case in CASES if case.name == "vae-5")
    assert vae.target(FRESH) == vae.target(LOCAL) == Target(1.7, 2.2)
    assert vae.target(COLD) == Target(1.2, 1.6)
    assert vae.target(WARM) is None


def test_a_missed_must_or_a_failed_case_fails_the_whole() -> None:
    missed = dataclasses.replace(CASES[0], fresh=Target(2.0, 3.0))
    assert Report(settings={}, rows=[row()]).passed
    assert Report(settings={}, rows=[row(missed, WARM)]).passed, "nothing is demanded of warm workers"
    assert not Report(settings={}, rows=[row(missed)]).passed
    assert not Report(settings={}, rows=[row()], interrupted=True).passed
    failed = Report(settings={}, rows=[row()], failures={"vae-2": "no compiler"})
    assert not failed.passed
    assert "vae-2: FAILED, no compiler" in tables(failed)


def test_tables_say_what_was_scaled_and_how_ratios_spread() -> None:
    text = tables(Report(settings={}, rows=[row(), row(mode=COLD)]))
    assert "1.2 (1-1.5)" in text
    assert "ray, fresh, cold cache" in text
    assert text.count("vae-1: 2 of 4 trials were run as scripts, their time scaled to all") == 1
    (first, _) = to_json(Report(settings={}, rows=[row(), row(mode=COLD)]))["rows"]
    assert (first["ratio"], first["verdict"], first["trials_as_scripts"]) == (1.2, "must", 2)


def attempt(claimed: float, started: float, finished: float, **phases: float) -> Attempt:
    times = {"claimed_at": claimed, "started_at": started, "finished_at": finished}
    told = {name: f"2030-01-01T00:00:{second:06.3f}Z" for name, second in times.items()}
    return filled(Attempt, {**told, "provenance": {"phases": phases or None}})


def test_phases_are_per_slot_and_add_up_to_the_whole() -> None:
    """Two slots. One computes from second 2 to 12, the other from 2 to 6; submitted at 1, seen at 13."""
    midnight = 1893456000.0  # 2030-01-01 in UTC
    attempts = [
        attempt(2, 3, 12, imports=2.0, steps=5.0, evaluation=1.0),
        attempt(2, 4, 6, imports=1.0, steps=0.5, reports=0.25),
    ]
    found = spent(attempts, submitted=midnight + 1, seen=midnight + 13, slots=2)
    assert found == {
        "queue": 1.0,
        "start": (1 + 2) / 2,
        "imports": (2 + 1) / 2,
        "data": 0.0,
        "first_step": 0.0,
        "compiling": 0.0,
        "steps": 5.5 / 2,
        "evaluation": 0.5,
        "reports": (1 + 0.5) / 2,
        "visible": 1.0,
        "idle": 6 / 2,
    }
    assert sum(found.values()) == 12


def test_attempts_without_phases_count_as_reports() -> None:
    old = attempt(0, 1, 5)
    found = spent([old], submitted=1893456000.0, seen=1893456005.0, slots=1)
    assert (found["start"], found["reports"], found["idle"]) == (1, 4, 0)


def test_the_cases_are_sweeps_of_trials_that_differ_from_turn_to_turn() -> None:
    counts = {case.name: len(case.trials(0)) for case in CASES}
    assert counts.pop("grid-200") == 200
    assert set(counts.values()) == {4}
    assert set(QUICK) < {case.name for case in CASES}
    for case in CASES:
        keys = [trial.key for number in range(3) for trial in case.trials(number)]
        assert len(set(keys)) == len(keys)
    steps = {}
    for case in CASES:
        values = case.trials(0)[0].task.values
        if "steps_per_epoch" in values:
            steps[case.name] = int(values["epochs"]) * int(values["steps_per_epoch"])
    assert steps == {"polynomial-200": 200, "polynomial-2000": 2000, "polynomial-8000": 8000, "grid-200": 500}


def test_scripts_of_a_part_are_spread_over_all_trials_and_fill_the_slots() -> None:
    (grid,) = (case for case in CASES if case.name == "grid-200")
    chosen = spread(grid.trials(0), 12)
    assert {trial.estimator.id for trial in chosen} == {"st", "stgs", "reinmax"}
    assert len({trial.key for trial in chosen}) == 12
    assert scripts_of(grid, 200, Settings(slots=2)) == 12
    assert scripts_of(grid, 200, Settings(slots=8)) == 16
    assert scripts_of(CASES[0], 4, Settings(slots=2)) == 4, "all, unless told otherwise"
    assert scripts_of(CASES[0], 4, Settings(slots=2, scripts=1)) == 2
    assert scripts_of(CASES[0], 4, Settings(slots=3, scripts=4)) == 4


SAYS = "import json, os, sys; json.loads(sys.argv[1]); print(json.dumps({'loss': LOSS}))"


def saying(loss: str) -> tuple[str, ...]:
    return (sys.executable, "-c", SAYS.replace("LOSS", loss))


def test_as_many_scripts_as_slots_run_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    running: list[int] = []
    start, finish = scripts._start, scripts._finish
    events: list[int] = []

    def counted_start(order: list[str]) -> Any:
        running.append(1)
        events.append(len(running))
        return start(order)

    def counted_finish(process: Any) -> None:
        finish(process)
        running.pop()

    monkeypatch.setattr(scripts, "_start", counted_start)
    monkeypatch.setattr(scripts, "_finish", counted_finish)
    ticks = iter([100.0, 107.5])
    seconds = scripts.run(CASES[0].trials(0), processes=3, command=saying("0.5"), clock=lambda: next(ticks))
    assert seconds == 7.5
    assert (len(events), max(events), running) == (4, 3, [])


@pytest.mark.parametrize(("loss", "why"), [("1 / 0", "ended with status 1"), ("1e999", "not finite")])
def test_a_script_that_fails_ends_the_turn(loss: str, why: str) -> None:
    with pytest.raises(ScriptFailed, match=why):
        scripts.run(CASES[0].trials(0), processes=2, command=saying(loss))


def test_looks_at_a_sweep_lie_a_fiftieth_of_the_time_apart() -> None:
    clock = ManualClock()
    states = iter(["queued", "running", "running", "running", "succeeded"])

    def look() -> SweepDetail:
        clock.now += {0: 0, 1: 2, 2: 8, 3: 90}.get(len(clock.slept), 0)
        return sweep_answer(next(states))

    assert awaited(look, clock=clock, sleep=clock.sleep).state == "succeeded"
    assert clock.slept == pytest.approx([0.02, 0.02 * 2.02, 0.02 * (10.02 + 0.0404), 0.5])


def test_the_command_line_names_modes_or_each_case_has_its_own() -> None:
    def modes(*arguments: str) -> list[Mode]:
        return command._modes(command._options(arguments, [TINY]), TINY)

    assert modes() == [*TINY.modes]
    assert modes("--launcher", "local") == [LOCAL]
    assert modes("--launcher", "local", "--workers", "fresh", "warm") == [*TINY.modes]
    assert modes("--launcher", "ray", "local", "--cache", "cold") == [
        COLD,
        Mode(launcher="local", cache="cold"),
    ]


def test_the_whole_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two sweeps through a real server, one script, tables and JSON."""
    path = tmp_path / "out" / "bench.json"
    assert command.main(["--slots", "1", "--json", str(path)], cases=[TINY]) == 0
    out, result = capsys.readouterr().out, json.loads(path.read_text())
    assert (result["passed"], result["failures"]) == (True, {})
    assert [(one["launcher"], one["workers"]) for one in result["rows"]] == [
        ("local", "fresh"),
        ("local", "warm"),
    ]
    for one in result["rows"]:
        (ours,), (theirs,) = one["ours_seconds"], one["scripts_seconds"]
        assert one["ratios"] == [theirs / ours]
        assert sum(one["phases"].values()) == pytest.approx(ours)
        assert min(one["phases"].values()) > -0.01, "clocks of the same machine, to the millisecond"
        assert one["phases"]["steps"] > 0
        assert one["executors"] == [["eager"]]
    assert "tiny: 1 of 2 trials were run as scripts, their time scaled to all" in out
    assert "round 1 of 1: local, warm: ratio" in out


def test_a_missed_must_and_a_failure_are_the_exit_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measured(case: Case, modes: Any, settings: Any, report: Report, note: Any) -> None:
        if case.name == "broken":
            raise ScriptFailed("its error is above")
        if case.name == "stopped":
            raise KeyboardInterrupt
        report.rows.append(row(case))

    monkeypatch.setattr(command, "precompile", lambda trials: None)
    monkeypatch.setattr(command, "measure", measured)
    path = tmp_path / "bench.json"

    def status(*cases: Case) -> int:
        return command.main(["--json", str(path)], cases=cases)

    def named(name: str) -> Case:
        return dataclasses.replace(TINY, name=name)

    assert status(TINY) == 0
    assert status(dataclasses.replace(TINY, fresh=Target(2, 3))) == 1
    assert status(TINY, named("broken")) == 1
    assert json.loads(path.read_text())["failures"] == {"broken": "its error is above"}
    assert status(TINY, named("stopped"), named("never")) == 130
    assert "Interrupted: this is what was finished." in capsys.readouterr().out
    kept = path.read_text()
    assert [one["case"] for one in json.loads(kept)["rows"]] == ["tiny"]
    assert status(named("stopped")) == 130
    assert path.read_text() == kept
