"""What the commands print: tables for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from pydantic_core import to_jsonable_python
from rich.console import Console
from rich.markup import escape

from service.resources import fallbacks
from service.resources.schemas import Fallback

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON in place of text.")]
Url = Annotated[
    str | None,
    typer.Option("--url", envvar="HEUNBOARD_URL", help="Address of the server.", show_default=False),
]

WIDTH = 200  # of tables in files and pipes: a board with three metrics, their interval and a reference

STATE_STYLES = {
    "queued": "dim",
    "running": "cyan",
    "paused": "yellow",
    "succeeded": "green",
    "failed": "red",
    "cancelled": "yellow",
}


def console(*, stderr: bool = False) -> Console:
    """Standard output or error; wide enough for the tables when it is not a terminal."""
    out = Console(stderr=stderr)
    return out if out.is_terminal else Console(stderr=stderr, width=WIDTH)


def print_json(answer: Any) -> None:
    """One JSON document on standard output: models as the API answers them, and what holds them."""
    typer.echo(json.dumps(to_jsonable_python(answer), indent=2))


def moment_text(moment: datetime | None) -> str:
    """``2026-11-26 19:33:27 UTC``; empty when there is none."""
    return "" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def print_warning(out: Console, found: Sequence[Fallback]) -> None:
    """Say that attempts were slower than they could be (``fallbacks`` of a sweep or board), if any were."""
    if warning := fallbacks.warning(found):
        sentence, failures = warning
        out.print(f"[yellow]slow[/] {escape(sentence)}", highlight=False)
        for line in failures:
            out.print(f"    {escape(line)}", style="dim", highlight=False)


def counts_text(counts: dict[str, int]) -> str:
    """``12 succeeded, 3 running``, in rich markup."""
    shown = [
        f"[{STATE_STYLES[state]}]{counts[state]:,} {state}[/]" for state in STATE_STYLES if counts.get(state)
    ]
    return ", ".join(shown) or "no trials"
