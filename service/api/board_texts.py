"""A board as texts of files: Markdown, a LaTeX table, and a page that needs no server."""

from __future__ import annotations

import base64
from collections.abc import Iterator

from service.api import markup
from service.resources import board_figures, board_tables, drawing, figures
from service.resources.board_schemas import Board


def markdown(board: Board) -> str:
    """A board for people and for GitHub."""
    return markup.markdown("board.md", table=board_tables.table(board))


def latex(board: Board) -> str:
    """A booktabs table to put into a paper; the best and what ties with it in bold."""
    return markup.latex("board.tex", table=board_tables.table(board))


def html(board: Board, bibtex: str) -> str:
    """One file with table, pictures, provenance and citations, which refers to nothing outside of it."""
    return markup.html(
        "board.html",
        table=board_tables.table(board),
        figures=list(_figures(board)),
        sweep_file=board.repeat.sweep_file if board.repeat else "",
        bibtex=bibtex,
    )


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
