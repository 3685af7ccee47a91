"""Leaderboards: as models, as files, and held against each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal
from urllib.parse import quote

from benchmarks.spec import KEY_LENGTH
from service.client.board import Board
from service.client.core import Core
from service.client.flows import Flow, Stream, method, stream
from service.resources.board_list_schemas import BoardLine, BoardList, Standing
from service.resources.board_schemas import BoardCell, BoardCellList
from service.resources.comparison_schemas import Comparison
from service.resources.schemas import SweepBoardList, SweepDetail

Id = int | str


class BoardMethods(Core):
    """Methods of clients about boards."""

    @method
    def boards(self, *, q: str = "", task: str = "") -> Flow[list[BoardLine]]:
        """Boards, those with the newest results first: all, or those of a task or with all words of ``q``.

        One that gets a result while several pages of the list are read may be left out.
        """
        return self._all(BoardList, "/boards", lambda page: page.boards, q=q, task=task)

    @method
    def standing(self, estimator: str) -> Flow[Standing]:
        """Where an estimator stands over the boards that it is on: ranks, average rank, profile."""
        return self._get(Standing, f"/estimators/{quote(estimator, safe='')}/standing")

    @method
    def board(
        self,
        id: Id,
        *,
        select: str | None = None,
        report: Sequence[str] | None = None,
        interval: Literal["t", "bootstrap"] | None = None,
    ) -> Flow[Board]:
        """A leaderboard.

        Args:
            id: the board, or the first letters of its id.
            select: metric that chooses the settings.
            report: metrics that are shown beside it.
            interval: of means over seeds.
        """
        chosen = {"select": select, "report": _listed(report), "interval": interval}
        whole = yield from self._whole(str(id))
        return (yield from self._get(Board, board_path(whole), chosen))

    def _whole(self, id: str) -> Flow[str]:
        """The id that begins so; what is the beginning of none or of several the server refuses."""
        if len(id) >= KEY_LENGTH:
            return id
        lines = yield from self._all(BoardList, "/boards", lambda page: page.boards, q="", task="")
        found = [line.id for line in lines if line.id.startswith(id)]
        return found[0] if len(found) == 1 else id

    @method
    def board_text(
        self, id: Id, format: str, *, select: str | None = None, report: Sequence[str] | None = None
    ) -> Flow[str]:
        """A leaderboard as the text of a file: ``json``, ``csv``, ``markdown``, ``latex``, ``bibtex`` or
        ``html``, a page that needs no server.
        """
        chosen = {"format": format, "select": select, "report": _listed(report)}
        return (yield from self._file(board_path(id), chosen)).text

    @method
    def board_figure(
        self,
        id: Id,
        kind: str,
        *,
        format: str = "svg",
        select: str | None = None,
        report: Sequence[str] | None = None,
        scheme: Literal["light", "dark"] | None = None,
    ) -> Flow[bytes]:
        """A figure of a board.

        Args:
            id: the board.
            kind: ``curves``, ``heatmap``, ``sensitivity``, ``cost`` or ``tuning``.
            format: of the file, ``svg`` or ``png``.
            select: metric that chooses the settings.
            report: metrics that are shown beside it.
            scheme: of colours.

        Raises:
            ApiError: the board has no such figure yet.
        """
        chosen = {"kind": kind, "format": format, "select": select, "report": _listed(report)}
        return (yield from self._file(f"{board_path(id)}/figure", {**chosen, "scheme": scheme})).content

    @stream
    def trials_file(
        self, id: Id, *, format: str = "csv", cells: str | None = None, select: str | None = None
    ) -> Stream[bytes]:
        """Every trial of a board, a row each, as pieces of a file, ``csv`` or ``parquet``, as they come.

        ``cells`` are ``all`` or ``shown``.
        """
        return self._pieces(f"{board_path(id)}/trials", {"format": format, "cells": cells, "select": select})

    @stream
    def curves_file(
        self, id: Id, *, format: str = "csv", cells: str | None = None, select: str | None = None
    ) -> Stream[bytes]:
        """Every curve of a board, a row for each metric and epoch, as :meth:`trials_file`."""
        return self._pieces(f"{board_path(id)}/curves", {"format": format, "cells": cells, "select": select})

    @method
    def compare(
        self,
        first: str,
        *others: str,
        board: str,
        other_board: str | None = None,
        metric: str | None = None,
        select: str | None = None,
        margin: float | None = None,
    ) -> Flow[Comparison]:
        """Hold an estimator against others by paired differences over common seeds.

        Args:
            first: an estimator, ``ESTIMATOR@VERSION``, or the key of a setting.
            others: likewise.
            board: where they stand.
            other_board: where the others stand, if that is another.
            metric: that is compared; by default the one that chooses.
            select: metric that chooses the setting of each estimator.
            margin: the largest difference that does not matter.

        Returns:
            ``comparisons`` has a verdict, an interval, a p-value and a sentence for each of the others.
        """
        chosen = {"board": other_board, "metric": metric, "select": select, "margin": margin}
        return self._get(
            Comparison, f"{board_path(board)}/compare", {"a": first, "b": list(others), **chosen}
        )

    @stream
    def board_cells(
        self,
        id: Id,
        *,
        select: str | None = None,
        report: Sequence[str] | None = None,
        estimator: str | None = None,
    ) -> Stream[BoardCell]:
        """Every setting on a board with what its seeds gave, page after page as they are asked for.

        Args:
            id: of the board.
            select: metric that chooses; default: the task's.
            report: metrics shown beside it; default: the task's.
            estimator: only its settings.
        """
        asked = {"select": select, "report": _listed(report), "estimator": estimator}
        return self._each(BoardCellList, f"{board_path(id)}/cells", lambda page: page.cells, **asked)

    @method
    def sweep_boards(self, sweep: Id) -> Flow[list[Board]]:
        """The boards of a sweep, chosen and reported as its ``select`` and ``report`` say."""
        path = f"/sweeps/{quote(str(sweep), safe='')}"
        found = yield from self._get(SweepDetail, path)
        return (yield from boards_of(self, found))


def boards_of(core: Core, sweep: SweepDetail) -> Flow[list[Board]]:
    """The boards of a sweep, one after the other."""
    links = yield from core._all(SweepBoardList, f"/sweeps/{sweep.id}/boards", lambda page: page.boards)
    found = []
    for link in links:
        found.append((yield from board_of(core, sweep, link.id)))
    return found


def board_of(core: Core, sweep: SweepDetail, id: str) -> Flow[Board]:
    """A board as a sweep wants to see it."""
    return core._get(Board, board_path(id), {"select": sweep.select, "report": sweep.report})


def board_path(id: Id) -> str:
    """The path of a board."""
    return f"/boards/{quote(str(id), safe='')}"


def _listed(names: Sequence[str] | None) -> list[str]:
    return list(names or ())
