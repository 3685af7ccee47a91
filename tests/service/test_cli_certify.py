"""``heunboard certify`` in this process: what it prints, writes, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.cli.main import app

WRONG = Path(__file__).resolve().parents[1] / "estimators" / "wrong.py"


def run(*arguments: str | Path) -> tuple[int, str]:
    """Exit status and everything printed."""
    result = CliRunner().invoke(app, ["certify", *map(str, arguments)])
    return result.exit_code, result.output


def test_one_estimator(tmp_path: Path) -> None:
    status, text = run("st", "--json", "--picture", tmp_path / "st.svg", "--out", tmp_path)
    assert status == 0, text
    assert json.loads(text)["passed"]
    assert json.loads((tmp_path / "st.json").read_text()) == json.loads(text)
    assert (tmp_path / "st.svg").read_text().startswith("<svg")


def test_a_function_of_ones_own(tmp_path: Path) -> None:
    status, text = run(f"{WRONG}:copy_of_st", "--like", "st", "--picture", tmp_path / "own.html")
    assert status == 0, text
    assert "as declared" in text
    assert (tmp_path / "own.html").read_text().startswith("<!doctype html>")


def test_a_wrong_one_fails() -> None:
    status, text = run(f"{WRONG}:missing_temperature")
    assert status == 1
    assert "is a factor 1/tau missing?" in " ".join(text.split())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "--all"),
        (["st", "--all"], "--all"),
        (["sst"], "reinmax"),
        (["nowhere.py:f"], "nowhere.py"),
        ([f"{WRONG}:nothing"], "nothing"),
        (["st", "--picture", "st.png"], "FILE.svg"),
        ([f"{WRONG}:copy_of_st", "--like", "sst"], "sst"),
    ],
)
def test_what_cannot_be_certified(arguments: list[str], says: str) -> None:
    status, text = run(*arguments)
    assert status == 2
    assert says in text
