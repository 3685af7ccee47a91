"""``GET /boards``: the list of boards, searched."""

from __future__ import annotations

from fastapi import APIRouter

from service.dependencies import EngineDep, Limit, PageToken, TaskQuery, Words
from service.resources import board_lists
from service.resources.board_list_schemas import BoardList

router = APIRouter(prefix="/boards", tags=["boards"])


@router.get("")
def list_boards(
    engine: EngineDep, q: Words = "", task: TaskQuery = "", limit: Limit = 50, page_token: PageToken = None
) -> BoardList:
    """Boards, those with the newest results first."""
    return board_lists.list_boards(engine, limit=limit, page_token=page_token, q=q, task=task)
