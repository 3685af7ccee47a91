"""Lists of boards, read from the summaries of their cells: their cost does not grow with trials."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, Engine

from benchmarks.tasks import registry as tasks
from service.resources import describe, paging
from service.resources.board_list_schemas import BestResult, BoardLine, BoardList
from service.resources.kept import Kept
from service.storage.queries import board_lists, boards
from service.storage.queries.board_lists import BestCell, BoardCounts, FoundBoard, Rule, Search

KIND = "boards"
EMPTY = BoardCounts(0, 0, 0, 0, 0)
KEPT_LISTS = 64

_lists: Kept[BoardList] = Kept(boards.news, KEPT_LISTS)


def list_boards(
    engine: Engine, *, limit: int, page_token: str | None = None, q: str = "", task: str = ""
) -> BoardList:
    """Those with the newest results first.

    Args:
        engine: the database.
        limit: boards on one page.
        page_token: where to go on.
        q: words that their titles or parameters hold, in any case.
        task: id of their task; empty for all.

    Raises:
        InvalidPageToken: the token is not one of this list's.
    """
    before = paging.last_moment(KIND, page_token)
    search = Search(task=task or None, words=tuple(q.casefold().replace("\0", "").split()))
    key = (search, limit, before)
    return _lists.get(engine, key, lambda connection, _: _page(connection, search, limit, before))


def _page(
    connection: Connection, search: Search, limit: int, before: tuple[datetime, int] | None
) -> BoardList:
    rows = board_lists.found_boards(connection, search, limit=limit + 1, before=before)
    lines = _lines(connection, rows[:limit])
    last = rows[limit - 1] if len(rows) > limit else None
    more = None if last is None else paging.moment_token(KIND, last.changed_at, last.id)
    return BoardList(boards=lines, next_page_token=more)


def rules(found: Iterable[FoundBoard]) -> dict[str, Rule]:
    """Task -> what chooses on its boards by default; tasks that are not installed here are left out."""
    installed = sorted({board.task_id for board in found} & set(tasks.available()))
    infos = [tasks.get(id) for id in installed]
    metrics = {info.id: info.metric(info.select) for info in infos}
    return {id: Rule(it.name, it.goal == "maximize") for id, it in metrics.items() if it is not None}


def best_result(cell: BestCell, rule: Rule) -> BestResult:
    """A best cell as it is shown."""
    return BestResult(
        estimator=cell.estimator,
        title=describe.title_of_estimator(cell.estimator),
        metric=rule.metric,
        mean=cell.mean,
        n=cell.n,
    )


def _lines(connection: Connection, rows: Sequence[FoundBoard]) -> list[BoardLine]:
    """A statement for each kind of number, however many boards there are."""
    ids = [row.id for row in rows]
    counts, running = board_lists.counts(connection, ids), board_lists.running(connection, ids)
    chosen = rules(rows)
    best: dict[int, BestCell] = {}
    for cell in board_lists.best_cells(connection, ids, chosen):
        best.setdefault(cell.board_id, cell)
    return [
        _line(row, counts.get(row.id, EMPTY), running.get(row.id, 0), best.get(row.id), chosen)
        for row in rows
    ]


def _line(
    row: FoundBoard, counts: BoardCounts, running: int, best: BestCell | None, chosen: Mapping[str, Rule]
) -> BoardLine:
    link = describe.board_link(row.task_key, row.task, trials=counts.trials, succeeded=counts.succeeded)
    ended = {"succeeded": counts.succeeded, "failed": counts.failed, "cancelled": counts.cancelled}
    queued = max(counts.trials - sum(ended.values()) - running, 0)
    return BoardLine(
        **dict(link),
        failed=counts.failed,
        counts={"queued": queued, "running": running, **ended},
        estimators=counts.estimators,
        best=None if best is None else best_result(best, chosen[row.task_id]),
        changed_at=row.changed_at,
    )
