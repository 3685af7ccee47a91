"""``/sweeps/{id}/pause`` and the like: what people do with sweeps that are there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Engine

from benchmarks.sweep_file.limits import MAX_PRIORITY, MIN_PRIORITY
from service.api.content_types import require_json
from service.dependencies import EngineDep
from service.queue.control import Controls
from service.resources import schemas, sweeps

router = APIRouter(prefix="/sweeps/{id}", tags=["sweeps"], dependencies=[Depends(require_json)])


class NoChoice(BaseModel):
    """An empty object: the path says everything."""

    model_config = ConfigDict(extra="forbid")


class SweepChange(BaseModel):
    """What of a sweep can be changed."""

    model_config = ConfigDict(extra="forbid")

    priority: Annotated[int, Field(ge=MIN_PRIORITY, le=MAX_PRIORITY, description="Higher runs first.")]


@router.post("/pause")
def pause(engine: EngineDep, id: str, _body: NoChoice) -> schemas.SweepLine:
    """Compute nothing more of a sweep for now. What runs stops at its next segment and keeps its place."""
    return _done(engine, id, Controls.pause)


@router.post("/resume")
def resume(engine: EngineDep, id: str, _body: NoChoice) -> schemas.SweepLine:
    """Go on with a sweep that is paused or cancelled."""
    return _done(engine, id, Controls.resume)


@router.post("/cancel")
def cancel(engine: EngineDep, id: str, _body: NoChoice) -> schemas.SweepLine:
    """Give up the trials that have no outcome; those that other sweeps want go on."""
    return _done(engine, id, Controls.cancel)


@router.post("/retry")
def retry(engine: EngineDep, id: str, _body: NoChoice) -> schemas.SweepLine:
    """Queue the trials again that failed or were cancelled."""
    return _done(engine, id, Controls.retry)


@router.post("/restore")
def restore(engine: EngineDep, id: str, _body: NoChoice) -> schemas.SweepLine:
    """Take a deleted sweep out of the bin."""
    return _done(engine, id, Controls.restore)


@router.patch("")
def change(engine: EngineDep, id: str, body: SweepChange) -> schemas.SweepLine:
    """Change the priority of a sweep; what runs is not disturbed."""
    return _done(engine, id, lambda controls, sweep: controls.set_priority(sweep, body.priority))


def _done(engine: Engine, id: str, act: Callable[[Controls, int], object]) -> schemas.SweepLine:
    act(Controls(engine), sweeps.sweep_id(id))
    return sweeps.sweep_line(engine, id)
