"""Commands that list what there is, against a real server."""

from __future__ import annotations

import json
import sys

import pytest
from sqlalchemy import Engine

from service.cli.main import main
from tests.support.sweeps import small_sweep
from tests.support.web import application, compute, fail, served


@pytest.fixture
def heunboard(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], engine: Engine):  # type: ignore[no-untyped-def]
    """Runs a command against a server on the test's database; answers what it printed."""
    with served(application(engine)) as url:

        def run(*arguments: str) -> str:
            monkeypatch.setattr(sys, "argv", ["heunboard", *arguments, "--url", url])
            with pytest.raises(SystemExit) as ended:
                main()
            assert not ended.value.code
            return capsys.readouterr().out

        yield run


def two_boards(engine: Engine) -> None:
    compute(engine, small_sweep(), {0: 1.0, 1: 2.0, 2: 3.0})
    compute(engine, small_sweep(task={"id": "polynomial", "p": 3, "latents": 4, "epochs": 2}))


def test_boards_are_listed_where_no_id_is_given(engine: Engine, heunboard) -> None:  # type: ignore[no-untyped-def]
    assert "No boards yet" in heunboard("board")
    assert "No boards yet" in heunboard("boards")
    two_boards(engine)
    listed = heunboard("board")
    assert "heunboard board ID shows one" in listed
    assert "Polynomial p = 3" in listed
    assert "2.0000" in listed  # the mean of 1, 2, 3
    assert "95 % interval" not in listed
    assert heunboard("board", "--all").count("95 % interval") == 2
    assert "Polynomial p = 3" not in heunboard("boards", "-q", "p=2")
    assert heunboard("boards", "-q", "nothing").strip() == "No such board"


def test_a_single_board_is_shown(engine: Engine, heunboard) -> None:  # type: ignore[no-untyped-def]
    compute(engine, small_sweep())
    assert "95 % interval" in heunboard("board")


def test_registries(heunboard) -> None:  # type: ignore[no-untyped-def]
    named = json.loads(heunboard("estimators", "--kind", "path", "--json"))["estimators"]
    assert {one["properties"]["kind"] for one in named} == {"path"}
    assert "reinmax" in [one["id"] for one in named]
    assert "REINFORCE" in heunboard("estimators", "--kind", "score")
    assert "REINFORCE" not in heunboard("estimators", "--kind", "path")
    assert "expected_loss" in heunboard("tasks")


def test_trials_and_logs(engine: Engine, heunboard) -> None:  # type: ignore[no-untyped-def]
    id = fail(
        engine, small_sweep(estimators=["st"], seeds=2), error="no such file\nat all", traceback="Trace"
    )
    listed = heunboard("trials", id, "--state", "failed")
    assert listed.count("no such file") == 2
    assert "at all" not in listed
    assert heunboard("trials", id, "--state", "queued").strip() == "No such trials"
    (first, _) = json.loads(heunboard("trials", id, "--json"))["trials"]
    log = heunboard("logs", first["key"])
    assert "attempt 1 of cohort" in log
    assert "finished" in log
