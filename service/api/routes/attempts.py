"""``/attempts``: every execution of a cohort, searchable."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from service.dependencies import EngineDep, Limit, PageToken
from service.resources import attempts, schemas
from service.resources.paging import LARGEST_ID
from service.states import AttemptState
from service.storage.queries.attempts import Search

router = APIRouter(prefix="/attempts", tags=["attempts"])


@router.get("")
def find_attempts(
    engine: EngineDep,
    state: AttemptState | None = None,
    host: Annotated[str | None, Query(max_length=255, description="Name of a machine or node.")] = None,
    text: Annotated[str | None, Query(max_length=200, description="Part of error, log or label.")] = None,
    sweep: Annotated[int | None, Query(ge=1, le=LARGEST_ID, description="Id of a sweep.")] = None,
    limit: Limit = 50,
    page_token: PageToken = None,
) -> schemas.AttemptPage:
    """Attempts, newest first, each with the sweeps that want its trials."""
    search = Search(state=state, host=host, text=text, sweep_id=sweep)
    return attempts.find_attempts(engine, search, limit=limit, page_token=page_token)
