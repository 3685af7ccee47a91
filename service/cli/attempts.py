"""``heunboard attempts``."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from service.cli import completion
from service.cli.output import AsJson, Url, console, moment_text, print_json
from service.client import Client
from service.resources.schemas import Attempt

LISTED = 50
LOG_LINES = 12
STYLES = {"claimed": "dim", "running": "cyan", "finished": "green", "lost": "red"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(attempts)


def attempts(
    of: Annotated[
        str | None,
        typer.Argument(
            metavar="SWEEP|TRIAL",
            help="Id of a sweep or key of a trial.",
            autocompletion=completion.sweep_ids,
        ),
    ] = None,
    state: Annotated[
        str | None,
        typer.Option(help="claimed, running, finished or lost.", autocompletion=completion.attempt_states),
    ] = None,
    host: Annotated[str | None, typer.Option(help="Name of a machine or node.")] = None,
    text: Annotated[str | None, typer.Option(help="Part of error, log or label.")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List who tried to compute trials, where, and what became of it: of a sweep, a trial, or all.

    The newest come first; of more than 50 the first are shown.

    Examples:

    * heunboard attempts 7
    * heunboard attempts --state lost --host gpu-3
    * heunboard attempts --text OutOfMemory
    """
    sweep = None if of is None or len(of) > 9 or not of.isdigit() else of
    with Client(url) as client:
        if of is not None and sweep is None:
            if (state, host, text) != (None, None, None):
                raise typer.BadParameter("--state, --host and --text search sweeps, or everything")
            found: list[Attempt] = client.attempts(of)
        else:
            search = client.find_attempts(sweep=sweep, state=state, host=host, text=text)
            found = list(itertools.islice(search, LISTED))
    if as_json:
        print_json({"attempts": found})
    else:
        _show(found)


def _show(found: Sequence[Attempt]) -> None:
    out = console()
    if not found:
        out.print("No attempts")
        return
    table = Table(box=None, pad_edge=False)
    for name in ("id", "cohort", "state", "host", "started", "ended"):
        table.add_column(name)
    for one in found:
        state = f"[{STYLES[one.state]}]{one.state}[/]" + (f" ({one.cause})" if one.cause else "")
        cohort = escape(f"{one.label} ({one.cohort}, attempt {one.number})")
        times = (moment_text(one.started_at), moment_text(one.finished_at))
        table.add_row(str(one.id), cohort, state, escape(one.host or ""), *times)
    out.print(table)
    for one in found:
        if one.error:
            out.print(f"[red]{one.id}[/] {escape(one.error)}", highlight=False)
        for line in (one.log or "").splitlines()[-LOG_LINES:]:
            out.print(f"    {escape(line)}", style="dim", highlight=False)
