"""``/sweeps/{id}/estimators``, ``/causes`` and ``/file``: a sweep from other sides."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from service.dependencies import EngineDep
from service.resources import sweep_parts
from service.resources.sweep_schemas import EstimatorProgressList, FailureCauseList

router = APIRouter(prefix="/sweeps/{id}", tags=["sweeps"])


@router.get("/estimators")
def list_estimators(engine: EngineDep, id: str) -> EstimatorProgressList:
    """The estimators of a sweep, with their trials by state."""
    return sweep_parts.list_estimators(engine, id)


@router.get("/causes")
def list_causes(engine: EngineDep, id: str) -> FailureCauseList:
    """Why trials of a sweep failed: alike errors together, the most frequent first."""
    return sweep_parts.list_causes(engine, id)


@router.get("/file")
def sweep_file(engine: EngineDep, id: str) -> dict[str, Any]:
    """The sweep file as it was submitted, with every default written out: to submit it elsewhere."""
    return sweep_parts.sweep_file(engine, id)
