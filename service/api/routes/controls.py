"""``/sweeps/{id}/pause`` and the like: what people do with sweeps that are there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Self

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy import Engine

from benchmarks.sweep_file.limits import MAX_PRIORITY, MIN_PRIORITY
from benchmarks.sweep_file.schema import Description, Name, Tags
from service.api import openapi
from service.api.content_types import require_json
from service.dependencies import OWN_SWEEP, EngineDep, SweepId
from service.queue.control import Controls
from service.resources import schemas, sweeps

router = APIRouter(
    prefix="/sweeps/{id}",
    tags=["sweeps"],
    dependencies=[OWN_SWEEP, Depends(require_json)],
    responses=openapi.problems(conflict="The sweep is so already, or can no longer become so."),
)


class NoChoice(BaseModel):
    """An empty object: the path says everything."""

    model_config = ConfigDict(extra="forbid")


class SweepChange(BaseModel):
    """What of a sweep can be changed; what is left out stays."""

    model_config = ConfigDict(extra="forbid", strict=True)

    priority: Annotated[
        int | None, Field(ge=MIN_PRIORITY, le=MAX_PRIORITY, description="Higher runs first.")
    ] = None
    name: Name | None = None
    description: Description | None = None
    tags: Tags | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if all(value is None for value in dict(self).values()):
            raise ValueError(f"nothing to change; give one of {', '.join(type(self).model_fields)}")
        return self


@router.post("/pause")
def pause(engine: EngineDep, id: SweepId, _body: NoChoice) -> schemas.SweepLine:
    """Compute nothing more of a sweep for now. What runs stops at its next segment and keeps its place."""
    return _done(engine, id, Controls.pause)


@router.post("/resume")
def resume(engine: EngineDep, id: SweepId, _body: NoChoice) -> schemas.SweepLine:
    """Go on with a sweep that is paused or cancelled."""
    return _done(engine, id, Controls.resume)


@router.post("/cancel")
def cancel(engine: EngineDep, id: SweepId, _body: NoChoice) -> schemas.SweepLine:
    """Give up the trials that have no outcome; those that other sweeps want go on."""
    return _done(engine, id, Controls.cancel)


@router.post("/retry")
def retry(engine: EngineDep, id: SweepId, _body: NoChoice) -> schemas.SweepLine:
    """Queue the trials again that failed or were cancelled."""
    return _done(engine, id, Controls.retry)


@router.post("/restore")
def restore(engine: EngineDep, id: SweepId, _body: NoChoice) -> schemas.SweepLine:
    """Take a deleted sweep out of the bin."""
    return _done(engine, id, Controls.restore)


@router.patch("")
def change(engine: EngineDep, id: SweepId, body: SweepChange) -> schemas.SweepLine:
    """Change the priority of a sweep, or what it says of itself; what runs is not disturbed."""
    said = body.model_dump(exclude={"priority"}, exclude_none=True)

    def act(controls: Controls, sweep: int) -> None:
        if said:
            controls.describe(sweep, **said)
        if body.priority is not None:
            controls.set_priority(sweep, body.priority)

    return _done(engine, id, act)


def _done(engine: Engine, id: str, act: Callable[[Controls, int], object]) -> schemas.SweepLine:
    act(Controls(engine), sweeps.sweep_id(id))
    return sweeps.sweep_line(engine, id)
