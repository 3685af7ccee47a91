"""``/sweeps``: submit, plan, list, show."""

from __future__ import annotations

import dataclasses
from http import HTTPStatus
from typing import Annotated

import anyio
from fastapi import APIRouter, Depends, Header, Request, Response

from benchmarks.sweep import Sweep, load_sweep
from service.api import content_types, openapi
from service.dependencies import (
    OWN_SWEEP,
    CallerDep,
    EngineDep,
    Limit,
    NameQuery,
    OwnerTrialsDep,
    PageToken,
    SweepId,
    SweepSearch,
)
from service.queue import bin, limits, submission
from service.queue.control import Controls
from service.resources import planning, schemas, sweeps
from service.states import TrialState

router = APIRouter(prefix="/sweeps", tags=["sweeps"])

MEDIA_TYPES = (content_types.JSON, "application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml")
"""What a sweep is sent as. Forms of foreign web pages cannot send any of these without asking first."""

SWEEP_BODY = {
    "requestBody": {
        "required": True,
        "content": {name: dict(openapi.SWEEP_FILE) for name in MEDIA_TYPES[:2]},
        "description": "A sweep file, YAML or JSON.",
    }
}


_PARSING = anyio.CapacityLimiter(4)
"""Few sweeps are read at a time, beside everything else: reading a large one takes a second of a processor,
while workers report; small ones do not wait for it."""


async def _sweep(request: Request) -> Sweep:
    """The sweep in the body.

    Raises:
        SpecError: it is not valid.
        HTTPException: 415, the body is declared as something else.
    """
    content_types.require(request, MEDIA_TYPES, what="a sweep")
    return await anyio.to_thread.run_sync(load_sweep, await request.body(), limiter=_PARSING)


TOO_MANY = openapi.problems(
    too_many_requests="The owner may have no more trials that wait or run, or too many requests came."
)

SweepBody = Annotated[Sweep, Depends(_sweep)]
IdempotencyKey = Annotated[
    str | None,
    Header(min_length=1, max_length=200, description="The same key with the same sweep stores it once."),
]


@router.post("", status_code=HTTPStatus.CREATED, openapi_extra=SWEEP_BODY, responses=TOO_MANY)
def submit(
    engine: EngineDep,
    caller: CallerDep,
    owner_trials: OwnerTrialsDep,
    sweep: SweepBody,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> schemas.SubmittedSweep:
    """Submit a sweep. Trials that are known are not computed again. Its owner is that of the token."""
    sweep = dataclasses.replace(sweep, owner=caller.owner_of_new(sweep.owner))
    limits.require_room(engine, sweep, owner_trials)
    stored = submission.submit(engine, sweep, idempotency_key=idempotency_key)
    response.headers["Location"] = f"/api/v1/sweeps/{stored.sweep_id}"
    shown = sweeps.show_sweep(engine, str(stored.sweep_id))
    return schemas.SubmittedSweep(**dict(shown), plan=planning.plan(engine, stored.work))


@router.post("/plan", openapi_extra=SWEEP_BODY)
def plan(engine: EngineDep, sweep: SweepBody) -> schemas.Plan:
    """What submitting this sweep would compute, and how long one device takes. Stores nothing."""
    return planning.plan(engine, submission.plan(engine, sweep))


@router.get("")
def list_sweeps(
    engine: EngineDep,
    search: SweepSearch,
    limit: Limit = 50,
    page_token: PageToken = None,
    deleted: bool = False,
) -> schemas.SweepList:
    """Sweeps, newest first; with ``deleted`` those in the bin."""
    return sweeps.list_sweeps(engine, limit=limit, page_token=page_token, deleted=deleted, search=search)


@router.get("/{id}")
def show_sweep(engine: EngineDep, id: SweepId) -> schemas.SweepDetail:
    """A sweep with its progress, first boards and first failures."""
    return sweeps.show_sweep(engine, id)


@router.delete("/{id}", status_code=HTTPStatus.NO_CONTENT, response_class=Response, dependencies=[OWN_SWEEP])
def delete_sweep(engine: EngineDep, id: SweepId, forever: bool = False) -> None:
    """Put a sweep into the bin, cancelled, from where it can be restored for some days.

    With ``forever`` it goes at once, with the trials that no other sweep wants; a trial that still runs goes
    when it has stopped.
    """
    if forever:
        bin.delete_for_good(engine, sweeps.sweep_id(id))
    else:
        Controls(engine).delete(sweeps.sweep_id(id))


@router.get("/{id}/boards")
def list_boards(
    engine: EngineDep, id: SweepId, limit: Limit = 100, page_token: PageToken = None
) -> schemas.SweepBoardList:
    """The boards of a sweep."""
    return sweeps.list_boards(engine, id, limit=limit, page_token=page_token)


@router.get("/{id}/cells")
def list_cells(
    engine: EngineDep,
    id: SweepId,
    estimator: NameQuery = "",
    limit: Limit = 100,
    page_token: PageToken = None,
) -> schemas.CellList:
    """The cells of a sweep, all or those of one estimator, with the states of their seeds."""
    return sweeps.list_cells(
        engine, id, limit=limit, page_token=page_token, estimator=estimator.replace("\0", "")
    )


@router.get("/{id}/trials")
def list_trials(
    engine: EngineDep,
    id: SweepId,
    limit: Limit = 100,
    page_token: PageToken = None,
    state: TrialState | None = None,
) -> schemas.TrialList:
    """The trials of a sweep, all or those in one state."""
    return sweeps.list_trials(engine, id, limit=limit, page_token=page_token, state=state)
