"""``heunboard suite check``: whether the files of a suite are as they must be. Needs no server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from benchmarks.suites import reading
from benchmarks.sweep_file.issues import SpecError
from service.cli.output import AsJson, console, print_json
from service.resources.numbers import counted

_app = typer.Typer(name="suite", help="Check files of suites on this machine.", no_args_is_help=True)

Folder = Annotated[
    Path,
    typer.Argument(metavar="FOLDER", help="Folder of a suite, or of several.", exists=True, file_okay=False),
]


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    app.add_typer(_app)


@_app.callback()  # without it typer makes the only command of the group the group itself
def _group() -> None:
    """Check files of suites on this machine."""


@_app.command()
def check(folder: Folder, as_json: AsJson = False) -> None:
    """List everything that is wrong with a suite: file, JSON pointer, what, and the nearest right name.

    Every tier's sweeps are made, and metrics, estimators, boards, levels and columns looked up. No server is
    asked, nothing is stored.

    Status 1 if something is wrong.

    Examples:

    * heunboard suite check benchmarks/suites/reinmax-2023
    """
    wrong = {one: reading.mistakes(one.resolve()) for one in _suites(folder)}
    if as_json:
        print_json([_issues(one, mistakes) for one, mistakes in wrong.items()])
    else:
        for one, mistakes in wrong.items():
            _tell(one, mistakes)
    if any(wrong.values()):
        raise typer.Exit(1)


def _suites(folder: Path) -> Iterator[Path]:
    """The folder, or the suites in it where it is none itself."""
    inside = sorted(one.parent for one in folder.glob("*/suite.yaml"))
    yield from [folder] if (folder / "suite.yaml").exists() or not inside else inside


def _issues(folder: Path, wrong: Sequence[SpecError]) -> dict[str, Any]:
    """What is wrong with a suite as one document."""
    issues = [
        {
            "file": error.source,
            "pointer": issue.path,
            "message": issue.message,
            "suggestion": issue.suggestion,
        }
        for error in wrong
        for issue in error.issues
    ]
    return {"folder": str(folder), "issues": issues}


def _tell(folder: Path, wrong: Sequence[SpecError]) -> None:
    """Print what is wrong with a suite, or that nothing is."""
    for error in wrong:
        for issue in error.issues:
            line = f"[red]{escape(error.source)}[/] {escape(str(issue))}"
            console().print(line, highlight=False, soft_wrap=True)
    if not wrong:
        suite = reading.read(folder.resolve())
        tiers = sum(len(one.file.tiers) for one in suite.exhibits.values())
        numbers = reading.published_numbers(suite)
        text = (
            f"{folder}: {counted(len(suite.exhibits), 'exhibit')}, {counted(tiers, 'tier')}, "
            f"{counted(numbers, 'published number')}: nothing wrong"
        )
        console().print(escape(text), highlight=False, soft_wrap=True)
