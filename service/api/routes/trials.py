"""``/trials/{key}``: one trial, its curves, its attempts."""

from __future__ import annotations

from fastapi import APIRouter

from service.dependencies import EngineDep, TrialKey
from service.resources import schemas, trials
from service.resources.trial_schemas import TrialDetail

router = APIRouter(prefix="/trials", tags=["trials"])


@router.get("/{key}")
def show_trial(engine: EngineDep, key: TrialKey) -> TrialDetail:
    """Specification, state and final metrics, where it belongs and what became of it."""
    return trials.show_trial(engine, key)


@router.get("/{key}/curves")
def show_curves(engine: EngineDep, key: TrialKey) -> schemas.CurveList:
    """Every metric by epoch."""
    return trials.trial_curves(engine, key)


@router.get("/{key}/attempts")
def show_attempts(engine: EngineDep, key: TrialKey) -> schemas.AttemptList:
    """The executions of the trial's cohort with their provenance, oldest first."""
    return trials.trial_attempts(engine, key)
