"""What every command has: help with examples that can be typed, JSON, completions; and how commands end."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import typer
from typer.core import TyperCommand, TyperGroup
from typer.testing import CliRunner

from estimators import registry
from service.cli import completion
from service.cli.main import app
from service.client import Client
from service.exit_status import in_words
from service.resources.schemas import SweepList
from tests.support.answers import sweep_answer

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = "heunboard"
VARIABLE = re.compile(r"[A-Z_]+=")

WITHOUT_JSON = {
    "serve": "runs until it is ended",
    "dispatch": "runs until it is ended; what it does is in its log",
}
"""Commands that answer nothing which a program could read."""


def commands(group: TyperGroup, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, TyperCommand]]:
    """Every command that is shown, with its name."""
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from commands(command, (*prefix, name))
        elif isinstance(command, TyperCommand) and not command.hidden:
            yield " ".join((*prefix, name)), command


GROUP = typer.main.get_command(app)
assert isinstance(GROUP, TyperGroup)
COMMANDS = dict(commands(GROUP))


def examples(command: TyperCommand) -> list[str]:
    """The command lines under ``Examples:``."""
    _, _, shown = (command.help or "").partition("Examples:\n")
    lines = (line.strip().removeprefix("* ") for line in shown.splitlines())
    return [line for line in lines if line]


def parse(line: str) -> str:
    """Read a command line as the shell and the program do, and execute nothing; the command's name.

    Raises:
        click.UsageError: it cannot be used.
    """
    words = shlex.split(line.partition(" < ")[0])
    while VARIABLE.match(words[0]):
        words.pop(0)
    assert words[0] == PROGRAM, line
    command: object = GROUP
    context, rest, named = typer.Context(GROUP, info_name=PROGRAM), words[1:], []
    while isinstance(command, TyperGroup):
        name, found, rest = command.resolve_command(context, rest)
        assert name is not None
        assert found is not None
        command = found
        named.append(name)
    assert isinstance(command, TyperCommand)
    command.make_context(named[-1], rest, parent=context)
    return " ".join(named)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_teaches_by_examples_of_the_command_itself(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # where the files lie that they name
    lines = examples(COMMANDS[name])
    assert lines, f"`heunboard {name} --help` has no examples"
    assert name in {parse(line) for line in lines}


@pytest.mark.parametrize("line", ["heunboard status --no-such", "heunboard board a b", "heunboard nothing"])
def test_an_example_that_cannot_be_typed_would_be_seen(line: str) -> None:
    with pytest.raises(Exception, match=r"(?i)no such|unexpected"):
        parse(line)


def test_the_examples_are_shown_line_by_line() -> None:
    shown = CliRunner(env={"COLUMNS": "100"}).invoke(app, ["submit", "--help"]).stdout
    lines = [line.strip() for line in shown.splitlines()]
    at = lines.index("Examples:")
    assert "* heunboard submit examples/polynomial.yaml --wait" in lines[at:]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_answers_in_json_or_says_why_not(name: str) -> None:
    options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    assert ("--json" in options) != (name in WITHOUT_JSON)


def test_the_shell_can_be_taught_to_complete() -> None:
    help = CliRunner(env={"COLUMNS": "100"}).invoke(app, ["--help"]).stdout
    assert "--install-completion" in help
    assert "--show-completion" in help


def completed(words: str) -> list[str]:
    """What bash is told after a tab at the end."""
    environment = {"_HEUNBOARD_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": ""}
    environment["COMP_CWORD"] = str(len(shlex.split(words)) - (0 if words.endswith(" ") else 1))
    answer = CliRunner().invoke(app, [], env=environment, prog_name=PROGRAM)
    return answer.stdout.split()


@pytest.fixture
def sweeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server with the sweeps 7 and 71."""
    page = SweepList(sweeps=[sweep_answer(id="7"), sweep_answer(id="71")])
    monkeypatch.setattr(Client, "newest_sweeps", lambda *_: page)


@pytest.mark.usefixtures("sweeps")
@pytest.mark.parametrize("command", ["status", "watch", "pause", "trials", "attempts", "board --sweep"])
def test_ids_of_sweeps_are_completed(command: str) -> None:
    assert completed(f"heunboard {command} ") == ["7", "71"]


def test_names_of_registries_and_states_are_completed() -> None:
    assert completed("heunboard certify rein") == [id for id in registry.available() if id.startswith("rein")]
    assert completed("heunboard boards --task poly") == ["polynomial"]
    assert completed("heunboard trials 7 --state ca") == ["cancelled"]
    assert completed("heunboard attempts --state l") == ["lost"]
    assert completed("heunboard reproduce x --tier ") == ["smoke", "reduced", "full", "budget"]
    assert "mnist" in completed("heunboard data check ")


def test_a_server_that_is_away_suggests_nothing_and_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tries: list[str] = []

    def refuse(_: object, request: httpx.Request) -> httpx.Response:
        tries.append(request.url.path)
        raise httpx.ConnectError("refused")

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", refuse)
    context = typer.Context(COMMANDS["status"])
    assert completion.sweep_ids(context, "") == []
    assert tries == ["/api/v1/sweeps"]


def test_exit_statuses_are_stated_once() -> None:
    """In the enumeration, which the help shows; a page of the documentation is made of it, too."""
    shown = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["--help"]).stdout
    assert f"Exit status: {in_words()}" in shown
    assert in_words().startswith("0 done; 1 the sweep failed")
    assert in_words().endswith("; 130 interrupted.")
