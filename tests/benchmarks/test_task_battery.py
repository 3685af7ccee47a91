"""Every registered task passes the battery, and tasks with a mistake do not."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks.commands import check_task
from benchmarks.tasks import battery, registry
from tests.benchmarks.wrong_tasks import CORRECT, MISDECLARED, WRONG
from tests.support.plugins import registered

CORRECT_ID = CORRECT.id
OF_TESTS = {
    CORRECT_ID: "tests.benchmarks.wrong_tasks:CORRECT",
    "chain": "tests.support.chain:INFO",
}
"""Tasks that need what no registered one does, by id, with their entry points."""


@pytest.fixture(scope="module", autouse=True)
def tasks_of_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Registered as those of other packages are."""
    with registered(tmp_path_factory.mktemp("tasks"), OF_TESTS):
        yield


@pytest.mark.parametrize("check", battery.CHECKS, ids=lambda check: check.name)
@pytest.mark.parametrize("id", [*registry.available(), *OF_TESTS])
def test_every_task_passes(id: str, check: battery.Check) -> None:
    subject = battery.subject(registry.get(id))
    if not check.applies(subject):
        pytest.skip(f"{id} has no data")
    check(subject)


@pytest.mark.parametrize("id", [*registry.available(), *OF_TESTS])
def test_every_task_is_checked_with_a_path_estimator_or_one_of_values(id: str) -> None:
    assert {"reinmax", "rloo"} & set(battery.subject(registry.get(id)).estimators)


@pytest.mark.parametrize(
    ("wrong", "name", "message"), WRONG, ids=[f"{name}-{wrong.__name__}" for wrong, name, _ in WRONG]
)
def test_a_wrong_task_fails(wrong: type[Any], name: str, message: str) -> None:
    info = dataclasses.replace(CORRECT, target=f"{wrong.__module__}:{wrong.__name__}")
    with pytest.raises(AssertionError, match=f"{name}, with .*{message}"):
        battery.check(name)(battery.subject(info))


@pytest.mark.parametrize(("entry", "name", "message"), MISDECLARED)
def test_a_wrong_declaration_fails(entry: dict[str, Any], name: str, message: str) -> None:
    info = dataclasses.replace(CORRECT, **entry)
    with pytest.raises(AssertionError, match=f"{name}, with .*{message}"):
        battery.check(name)(battery.subject(info))


def test_a_declaration_that_no_estimator_fits_fails() -> None:
    facts = dataclasses.replace(CORRECT.facts({}), sequential=True, differentiable=False)
    info = dataclasses.replace(CORRECT, facts=lambda v: facts)
    with pytest.raises(AssertionError, match=r"lanes: none of reinmax, rloo, .* fits the declared facts"):
        battery.check("lanes")(battery.subject(info))


def test_every_check_is_failed_by_a_wrong_task() -> None:
    """A check that nothing fails says nothing."""
    assert {name for _, name, _ in (*WRONG, *MISDECLARED)} == {check.name for check in battery.CHECKS}


def test_an_unknown_check_is_told_with_those_there_are() -> None:
    with pytest.raises(KeyError, match="no check 'lane'; there are lanes, wide, nan"):
        battery.check("lane")


def test_the_command_prints_a_line_a_check(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_task.main([CORRECT_ID, "--only", "spaces", "--only", "splits", "--set", "epochs=1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [f"{CORRECT_ID} version 1: epochs=1", "with reinmax, rloo, reinforce_ema, exact"]
    assert [line.split()[:2] for line in lines[2:4]] == [["holds", "spaces"], ["holds", "splits"]]
    assert lines[-1] == "2 of 2 checks hold"


def test_the_command_fails_with_a_wrong_task(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = dataclasses.replace(CORRECT, target="tests.benchmarks.wrong_tasks:ReportsMore")
    monkeypatch.setattr(registry, "get", lambda id: wrong)
    assert check_task.main([CORRECT_ID, "--only", "metrics"]) == 1
    printed = capsys.readouterr().out
    assert "FAILS  metrics" in printed
    assert "0 of 1 checks hold" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["polynomal"], "no task 'polynomal'; did you mean 'polynomial'?"),
        (["polynomial", "--set", "p"], "--set p: expected NAME=VALUE"),
        (["polynomial", "--set", "p=2", "--set", "p=3"], "--set p came twice, as 2 and 3"),
        (["polynomial", "--set", "q=2"], "has no parameter 'q'"),
        (["polynomial", "--set", "p=0"], "p is a number from 1 to 10"),
        (["polynomial", "--only", "lane"], "invalid choice: 'lane'"),
    ],
)
def test_wrong_arguments_are_told(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        check_task.main(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
