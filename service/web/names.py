"""The estimators of a board by name, as every part of its page shows them."""

from __future__ import annotations

from dataclasses import dataclass

from estimators import registry as estimators
from service.resources.board_schemas import Board
from service.resources.colours import colours

LABELLED = 6
"""Estimators that a picture labels and draws in full: more labels than these cannot be read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Name:
    """An estimator.

    Attributes:
        id: in the registry.
        title: what pages call it.
        colour: classes of its colour and mark.
        strong: whether it is one of the best, which pictures label.
        known: whether it is installed here and so has a page.
    """

    id: str
    title: str
    colour: str
    strong: bool
    known: bool


def names(board: Board) -> dict[str, Name]:
    """Estimator -> its name, of all on a board, ranked or not, in the order of the rows."""
    ranked = {row.estimator: row.title for row in board.rows}
    titles = ranked | {row.estimator: row.title for row in board.unranked}
    styles, strong = colours(titles), set(list(ranked)[:LABELLED])
    available = set(estimators.available())
    return {
        id: Name(id=id, title=title, colour=styles[id], strong=id in strong, known=id in available)
        for id, title in titles.items()
    }


def is_exact(estimator: str) -> bool:
    """Whether an estimator enumerates all outcomes: what all others estimate."""
    return estimator in estimators.available() and estimators.get(estimator).properties.kind == "exact"
