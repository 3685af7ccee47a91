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
        (["reinmx"], "did you mean 'reinmax'"),
        ([""], "--all"),
        (["nowhere.py:f"], "does not exist"),
        ([str(WRONG)], ":FUNCTION"),
        ([f"{WRONG.parent}:f"], "no Python file"),
        ([f"{WRONG}:torch"], "of type module"),
        ([f"{WRONG}:copy_of_st", "--like", "rloo"], "of its own kind"),
        (["st", "--like", "reinmax"], "FILE:FUNCTION"),
        (["st", "--picture", "nowhere/st.svg"], "no folder nowhere"),
        (["st", "--out", str(WRONG)], "cannot be made a folder"),
        ([f"{WRONG}:nothing"], "nothing"),
        (["st", "--picture", "st.png"], "FILE.svg"),
        ([f"{WRONG}:copy_of_st", "--like", "sst"], "sst"),
    ],
)
def test_what_cannot_be_certified(arguments: list[str], says: str) -> None:
    status, text = run(*arguments)
    assert status == 2
    assert says in unwrapped(text)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("def f(:", "SyntaxError"),
        ("import nothing_of_this_name", "line 1 ModuleNotFoundError"),
        ("def f(logits, *, generator=None):\n    raise KeyError('oh')", "line 2): 'oh'"),
        ("def f(logits, *, generator=None): return logits.sum()", "expected the samples alone"),
        ("def f(logits, *, generator=None): return logits.detach()", "without a gradient"),
        ("def f(logits, *, generator=None): return logits * float('nan')", "entries of the samples are NaN"),
        ("def f(logits, objective, *, generator=None): return 1", "of type int"),
        ("def f(logits): return logits", "lacks generator"),
        ("def f(logits, temperature, generator): return logits", "give temperature a default"),
        ("def f(): return 1", "expected 1 or 2"),
    ],
)
def test_a_function_that_is_no_estimator(body: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(body)
    status, text = run(f"{file}:f")
    assert status == 2, text
    assert says in unwrapped(text)


def unwrapped(text: str) -> str:
    """Without the frame and the line breaks of an error message."""
    return " ".join(text.replace("│", " ").split())
