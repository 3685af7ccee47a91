"""``/boards/{id}/compare``: an estimator against others, seed by seed."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from service.api.conditional import NOT_MODIFIED, IfNoneMatch, conditional
from service.dependencies import (
    BoardId,
    ComparedFirst,
    ComparedOthers,
    EngineDep,
    Margin,
    Metric,
    OtherBoard,
    Select,
)
from service.resources import comparisons
from service.resources.comparison_schemas import Comparison
from service.resources.comparisons import Question

router = APIRouter(prefix="/boards", tags=["boards"])


@router.get(
    "/{id}/compare",
    response_model=Comparison,
    responses=NOT_MODIFIED,
)
def show_comparison(
    engine: EngineDep,
    id: BoardId,
    a: ComparedFirst,
    b: ComparedOthers,
    board: OtherBoard = None,
    metric: Metric = None,
    select: Select = None,
    margin: Margin = 0.0,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """``a`` held against every ``b`` by paired differences over the seeds that both have."""
    asked = Question(
        first=a, others=b, board=id, other_board=board, metric=metric, select=select, margin=margin
    )
    answer = comparisons.compare(engine, asked)
    return conditional(answer.model_dump_json(), "application/json", if_none_match)
