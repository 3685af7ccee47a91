"""``/sweeps/{id}/estimators``, ``/causes`` and ``/file``: a sweep from other sides."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from service.api import content_types, openapi
from service.dependencies import EngineDep, SweepId
from service.resources import sweep_parts
from service.resources.sweep_schemas import EstimatorProgressList, FailureCauseList

router = APIRouter(prefix="/sweeps/{id}", tags=["sweeps"])


@router.get("/estimators")
def list_estimators(engine: EngineDep, id: SweepId) -> EstimatorProgressList:
    """The estimators of a sweep, with their trials by state."""
    return sweep_parts.list_estimators(engine, id)


@router.get("/causes")
def list_causes(engine: EngineDep, id: SweepId) -> FailureCauseList:
    """Why trials of a sweep failed: alike errors together, the most frequent first."""
    return sweep_parts.list_causes(engine, id)


@router.get("/file", responses={200: {"content": {content_types.JSON: openapi.SWEEP_FILE}}})
def sweep_file(engine: EngineDep, id: SweepId) -> dict[str, Any]:
    """The sweep file as it was submitted, with every default written out: to submit it elsewhere."""
    return sweep_parts.sweep_file(engine, id)
