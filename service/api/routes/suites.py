"""``/suites``: papers as data; plan, submit and follow what their tables and figures need."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from benchmarks.suites.reading import Exhibit
from benchmarks.sweep_file.limits import MAX_NAME_LENGTH, MAX_PRIORITY, MIN_PRIORITY
from service.access.callers import Caller
from service.api import content_types, openapi
from service.dependencies import (
    CallerDep,
    EngineDep,
    ExhibitId,
    MeasuredDep,
    OwnerTrialsDep,
    SuiteId,
    TierQuery,
)
from service.resources import measurements, reproductions, schemas, suites

router = APIRouter(prefix="/suites", tags=["suites"])

MEASUREMENTS_BODY = {
    "requestBody": {
        "required": True,
        "content": {content_types.JSON: {"schema": {"type": "object"}}},
        "description": "What `python -m benchmarks.commands.efficiency --json FILE` wrote.",
    }
}


def _submitted(answer: type[BaseModel]) -> openapi.Answers:
    return {
        200: {"description": "Nothing was left to submit."},
        201: {"description": "Something was submitted.", "model": answer},
        **openapi.problems(
            too_many_requests="The owner may have no more trials that wait or run, or too many requests came."
        ),
    }


class Wanted(BaseModel):
    """What to compute, and how urgently."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    tier: str = Field(max_length=MAX_NAME_LENGTH, description="smoke, reduced, full or budget")
    owner: Annotated[str, Field(min_length=1, max_length=MAX_NAME_LENGTH)] | None = Field(
        default=None, description="whose the new sweeps are"
    )
    priority: int = Field(
        default=0, ge=MIN_PRIORITY, le=MAX_PRIORITY, description="of the new sweeps; higher runs first"
    )
    retry: bool = Field(
        default=False, description="submit sweeps again that ended with failed or cancelled trials"
    )


def _exhibit(suite: SuiteId, exhibit: ExhibitId) -> Exhibit:
    return reproductions.exhibit(f"{suite}/{exhibit}")


async def _measurements(request: Request) -> bytes:
    content_types.require_json(request)
    return await request.body()


ExhibitDep = Annotated[Exhibit, Depends(_exhibit)]
MeasurementsBody = Annotated[bytes, Depends(_measurements)]


@router.get("")
def list_suites(engine: EngineDep, measured: MeasuredDep) -> schemas.SuiteList:
    """Every suite with its tables and figures and how far their tiers are."""
    return suites.list_suites(engine, measured)


@router.get("/{suite}")
def show_suite(engine: EngineDep, measured: MeasuredDep, suite: SuiteId) -> schemas.SuiteDetail:
    """A paper with its tables and figures."""
    return suites.show_suite(engine, suite, measured)


@router.get("/{suite}/plan")
def plan_suite(engine: EngineDep, suite: SuiteId, tier: TierQuery) -> schemas.Plan:
    """What a tier of all tables and figures would compute; trials that two of them share count once."""
    having = suites.with_tier(reproductions.suite(suite), tier)
    return reproductions.plan(engine, [one for one, _ in having], having[0][1])


@router.get("/{suite}/{exhibit}")
def show_exhibit(engine: EngineDep, measured: MeasuredDep, exhibit: ExhibitDep) -> schemas.ExhibitDetail:
    """A table or figure: its tiers, the sentences that it tests, known mistakes in print."""
    return suites.show_exhibit(engine, exhibit, measured)


@router.get("/{suite}/{exhibit}/plan")
def plan_exhibit(engine: EngineDep, exhibit: ExhibitDep, tier: TierQuery) -> schemas.Plan:
    """What a tier would compute, and how long one device takes. Stores nothing."""
    return reproductions.plan(engine, [exhibit], reproductions.tier_of(exhibit, tier))


@router.post(
    "/{suite}",
    dependencies=[Depends(content_types.require_json)],
    responses=_submitted(schemas.ReproductionList),
)
def reproduce_suite(
    engine: EngineDep,
    caller: CallerDep,
    owner_trials: OwnerTrialsDep,
    suite: SuiteId,
    wanted: Wanted,
    response: Response,
) -> schemas.ReproductionList:
    """Submit a tier of every table and figure that has it and is computed by sweeps.

    201 when something was submitted. Asking again finds what was submitted, and submits what follows from the
    results since: the next rung of tiers that halve a grid.
    """
    how = _how(wanted, caller, owner_trials)
    having = suites.with_tier(reproductions.suite(suite), wanted.tier)
    found = [reproductions.advance(engine, exhibit, tier, **how) for exhibit, tier in having]
    _tell(response, found)
    return schemas.ReproductionList(reproductions=found)


@router.post(
    "/{suite}/{exhibit}",
    dependencies=[Depends(content_types.require_json)],
    responses=_submitted(schemas.Reproduction),
)
def reproduce_exhibit(
    engine: EngineDep,
    caller: CallerDep,
    owner_trials: OwnerTrialsDep,
    exhibit: ExhibitDep,
    wanted: Wanted,
    response: Response,
) -> schemas.Reproduction:
    """Submit a tier of a table or figure; 201 when something was submitted. It may be asked again."""
    tier = reproductions.tier_of(exhibit, wanted.tier)
    how = _how(wanted, caller, owner_trials)
    found = reproductions.advance(engine, exhibit, tier, **how)
    _tell(response, [found])
    return found


@router.get("/{suite}/{exhibit}/measurements")
def list_measurements(exhibit: ExhibitDep, measured: MeasuredDep, tier: TierQuery) -> schemas.MeasurementList:
    """What was measured of an exhibit that a command measures, a document a device."""
    found = measurements.stored(exhibit, reproductions.tier_of(exhibit, tier), measured)
    return schemas.MeasurementList(measurements=found)


@router.post(
    "/{suite}/{exhibit}/measurements", status_code=HTTPStatus.CREATED, openapi_extra=MEASUREMENTS_BODY
)
def publish_measurements(
    exhibit: ExhibitDep, measured: MeasuredDep, tier: TierQuery, body: MeasurementsBody
) -> schemas.MeasurementList:
    """Keep what the command measured on a device; it replaces what was measured there before."""
    known = reproductions.tier_of(exhibit, tier)
    measurements.publish(exhibit, known, body, measured)
    return schemas.MeasurementList(measurements=measurements.stored(exhibit, known, measured))


def _how(wanted: Wanted, caller: Caller, owner_trials: int | None) -> dict[str, Any]:
    """How new sweeps are submitted; their owner is that of the token."""
    owner = caller.owner_of_new(wanted.owner)
    return wanted.model_dump(exclude={"tier"}) | {"owner": owner, "owner_trials": owner_trials}


def _tell(response: Response, found: list[schemas.Reproduction]) -> None:
    """201 when something was submitted."""
    if any(one.added for one in found):
        response.status_code = HTTPStatus.CREATED
