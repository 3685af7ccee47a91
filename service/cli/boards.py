"""``heunboard board``: leaderboards as terminal tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from service.cli import board_files, completion
from service.cli.board_files import Wanted
from service.cli.lists import board_table
from service.cli.output import AsJson, Url, console, print_json, print_warning
from service.client import Board, Client
from service.client.board import TIED, measured
from service.resources import numbers
from service.resources.board_list_schemas import BoardLine
from service.resources.board_schemas import BoardCell, BoardRow, ReferenceNumber, Spread
from service.resources.schemas import BoardLink, MetricInfo

LAST_COLUMNS = ("seeds", "reference", "difference")


BoardId = Annotated[
    str | None,
    typer.Argument(
        help="Board id or its first letters; without it boards are listed.",
        autocompletion=completion.board_ids,
    ),
]
OfSweep = Annotated[
    str | None,
    typer.Option(
        help="Sweep id: its boards, with its select and report unless others are given.",
        autocompletion=completion.sweep_ids,
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(board)


def board(
    id: BoardId = None,
    select: Annotated[
        str | None, typer.Option(help="Metric that chooses the setting of each estimator.")
    ] = None,
    report: Annotated[
        list[str] | None, typer.Option(help="Metric shown beside it; may be given several times.")
    ] = None,
    sweep: OfSweep = None,
    interval: Annotated[
        Literal["t", "bootstrap"], typer.Option(help="Of means over seeds: Student's t, or BCa bootstrap.")
    ] = "t",
    cells: Annotated[
        bool, typer.Option("--cells", help="Every setting that was tried, not only the best ones.")
    ] = False,
    csv: Annotated[bool, typer.Option("--csv", help="As CSV.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="As Markdown.")] = False,
    latex: Annotated[bool, typer.Option("--latex", help="As a LaTeX table.")] = False,
    bibtex: Annotated[bool, typer.Option("--bibtex", help="BibTeX of everything on it.")] = False,
    trials: Annotated[bool, typer.Option("--trials", help="All of its trials, CSV or Parquet.")] = False,
    curves: Annotated[bool, typer.Option("--curves", help="All curves, CSV or Parquet.")] = False,
    figure: Annotated[
        str | None, typer.Option(help="A figure, SVG or PNG: curves, heatmap, sensitivity, cost, tuning.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="File, whose ending says the format.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every board in full, where no id is given.")] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show a leaderboard, or those of a sweep, or write one to a file; without an id list them all.

    Examples:

    * heunboard board
    * heunboard board 3fa2
    * heunboard board --sweep 7 --select test_loss --report train_loss
    * heunboard board 3fa2 --latex -o table.tex
    * heunboard board 3fa2 --figure curves -o curves.svg
    * heunboard board 3fa2 --trials -o trials.parquet
    """
    flags = {"csv": csv, "markdown": markdown, "latex": latex, "bibtex": bibtex}
    formats = [name for name, asked in flags.items() if asked]
    asked = board_files.wanted(formats=formats, trials=trials, curves=curves, figure=figure, out=out)
    in_full = bool(id or sweep or every or asked or cells or as_json)
    with Client(url) as client:
        links = [] if in_full else client.boards()
        if len(links) > 1:
            _list(links)
            return
        boards = _found(client, id, sweep, Shown(select, report, interval))
        if asked is not None:
            _write(client, boards, asked)
            return
        if cells:
            _show_cells(client, boards, id, as_json)
            return
    if as_json:
        print_json(boards[0] if id is not None else boards)
        return
    if not boards:
        console().print("No boards yet: heunboard submit FILE")
    for one in boards:
        show(console(), one)


def _list(links: list[BoardLine]) -> None:
    console().print(board_table(links))
    console().print("[dim]heunboard board ID shows one, --all every one in full[/]", highlight=False)


def _write(client: Client, boards: list[Board], asked: Wanted) -> None:
    """The one board as a file.

    Raises:
        BadParameter: there are several, or none.
    """
    if len(boards) != 1:
        raise typer.BadParameter(f"a file holds one board, not {len(boards)}: name one by its id")
    (one,) = boards
    board_files.write(client, one.id, asked, select=one.select, report=one.report)


def show(out: Console, board: Board) -> None:
    """Print one board: the table, the seeds that stand apart, where the references come from."""
    metric, *others = board.metrics
    out.print(f"\n[bold]{escape(board.title)}[/]  [dim]board {board.id}[/]", highlight=False)
    out.print(f"[dim]{escape(_rule(board, metric))}[/]", highlight=False)
    if board.select_label:
        out.print(f"[yellow]{board.select_label}[/]")
    table = Table(box=None, pad_edge=False, header_style="dim")
    reported = [one.title for one in others]
    first = ("rank", "estimator", "setting", metric.title, "95 % interval", "to best")
    for name in (*first, *reported, *LAST_COLUMNS):
        left = name in ("rank", "estimator", "setting", "reference")
        table.add_column(name, justify="left" if left else "right")
    for row in board.rows:
        _add(table, row, board)
    for other in board.unranked:
        table.add_row("–", escape(other.title), f"[dim]{escape(other.reason)}[/]")
    out.print(table)
    lines = [*standing_lines(board), *outlier_lines(board, metric), *source_lines(board)]
    for line in lines:
        out.print(f"[dim]{escape(line)}[/]", highlight=False)
    print_warning(out, board.fallbacks)
    for sentence in board.mixed_code:
        out.print(f"[yellow]mixed[/] {escape(sentence)}", highlight=False)


def standing_lines(board: Board) -> list[str]:
    """What the marks of ranks mean, and the seeds on which the best one hangs."""
    lines = []
    if board.has_ties:
        lines.append(
            f"{TIED} cannot be told from the best: pairs of common seeds, Holm, 5 %; "
            "ranks are those that the seeds leave open"
        )
    if board.fragile_seeds:
        seeds = ", ".join(str(seed) for seed in board.fragile_seeds)
        lines.append(f"without any one of the seeds {seeds} another estimator would be the best")
    return lines


def outlier_lines(board: Board, metric: MetricInfo) -> list[str]:
    """One line for each seed that is far from the median of its cell; it stays in the mean."""
    return [
        f"{row.title}, seed {seed.seed}: {numbers.five_digits(seed.value)} is far from the median "
        f"{numbers.five_digits(summary.median)} of its {summary.n} seeds; kept in the mean"
        for row in board.rows
        for summary in [row.metrics.get(metric.name)]
        if summary
        for seed in summary.seeds
        if seed.outlier
    ]


class Shown(NamedTuple):
    """What is asked of a board: the choosing metric, those beside it, the interval of means."""

    select: str | None
    report: list[str] | None
    interval: Literal["t", "bootstrap"]


def _found(client: Client, id: str | None, sweep: str | None, shown: Shown) -> list[Board]:
    """The boards asked for: all, or a sweep's, whose id begins with ``id``."""
    asked = None if sweep is None else client.sweep(sweep).answer
    links: Sequence[BoardLink] = client.boards() if asked is None else asked.boards
    if asked is not None:
        select, report = shown.select or asked.select, shown.report or asked.report
        shown = shown._replace(select=select, report=report)
    found = [link.id for link in links if link.id.startswith(id or "")]
    if id is not None and not found:
        if asked is not None:
            raise typer.BadParameter(
                f"sweep {sweep} has no board {id!r}; leave the id away to see all of its"
            )
        found = [id]  # the server says what is wrong with the id
    return [client.board(one, **shown._asdict()) for one in found]


def _rule(board: Board, metric: MetricInfo) -> str:
    """What chooses, in a sentence; and what would by default, where that is another metric."""
    unit = f", {metric.unit}" if metric.unit else ""
    text = f"{metric.title}{unit}, {metric.goal}d; mean over seeds of the best setting, ± sd"
    default = board.default_select
    return text if default == metric.name else f"{text} (the task's default: --select {default})"


def _add(table: Table, row: BoardRow, board: Board) -> None:
    metric, summaries = board.select, row.metrics
    setting = numbers.setting(**dict(row.setting))
    references = [r for r in row.references if r.metric == metric]
    cells = [*_measured(summaries[metric]), _to_best(row)]
    cells += [_measured(summaries[name])[0] if name in summaries else "–" for name in board.report]
    seeds = f"{row.n} of {row.seeds_wanted}"
    first, *more = references or (None,)
    table.add_row(
        board.rank(row),
        escape(row.title),
        escape(setting),
        *cells,
        seeds,
        *_reference(first),
    )
    for reference in more:
        table.add_row("", "", "", *("" for _ in cells), "", *_reference(reference))


def _to_best(row: BoardRow) -> str:
    """The difference to the best over common seeds, with as many digits as its interval leaves."""
    found = row.standing.to_best
    if found is None or found.mean is None:
        return "best" if found is None else "no common seed"
    half = None if found.low is None or found.high is None else (found.high - found.low) / 2
    return numbers.text(found.mean, numbers.decimals_for(half, found.mean), signed=True)


def _show_cells(client: Client, boards: list[Board], id: str | None, as_json: bool) -> None:
    """Print every setting of some boards."""
    found = [
        (board, list(client.board_cells(board.id, select=board.select, report=board.report)))
        for board in boards
    ]
    if as_json:
        documents = [{"board": board.id, "cells": cells} for board, cells in found]
        print_json(documents[0] if id is not None else documents)
        return
    for board, cells in found:
        console().print(f"\n[bold]{escape(board.title)}[/]  [dim]board {board.id}[/]", highlight=False)
        console().print(_cell_table(board, cells))


def _cell_table(board: Board, cells: list[BoardCell]) -> Table:
    metric, *others = board.metrics
    table = Table(box=None, pad_edge=False, header_style="dim")
    names = [metric.title, "95 % interval", *(other.title for other in others), "seeds", "failed"]
    for name in ("", "estimator", "setting", *names):
        table.add_column(name, justify="right" if name in names else "left")
    for cell in cells:
        spreads = cell.metrics
        values = _measured(spreads[metric.name]) if metric.name in spreads else ["–", ""]
        values += [_measured(spreads[n])[0] if n in spreads else "–" for n in board.report]
        counts = (f"{cell.succeeded} of {cell.trials}", str(cell.failed or ""))
        mark = "*" if cell.chosen else ""
        setting = numbers.setting(**dict(cell.setting))
        table.add_row(mark, escape(cell.title), escape(setting), *values, *counts)
    return table


def _measured(spread: Spread) -> list[str]:
    """Mean ± standard deviation, and the interval."""
    mean, interval = measured(spread)
    value, sign, sd = mean.partition(" ±")
    return [f"[bold]{value}[/]{sign}{sd}" if sign else value, interval]


def _reference(reference: ReferenceNumber | None) -> tuple[str, str]:
    if reference is None:
        return "", ""
    decimals = numbers.reference_decimals(reference.mean, reference.sd)
    sd = "" if reference.sd is None else f" ± {numbers.compact(reference.sd)}"
    number = f"{numbers.text(reference.mean, decimals)}{sd} {reference.label}"
    return escape(number), numbers.text(reference.difference, decimals, signed=True)


def source_lines(board: Board) -> list[str]:
    """Where the references come from, each distinct source once."""
    every = [r for row in board.rows for r in row.references] + board.references
    levels = {
        r.label: f" {numbers.five_digits(r.mean)}" for r in board.references if r.metric == board.select
    }
    lines = {
        f"{r.label}{levels.get(r.label, '')}: {numbers.origin(r.source, n=r.n, slip=r.slip)}."
        + (f" Not like with like: {r.comparable}" if r.comparable else "")
        for r in every
        if r.metric == board.select
    }
    return sorted(lines)
