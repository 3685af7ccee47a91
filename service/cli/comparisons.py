"""``heunboard compare``: estimators against each other, for people and for continuous integration."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from service.cli import completion
from service.cli.output import AsJson, Url, console, print_json
from service.client import Client
from service.exit_status import ExitStatus
from service.resources import numbers
from service.resources.comparison_schemas import Comparison, HeldAgainst
from service.resources.comparison_words import p_text

STYLES = {"better": "green", "worse": "red", "equivalent": "cyan", "undecided": "yellow"}


class FailOn(StrEnum):
    """What ends the command with :attr:`ExitStatus.FOUND`."""

    REGRESSION = "regression"
    UNDECIDED = "undecided"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(compare)


def compare(
    first: Annotated[
        str,
        typer.Argument(
            help="Estimator, ESTIMATOR@VERSION, or the key of a setting.",
            autocompletion=completion.estimator_ids,
        ),
    ],
    others: Annotated[
        list[str],
        typer.Argument(help="What it is held against, likewise.", autocompletion=completion.estimator_ids),
    ],
    board: Annotated[
        str, typer.Option(help="Board id or its first letters.", autocompletion=completion.board_ids)
    ],
    other_board: Annotated[str | None, typer.Option(help="Board of the others; by default the same.")] = None,
    metric: Annotated[
        str | None, typer.Option(help="Compared metric; by default the one that chooses.")
    ] = None,
    select: Annotated[
        str | None, typer.Option(help="Metric that chooses the setting of each estimator.")
    ] = None,
    margin: Annotated[
        float, typer.Option(min=0.0, help="Largest difference that does not matter, in units of the metric.")
    ] = 0.0,
    fail_on: Annotated[
        FailOn | None,
        typer.Option(
            help="End with status 3: `regression`, where FIRST is worse by more than the margin or failed at "
            "a seed at which another did not; `undecided`, also where it is not shown to be no worse."
        ),
    ] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Compare estimators seed by seed: differences, intervals, p-values, and what can be concluded.

    Examples:

    * heunboard compare reinmax st --board 3fa2
    * heunboard compare reinmax@2 reinmax@1 --board 3fa2 --margin 0.5 --fail-on regression
    """
    with Client(url) as client:
        places = [None if name is None else _board(client, name) for name in (board, other_board)]
        found = client.compare(
            first,
            *others,
            board=places[0] or board,
            other_board=places[1],
            metric=metric,
            select=select,
            margin=margin or None,
        )
    if as_json:
        print_json(found)
    else:
        _show(found)
    if fail_on is not None and any(_is_found(one, fail_on) for one in found.comparisons):
        raise typer.Exit(ExitStatus.FOUND)


def _is_found(comparison: HeldAgainst, fail_on: FailOn) -> bool:
    return comparison.regression or (fail_on is FailOn.UNDECIDED and not comparison.no_worse)


def _board(client: Client, name: str) -> str:
    """The id of the one board that begins so; a name of none or of several is for the server to refuse."""
    found = [link.id for link in client.boards() if link.id.startswith(name)]
    return found[0] if len(found) == 1 else name


def _show(found: Comparison) -> None:
    out, first = console(), found.first
    out.print(f"\n[bold]{escape(first.title)}[/]  [dim]{escape(first.board_title)}[/]", highlight=False)
    setting = numbers.setting(**dict(first.setting))
    out.print(f"[dim]{escape(setting)}; {escape(found.metric.title)}[/]", highlight=False)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("against", "verdict", "better by", "95 % interval", "p", "seeds"):
        table.add_column(name, justify="left" if name in ("against", "verdict") else "right")
    for one in found.comparisons:
        table.add_row(*_line(one))
    out.print(table)
    for line in [*(one.sentence for one in found.comparisons), *found.notes]:
        out.print(escape(line), highlight=False)


def _line(one: HeldAgainst) -> list[str]:
    low, high, verdict = one.low, one.high, one.verdict
    half = None if low is None or high is None else (high - low) / 2
    decimals = numbers.decimals_for(half, one.mean or 0.0)
    mean, start, end = (numbers.text(value, decimals, signed=True) for value in (one.mean, low, high))
    interval = "–" if half is None else f"{start} to {end}"
    p = "–" if half is None else p_text(one.p_adjusted).removeprefix("= ")
    chip = f"[{STYLES[verdict]}]{verdict}[/]"
    return [escape(one.other.title), chip, mean, interval, p, str(one.seeds)]
