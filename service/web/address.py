"""Addresses of the page of a board: all that a reader chose there stands in the query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlencode

from service.resources.board_schemas import Board


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """The page of a board with its choices; those at their default are not in the address.

    Attributes:
        board: its id.
        select, report: the metric that chooses and those beside it; ``None`` for the task's own.
        interval: of means over seeds, ``None`` for Student's t.
        scale: what the axis of the intervals spans, ``all`` or ``None`` for the usual.
        opened: estimators whose rows are open.
    """

    board: str
    select: str | None = None
    report: tuple[str, ...] | None = None
    interval: str | None = None
    scale: str | None = None
    opened: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"/boards/{self.board}{self._query()}"

    def but(self, anchor: str = "", **changes: Any) -> str:
        """The address with other choices, at an anchor of the page."""
        return f"{replace(self, **changes)}{anchor and '#' + quote(anchor)}"

    def chosen_by(self, board: Board, select: str) -> str:
        """With another choosing metric; one that was reported changes places with the present one."""
        report = [board.select if name == select else name for name in board.report]
        return self.but(**rule(board, select, report))

    def part(self, estimator: str) -> str:
        """Where the script fetches what a row opens to."""
        alone = replace(self, interval=None, scale=None, opened=())
        return f"/boards/{self.board}/estimators/{quote(estimator, safe='')}{alone._query()}"

    def _query(self) -> str:
        pairs = [] if self.select is None else [("select", self.select)]
        if self.report is not None:  # an empty one would mean the default: it names the choosing metric
            pairs += [("report", name) for name in self.report or (self.select or "",)]
        pairs += [] if self.interval is None else [("interval", self.interval)]
        pairs += [] if self.scale is None else [("scale", self.scale)]
        pairs += [("open", name) for name in self.opened]
        return f"?{urlencode(pairs)}" if pairs else ""


def rule(board: Board, select: str, report: Sequence[str]) -> dict[str, Any]:
    """``select`` and ``report`` as an address holds them: ``None`` for the task's own rule."""
    if (select, list(report)) == (board.default_select, board.default_report):
        return {"select": None, "report": None}
    return {"select": select, "report": tuple(report)}
