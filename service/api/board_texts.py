"""A board as texts of files: lines, Markdown, a LaTeX table, citations, a page that needs no server."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from service.api import markup
from service.resources import board_figures, board_tables, citations, drawing, export, figures
from service.resources.board_schemas import Board

Format = Literal["json", "csv", "markdown", "latex", "bibtex", "html"]
"""What a board is answered as."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """A kind of file.

    Attributes:
        media_type: what it is declared as.
        ending: of its name.
        make: makes it of a board.
    """

    media_type: str
    ending: str
    make: Callable[[Board], str]


def markdown(board: Board) -> str:
    """A board for people and for GitHub."""
    return markup.markdown("board.md", table=board_tables.table(board))


def latex(board: Board) -> str:
    """A booktabs table to put into a paper; the best and what ties with it in bold."""
    return markup.latex("board.tex", table=board_tables.table(board))


def html(board: Board) -> str:
    """One file with table, pictures, provenance and citations, which refers to nothing outside of it."""
    return markup.html(
        "board.html",
        table=board_tables.table(board),
        figures=list(_figures(board)),
        sweep_file=board.repeat.sweep_file if board.repeat else "",
        bibtex=citations.bibtex(board),
    )


TEXTS: dict[Format, Text] = {
    "csv": Text(media_type="text/csv; charset=utf-8", ending="csv", make=export.board_csv),
    "markdown": Text(media_type="text/markdown; charset=utf-8", ending="md", make=markdown),
    "latex": Text(media_type="application/x-latex; charset=utf-8", ending="tex", make=latex),
    "bibtex": Text(media_type="application/x-bibtex; charset=utf-8", ending="bib", make=citations.bibtex),
    "html": Text(media_type="text/html; charset=utf-8", ending="html", make=html),
}
"""All formats but JSON."""


def _figures(board: Board) -> Iterator[dict[str, str]]:
    for kind in board_figures.available(board):
        picture = board_figures.picture(board, kind)
        yield {
            "title": picture.title,
            "words": figures.summary(picture),
            "light": _inline(drawing.draw(picture, format="svg")),
            "dark": _inline(drawing.draw(picture, format="svg", scheme="dark")),
        }


def _inline(svg: bytes) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
