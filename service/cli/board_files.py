"""What ``heunboard board`` writes to a file or to standard output instead of a table."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import typer

from service.client import Client

What = Literal["board", "trials", "curves", "figure"]

TEXTS = {"json": "json", "csv": "csv", "md": "markdown", "tex": "latex", "bib": "bibtex", "html": "html"}
"""Ending of a file -> format of a board."""
TABLES = {"csv": "csv", "parquet": "parquet"}
PICTURES = {"svg": "svg", "png": "png"}
ENDINGS = {"board": TEXTS, "trials": TABLES, "curves": TABLES, "figure": PICTURES}
BINARY = ("parquet", "png")
FIRST = {"board": "", "trials": "csv", "curves": "csv", "figure": "svg"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """A file of a board.

    Attributes:
        what: the board itself, its trials or curves, or a figure.
        format: of the file.
        kind: which figure.
        out: where it goes; ``None`` for standard output.
    """

    what: What
    format: str
    kind: str
    out: Path | None


def wanted(
    *, formats: Sequence[str], trials: bool, curves: bool, figure: str | None, out: Path | None
) -> Wanted | None:
    """What the options ask for; ``None`` for the table that people read.

    Raises:
        BadParameter: options that do not go together, or an ending that says no format.
    """
    named: dict[What, bool] = {"trials": trials, "curves": curves, "figure": figure is not None}
    parts = [what for what, chosen in named.items() if chosen]
    if len(parts) > 1 or len(formats) > 1:
        raise typer.BadParameter("ask for one file at a time")
    what: What = parts[0] if parts else "board"
    if what == "board" and not formats and out is None:
        return None
    return Wanted(what=what, format=_format(what, formats, out), kind=figure or "", out=out)


def _format(what: What, formats: Sequence[str], out: Path | None) -> str:
    endings = ENDINGS[what]
    if formats:
        if formats[0] not in endings.values():
            raise typer.BadParameter(f"{what} cannot be {formats[0]}, but {_listed(endings)}")
        return formats[0]
    if out is None:
        return FIRST[what]
    ending = out.suffix.removeprefix(".").lower()
    if ending not in endings:
        raise typer.BadParameter(f"{out.name} does not say the format: end it with {_listed(endings)}")
    return endings[ending]


def _listed(endings: Iterable[str]) -> str:
    *others, last = (f".{ending}" for ending in endings)
    return f"{', '.join(others)} or {last}"


def write(client: Client, board: str, asked: Wanted, *, select: str | None, report: list[str] | None) -> None:
    """Fetch the file and put it where it is wanted.

    Raises:
        BadParameter: the file cannot be written, or is none for a terminal.
    """
    if asked.out is None and asked.format in BINARY:
        raise typer.BadParameter(f"{asked.format} is not text: name a file with -o")
    pieces = _pieces(client, board, asked, select, report)
    first = next(pieces, b"")  # what the server refuses leaves no empty file behind
    try:
        with nullcontext(sys.stdout.buffer) if asked.out is None else asked.out.open("wb") as file:
            file.writelines(itertools.chain([first], pieces))
            file.flush()
    except OSError as error:
        raise typer.BadParameter(f"{asked.out} cannot be written: {error.strerror}") from error


def _pieces(
    client: Client, board: str, asked: Wanted, select: str | None, report: list[str] | None
) -> Iterator[bytes]:
    if asked.what == "trials":
        yield from client.trials_file(board, format=asked.format, select=select)
    elif asked.what == "curves":
        yield from client.curves_file(board, format=asked.format, select=select)
    elif asked.what == "figure":
        yield client.board_figure(board, asked.kind, format=asked.format, select=select, report=report)
    else:
        yield client.board_text(board, asked.format, select=select, report=report).encode()
