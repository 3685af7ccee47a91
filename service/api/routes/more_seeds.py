"""``/boards/{id}/more-seeds``: the sweep that would separate two rows of a board."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from service.api import content_types, openapi
from service.dependencies import BoardId, EngineDep, Select
from service.resources import boards, more_seeds

router = APIRouter(prefix="/boards", tags=["boards"])


@router.get("/{id}/more-seeds", responses={200: {"content": {content_types.JSON: openapi.SWEEP_FILE}}})
def show_more_seeds(
    engine: EngineDep,
    id: BoardId,
    estimator: Annotated[str, Query(max_length=64, description="The row that is held against the best.")],
    select: Select = None,
) -> dict[str, Any]:
    """A sweep file of as many seeds as would tell a row from the best; submitting it computes them."""
    board = boards.show_board(engine, id, select=select)
    return more_seeds.more_seeds(engine, board, estimator).to_json()
