"""Ratios, verdicts, the processes of a contest and the whole command."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.commands.speed import __main__ as command
from benchmarks.commands.speed import cases, rates, report, setups
from benchmarks.commands.speed.__main__ import main
from benchmarks.commands.speed.cases import CASES, Case
from benchmarks.commands.speed.contest import (
    Contest,
    SideFailed,
    SideResult,
    Team,
    hold,
    worker_environment,
)
from benchmarks.commands.speed.side import Work, cohort_of, lane_steps, work
from benchmarks.process import allocator
from tests.support.trials import made_up_images

POLYNOMIAL = Case(
    name="tiny-polynomial",
    task={"id": "polynomial", "latents": 4, "batch_size": 8, "steps_per_epoch": 5},
    estimator={"id": "st", "temperature": 1.0},
    lr=1e-3,
    lanes=2,
    setup=setups.Polynomial(),
    must=1e-9,
    goal=1e9,
)
VAE = Case(
    name="tiny-vae",
    task={"id": "categorical_vae", "categories": 3, "latents": 2, "batch_size": 20},
    estimator={"id": "gumbel_rao", "num_draws": 3, "temperature": 0.5},
    lr=1e-3,
    lanes=2,
    setup=setups.VAE(images=made_up_images),
    must=1e-9,
    goal=1e9,
)


def side(*steps_per_second: float) -> SideResult:
    return SideResult(rates=steps_per_second, first_step_seconds=1.5, peak_bytes=300_000_000)


def contest(ours: tuple[float, ...], reference: tuple[float, ...], case: Case = CASES[0]) -> Contest:
    return Contest(case=case, processes=2, ours=side(*ours), reference=side(*reference))


def test_ratios_are_of_rounds_that_followed_each_other() -> None:
    """A machine that slows down by ten between rounds changes no ratio."""
    one = contest((200.0, 18.0, 250.0), (100.0, 10.0, 100.0))
    assert one.ratios == (2.0, 1.8, 2.5)
    assert one.ratio == 2.0


def test_milliseconds_and_trials_per_hour() -> None:
    one = contest((400.0,), (200.0,))
    assert one.milliseconds(one.ours) == 5.0
    assert one.trials_per_hour(one.reference) == pytest.approx(200 * 3600 / 96_000)


@pytest.mark.parametrize(
    ("ratio", "verdict"), [(1.99, "MISSED"), (2.0, "must"), (2.79, "must"), (2.8, "goal"), (9.0, "goal")]
)
def test_verdicts(ratio: float, verdict: str) -> None:
    assert (CASES[0].must, CASES[0].goal) == (2.0, 2.8)
    assert contest((ratio,), (1.0,)).verdict == verdict


def test_uncompiled_cases_are_to_keep_up_with_the_plain_loop() -> None:
    """Eager steps are an error elsewhere, and what is asked for here."""
    case = dataclasses.replace(POLYNOMIAL, lanes=1).uncompiled()
    assert (case.name, case.must) == ("tiny-polynomial, uncompiled", 1.0)
    assert dataclasses.replace(POLYNOMIAL, must=None, goal=None).uncompiled().must is None
    cohort = cohort_of(case, 0)
    steps = lane_steps(case, cohort)
    assert next(steps) + next(steps) > 0
    assert cohort.execution.forms == ("eager",)


@pytest.mark.parametrize(
    ("given", "names"), [([], ["a", "b"]), (["--uncompiled"], ["a, uncompiled", "b, uncompiled"])]
)
def test_the_option_makes_all_cases_uncompiled(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: list[str], names: list[str]
) -> None:
    measured: list[Case] = []

    def held(case: Case, **_: Any) -> Contest:
        measured.append(case)
        raise SideFailed("not here")

    monkeypatch.setattr(command, "hold", held)
    monkeypatch.setattr(command, "_package", lambda tell: [])
    monkeypatch.setattr(rates, "measure", lambda: rates.Rates(exp=1e-9, log=1e-9, noise=1e-9, adam=1e-9))
    cases = [dataclasses.replace(POLYNOMIAL, name=name) for name in "ab"]
    assert main([*given, "--json", str(tmp_path / "speed.json")], cases=cases) == 1
    assert [case.name for case in measured] == names
    assert {case.compiled for case in measured} == {not given}


def row(ratio: float) -> report.Row:
    return report.Row(contest=contest((ratio,), (1.0,)), floor={"matmul": 1.0, "noise": 0.5})


def report_of(*rows: report.Row, failures: dict[str, str] | None = None) -> report.Report:
    machine = rates.Rates(exp=1e-9, log=1e-9, noise=1e-9, adam=1e-9)
    return report.Report(settings={}, rates=machine, rows=[*rows], failures=failures or {})


def test_fraction_of_the_floor() -> None:
    """Two processes at 2 steps a second together: a step takes a second of a core, its floor 1.5 s of two."""
    assert row(1.0).fraction_of_floor == pytest.approx(0.75)


def test_the_limit_is_the_ratio_of_a_program_as_fast_as_the_floor() -> None:
    """The reference takes 2 s of a core a step, the floor is 1.5 s, whatever we take."""
    assert row(1.0).limit == row(1.3).limit == pytest.approx(2 / 1.5)
    assert row(1.3).limit * row(1.3).fraction_of_floor == pytest.approx(1.3)


def test_a_missed_must_or_a_failed_case_fails_the_whole() -> None:
    assert report_of(row(2.0)).passed
    assert not report_of(row(3.0), row(1.9)).passed
    failed = report_of(row(3.0), failures={"vae": "out of memory"})
    assert not failed.passed
    assert "vae: FAILED, out of memory" in report.table(failed)


def test_work_takes_whole_items_and_all_their_time() -> None:
    clock = itertools.count(0.0, 0.75)
    assert work(itertools.repeat(10), 2.0, lambda: next(clock)) == Work(steps=30, seconds=2.25)


def test_segments_of_a_cohort_count_their_own_lane_steps() -> None:
    """At most an epoch of both lanes each: five steps; the running total would soon be more."""
    counts = list(itertools.islice(lane_steps(POLYNOMIAL, cohort_of(POLYNOMIAL, 0)), 40))
    assert all(1 <= count <= 10 for count in counts)


def test_a_lane_that_ends_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases, "_ENDLESS_EPOCHS", 800)
    with pytest.raises(RuntimeError, match="lanes ended in tiny-polynomial"):
        list(lane_steps(POLYNOMIAL, cohort_of(POLYNOMIAL, 0)))


def test_steps_that_are_not_compiled_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases, "_ENDLESS_EPOCHS", 2)
    with pytest.raises(RuntimeError, match=r"tiny-polynomial are not compiled: .*forms=\('eager',\)"):
        list(lane_steps(POLYNOMIAL, cohort_of(POLYNOMIAL, 0)))


def test_the_allocator_s_settings_are_there_for_children_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.libc_ver", lambda: ("glibc", "2.36"))
    monkeypatch.delenv(allocator.VARIABLE, raising=False)
    with worker_environment():
        assert "hugetlb" in os.environ[allocator.VARIABLE]
    assert allocator.VARIABLE not in os.environ
    monkeypatch.setenv(allocator.VARIABLE, "glibc.malloc.arena_max=1")
    with worker_environment():
        assert os.environ[allocator.VARIABLE].startswith("glibc.malloc.arena_max=1:")
    assert os.environ[allocator.VARIABLE] == "glibc.malloc.arena_max=1"


def test_a_process_that_fails_ends_the_contest() -> None:
    broken = dataclasses.replace(POLYNOMIAL, estimator={"id": "gst", "temperature": 1.0})
    with pytest.raises(SideFailed, match="reference in tiny-polynomial ended with status 1"):
        hold(broken, processes=1, rounds=1, seconds=0.01, warm_up=1, note=lambda what: None)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(rates, "SECONDS", 0.001)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def run(path: Path, *chosen: Case) -> tuple[int, dict[str, Any]]:
    arguments = [
        "--rounds",
        "1",
        "--seconds",
        "0.05",
        "--processes",
        "1",
        "--json",
        str(path / "a" / "b.json"),
    ]
    status = main(arguments, cases=chosen)
    return status, json.loads((path / "a" / "b.json").read_text())


@pytest.mark.usefixtures("short")
def test_the_whole_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, result = run(tmp_path, VAE, POLYNOMIAL)
    assert status == 0
    assert set(result) == {
        *("format", "passed", "interrupted", "machine", "settings", "rates_ns", "cases", "failures"),
        "reinmax_package",
    }
    assert (result["passed"], result["interrupted"]) == (True, False)
    assert [case["name"] for case in result["cases"]] == ["tiny-vae", "tiny-polynomial"]
    for case in result["cases"]:
        check_case(case)
    vae, polynomial = (case["ours"]["matmul"] for case in result["cases"])
    assert (set(vae) <= {"torch", "native"}, len(vae), polynomial) == (True, 1, [])
    out = capsys.readouterr().out
    assert "s left" in out
    assert "ratio (min-max)" in out
    assert "tiny-vae " in out


def check_case(case: dict[str, Any]) -> None:
    rates_of = [case[side]["steps_per_second"] for side in ("ours", "reference")]
    assert case["ratios"] == [rates_of[0][0] / rates_of[1][0]]
    assert case["ratio"] > 0
    assert case["verdict"] == "must"
    for name in ("ours", "reference"):
        assert case[name]["ms_per_step"] > 0
        assert case[name]["trials_per_hour"] > 0
        assert 0 < case[name]["first_step_seconds"] < 120
        assert 50e6 < case[name]["peak_bytes"] < 5e9
    assert case["fraction_of_floor"] == pytest.approx(
        sum(case["floor_ms"].values()) / case["ours"]["ms_per_step"]
    )


@pytest.mark.usefixtures("short")
def test_a_missed_must_is_the_exit_status(tmp_path: Path) -> None:
    status, result = run(tmp_path, dataclasses.replace(POLYNOMIAL, must=1e8))
    assert status == 1
    assert result["passed"] is False
    assert result["cases"][0]["verdict"] == "MISSED"


@pytest.mark.usefixtures("short")
def test_ctrl_c_keeps_the_cases_that_were_finished(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def hold_first(case: Case, **options: Any) -> Contest:
        if case is VAE:
            raise KeyboardInterrupt
        return hold(case, **options)

    monkeypatch.setattr(command, "hold", hold_first)
    status, result = run(tmp_path, POLYNOMIAL, VAE)
    assert status == 130
    assert (result["passed"], result["interrupted"]) == (False, True)
    assert [case["name"] for case in result["cases"]] == ["tiny-polynomial"]
    assert result["reinmax_package"] == []
    assert "Interrupted: these are the cases that were finished." in capsys.readouterr().out
    assert run(tmp_path, VAE) == (130, result), "what an earlier run wrote is kept where nothing replaces it"
    assert "b.json is left as it was" in capsys.readouterr().err


@pytest.mark.usefixtures("short")
def test_ctrl_c_reaches_this_process_and_not_the_teams() -> None:
    """A signal to a process of a team, as the terminal sends it to all, does not end its work."""
    with Team("ours", POLYNOMIAL, 1, warm_up=1) as team:
        ((process, _),) = team._members
        assert process.pid is not None
        os.kill(process.pid, signal.SIGINT)
        assert team.turn(0.05) > 0
        (last,) = team.dismiss()
    assert last.peak_bytes > 50e6
    assert last.matmul is None, "the polynomial multiplies no matrices"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_bad_arguments_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, message in (
        (["--only", "vae"], "invalid choice: 'vae'"),
        (["--rounds", "0"], "whole number from 1"),
        (["--seconds", "nan"], "seconds above 0"),
    ):
        with pytest.raises(SystemExit):
            main(arguments)
        assert message in capsys.readouterr().err
