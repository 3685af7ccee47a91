"""The page on the command line: what ``--help`` says of every command."""

from __future__ import annotations

import re

import typer
from typer.cli import get_docs_for_click
from typer.core import TyperCommand, TyperGroup

from documentation import markdown
from service.cli.main import app

PROGRAM = "heunboard"

_EXAMPLE = re.compile(rf"^\* ({PROGRAM} .+)$", re.MULTILINE)

_INTRODUCTION = f"""\
# Command line

What `{PROGRAM} COMMAND --help` says, for all commands. How the commands end is in [exit
codes](exit-codes.md); the environment variables that they read are in [settings](settings.md)."""


def page() -> str:
    """The whole page."""
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)  # there is more than one command
    context = typer.Context(group, info_name=PROGRAM)
    rows = ((_link(name), _first_sentence(command)) for name, command in every_command(group, PROGRAM))
    return markdown.page(
        _INTRODUCTION,
        markdown.table(("Command", "What it does"), rows),
        *(_section(name, group.commands[name], context) for name in group.list_commands(context)),
    )


def every_command(group: TyperGroup, prefix: str) -> list[tuple[str, TyperCommand | TyperGroup]]:
    """Full name and command, groups before what is in them; hidden ones are left out."""
    found: list[tuple[str, TyperCommand | TyperGroup]] = []
    for name, command in group.commands.items():
        assert isinstance(command, TyperCommand | TyperGroup)
        if command.hidden:
            continue
        found.append((f"{prefix} {name}", command))
        if isinstance(command, TyperGroup):
            found += every_command(command, f"{prefix} {name}")
    return found


def _section(name: str, command: object, context: typer.Context) -> str:
    assert isinstance(command, TyperCommand | TyperGroup)
    if command.hidden:
        return ""
    text = get_docs_for_click(obj=command, ctx=context, indent=1, call_prefix=PROGRAM).strip()
    return _EXAMPLE.sub(r"* `\1`", text)


def _link(name: str) -> str:
    return f"[`{name}`](#{name.replace(' ', '-')})"


def _first_sentence(command: TyperCommand | TyperGroup) -> str:
    return " ".join((command.help or "").split("\n\n")[0].split())
