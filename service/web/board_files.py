"""What the page of a board offers to take away, and where it leads on to compare."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from service.resources import board_figures, metrics
from service.resources.board_schemas import Board
from service.resources.schemas import PREFIX

TEXTS = (
    ("csv", "CSV"),
    ("json", "JSON"),
    ("latex", "LaTeX"),
    ("markdown", "Markdown"),
    ("bibtex", "BibTeX"),
    ("html", "One file without a server"),
)
TABLES = (("csv", "CSV"), ("parquet", "Parquet"))
PICTURES = (("svg", "SVG"), ("png", "PNG"))

Links = list[tuple[str, str]]


def files(board: Board) -> dict[str, Any]:
    """The groups of the menu, and the page that compares the best two."""
    own = PREFIX + metrics.board_path(board.id, board.select, board.report)
    below = f"{PREFIX}/boards/{board.id}"
    chosen = urlencode({"select": board.select})
    groups: list[tuple[str, Links]] = [
        ("Table", [(title, f"{own}&format={format}") for format, title in TEXTS]),
        ("Trials", [(title, f"{below}/trials?{chosen}&format={format}") for format, title in TABLES]),
        ("Curves", [(title, f"{below}/curves?{chosen}&format={format}") for format, title in TABLES]),
    ]
    for kind in board_figures.available(board):
        path = f"{below}/figure?{chosen}&kind={kind}"
        pictures = [(title, f"{path}&format={format}") for format, title in PICTURES]
        groups.append((board_figures.TITLES[kind], pictures))
    compare = f"/boards/{board.id}/compare?{chosen}" if len(board.rows) > 1 else None
    return {"groups": groups, "compare": compare}
