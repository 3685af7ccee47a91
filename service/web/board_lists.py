"""The page of all boards, searched and grouped by task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter
from starlette.responses import HTMLResponse

from benchmarks.tasks import registry as tasks
from service.dependencies import AddressDep, EngineDep, PageToken, TaskQuery, Words
from service.resources import board_lists, metrics, numbers
from service.resources.board_list_schemas import BoardLine
from service.resources.colours import colours
from service.web.render import PAGE, next_page, page

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@router.get("/")
def boards_page(
    engine: EngineDep, address: AddressDep, q: Words = "", task: TaskQuery = "", page_token: PageToken = None
) -> HTMLResponse:
    """All boards, or those that are searched for."""
    found = board_lists.list_boards(engine, limit=PAGE, page_token=page_token, q=q, task=task)
    asked = {name: value for name, value in (("q", q), ("task", task)) if value}
    return page(
        "boards.html",
        section="boards",
        groups=grouped(found.boards),
        asked=asked,
        tasks=[(id, tasks.get(id).title) for id in tasks.available()],
        next_page=next_page("/", found.next_page_token, **asked),
        address=address,
    )


def grouped(boards: Sequence[BoardLine]) -> list[dict[str, Any]]:
    """The boards by task; tasks and their boards in the order in which they come."""
    styles = colours(board.best.estimator for board in boards if board.best)
    asked = {(board.task, board.best.metric) for board in boards if board.best}
    titles = {one: metrics.metric_info(*one).title for one in asked}
    groups: dict[str, list[dict[str, Any]]] = {}
    for board in boards:
        best = board.best and {
            "estimator": board.best.estimator,
            "title": board.best.title,
            "mean": numbers.five_digits(board.best.mean),
            "metric": titles[board.task, board.best.metric],
            "colour": styles[board.best.estimator],
        }
        groups.setdefault(board.task, []).append({"board": board, "best": best})
    return [{"task": id, "title": task_title(id), "rows": rows} for id, rows in groups.items()]


def task_title(id: str) -> str:
    """The title of a task; its id where it is not installed here."""
    return tasks.get(id).title if id in tasks.available() else id
