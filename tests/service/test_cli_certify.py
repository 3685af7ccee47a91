"""``heunboard certify`` in this process: what it prints, writes, and how it ends."""

from __future__ import annotations

import json
import re
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


def test_a_near_miss_is_told_first_with_its_size_and_what_to_write_instead() -> None:
    status, text = run(f"{WRONG}:soft_forward", "--like", "st")
    assert status == 1
    rows = text[text.index("property") :].splitlines()[1:]
    assert rows[0].startswith("samples")
    told = " ".join(text.split())
    assert re.search(r"one-hot up to [12]\.\de-16 in float64, [3-9]\.\de-08 in float32", told)
    assert "d + (p - p.detach())" in told


def test_json_lists_contradictions_first() -> None:
    status, text = run(f"{WRONG}:soft_forward", "--like", "st", "--json")
    assert status == 1
    first, second = json.loads(text)["findings"][:2]
    assert (first["name"], first["verdict"], "advice" in first) == ("samples", "contradicts", True)
    assert (second["name"], "advice" in second) == ("bias", False)


def test_temperatures_are_a_row_each_of_bias_and_variance() -> None:
    status, text = run("st")
    assert status == 0
    (header,) = [line for line in text.splitlines() if "exponential-3x2, temperature" in line]
    assert header.split()[2:] == ["0.1", "0.3", "0.5", "0.7", "1", "1.5", "2", "5"]
    (bias,) = [line for line in text.splitlines() if line.startswith("bias") and "places" not in line]
    assert bias.split()[5] == "0.246"  # as in the table of problems


def test_a_parameter_is_set(tmp_path: Path) -> None:
    (tmp_path / "stgs.json").write_text("the certificate of the defaults")
    status, text = run("stgs", "--set", "temperature=0.5", "--out", tmp_path)
    assert status == 0, text
    assert "version 2, temperature=0.5: as declared" in unwrapped(text)
    assert (tmp_path / "stgs.json").read_text() == "the certificate of the defaults"
    stored = json.loads((tmp_path / "stgs.temperature=0.5.json").read_text())
    assert stored["parameters"] == {"temperature": 0.5}


def test_parameters_are_set_together_and_named_in_the_file(tmp_path: Path) -> None:
    arguments = ("--set", "num_draws=10", "--set", "temperature=2")
    status, text = run("gumbel_rao", *arguments, "--json", "--out", tmp_path)
    assert status == 0, text
    assert json.loads(text)["parameters"] == {"num_draws": 10, "temperature": 2.0}
    assert (tmp_path / "gumbel_rao.temperature=2.0,num_draws=10.json").is_file()


def test_an_order_at_another_temperature_is_no_contradiction() -> None:
    status, text = run("st", "--set", "temperature=0.5")
    assert status == 0, text
    assert "declared at temperature 1 only" in unwrapped(text)


def test_what_cannot_be_published_is_not_executed(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text("raise SystemExit('executed')")
    status, text = run(f"{file}:f", "--publish")
    assert (status, "executed" in text) == (2, False)


def test_a_parameter_of_ones_own_function_is_set() -> None:
    status, text = run(f"{WRONG}:scaled_to_a_gap", "--set", "gap=2", "--json")
    assert status == 0, text
    assert json.loads(text)["parameters"] == {"gap": 2.0}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["st", "--set", "temprature=0.5"], "no parameter 'temprature'; it takes temperature. Did you mean"),
        (["st", "--set", "temperature=warm"], "--set temperature: expected a number above 0"),
        (["st", "--set", "temperature=0"], "'0' is out of range; temperature is a number above 0"),
        (["st", "--set", "temperature=inf"], "write a finite number"),
        (["gumbel_rao", "--set", "num_draws=2.5"], "'2.5' has a fraction"),
        (["gumbel_rao", "--set", "expectation=exat"], "Did you mean 'exact'?"),
        (["gumbel_rao", "--set", "num_draws=x", "--set", "temperature=y"], "; --set num_draws: expected"),
        (["zgr", "--set", "temperature=1"], "it takes none"),
        (["st", "--set", "temperature"], "expected NAME=VALUE"),
        (["st", "--set", "=1"], "expected NAME=VALUE"),
        (["st", "--set", "temperature=1", "--set", "temperature=2"], "came twice, as 1 and 2"),
        (["--all", "--set", "temperature=1"], "--all measures each at its defaults"),
        ([f"{WRONG}:scaled_to_a_gap", "--set", "gapp=1"], "it takes gap, scale. Did you mean 'gap'?"),
        ([f"{WRONG}:scaled_to_a_gap", "--set", "scale=1.5"], "'1.5' has a fraction; scale is an integer"),
        ([f"{WRONG}:copy_of_st", "--set", "temperature=-1"], "number above 0"),
        ([f"{WRONG}:copy_of_st", "--publish"], "register it in a package"),
        (["st", "--publish", "--set", "temperature=2"], "leave out --set temperature=2 or --publish"),
    ],
)
def test_what_cannot_be_set_or_published(arguments: list[str], says: str) -> None:
    status, text = run(*arguments)
    assert status == 2
    assert says in unwrapped(text)


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
