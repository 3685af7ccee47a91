"""``heunboard doctor``: whether this machine can run Heunboard, and what to do where it cannot."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from service.cli.output import AsJson, console, print_json

MARKS = {"right": "[green]right[/]", "note": "[yellow]note[/]", "wrong": "[red]wrong[/]"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def doctor(
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Where the web service would listen on this machine.")
    ] = 8000,
    as_json: AsJson = False,
) -> None:
    """Check Python, PyTorch, CUDA, compiler, Ray, database, data sets, disk and port; say what to do.

    Nothing is changed. The status is 1 where something is wrong; notes do not count.

    Examples:

    * heunboard doctor
    * heunboard doctor --port 9000 --json
    """
    from service.processes.diagnosis import diagnose

    findings = list(diagnose(port))
    if as_json:
        print_json([dataclasses.asdict(one) for one in findings])
    else:
        table = Table(box=None, show_header=False, pad_edge=False)
        for one in findings:
            advice = f"\n[dim]{escape(one.advice)}[/]" if one.advice else ""
            table.add_row(MARKS[one.state], one.subject, f"{escape(one.text)}{advice}")
        console().print(table, highlight=False)
    if any(one.state == "wrong" for one in findings):
        raise typer.Exit(1)
