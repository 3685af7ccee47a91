"""``heunboard suite check``: whether the files of a suite are as they must be. Needs no server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from benchmarks.suites import reading
from service.cli.output import console
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
def check(folder: Folder) -> None:
    """List everything that is wrong with a suite: file, JSON pointer, what, and the nearest right name.

    Every tier's sweeps are made, and metrics, estimators, boards, levels and columns looked up. No server is
    asked, nothing is stored.

    Status 1 if something is wrong.
    """
    good = [_check(one) for one in _suites(folder)]
    if not all(good):
        raise typer.Exit(1)


def _suites(folder: Path) -> Iterator[Path]:
    """The folder, or the suites in it where it is none itself."""
    inside = sorted(one.parent for one in folder.glob("*/suite.yaml"))
    yield from [folder] if (folder / "suite.yaml").exists() or not inside else inside


def _check(folder: Path) -> bool:
    """Print what is wrong with a suite, or that nothing is; whether nothing is."""
    wrong = reading.mistakes(folder.resolve())
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
    return not wrong
