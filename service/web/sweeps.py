"""The pages of sweeps: all of them, and one with its progress, failures and cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from fastapi import APIRouter
from sqlalchemy import Engine
from starlette.responses import HTMLResponse

from benchmarks.sweep_file.limits import MAX_PRIORITY, MIN_PRIORITY
from service.access import callers
from service.dependencies import AddressDep, EngineDep, NameQuery, PageToken, SweepSearch
from service.resources import fallbacks, metrics, numbers, sweep_parts, sweeps
from service.resources.colours import colours
from service.resources.labels import metric_label
from service.resources.schemas import CellList, CellProgress, SweepDetail
from service.resources.sweep_schemas import EstimatorProgress, FailureCauseList
from service.states import ENDED_BADLY, PENDING, Hold, SweepState
from service.storage.queries.sweeps import Search
from service.web.render import PAGE, next_page, page, templates

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

SHOWN_CELLS = 100
STATES = ("running", "queued", "succeeded", "failed", "cancelled")


class Action(NamedTuple):
    """A button: what it asks the API for, what it asks the reader before, and where it leads afterwards."""

    name: str
    label: str
    question: str = ""
    after: str = ""


PAUSE = Action("pause", "Pause")
RESUME = Action("resume", "Resume")
RETRY = Action("retry", "Retry failed and cancelled")
RESTORE = Action("restore", "Restore")
CANCEL = Action(
    "cancel",
    "Cancel",
    "Give up what this sweep has not computed yet? Its results stay, and it can be resumed.",
)
DELETE = Action(
    "delete",
    "Delete",
    "Put this sweep into the bin? What it has not computed yet is cancelled. It can be restored from there.",
    "/sweeps",
)


@router.get("/sweeps")
def sweeps_page(
    engine: EngineDep,
    search: SweepSearch,
    address: AddressDep,
    page_token: PageToken = None,
    deleted: bool = False,
) -> HTMLResponse:
    """Sweeps, or those in the bin, all of them or those searched for."""
    found = sweeps.list_sweeps(engine, limit=PAGE, page_token=page_token, deleted=deleted, search=search)
    asked = _asked(search)
    rest = asked | ({"deleted": "true"} if deleted else {})
    owners, tags = sweeps.choices(engine)
    first = not (page_token or deleted or asked)
    return page(
        "sweeps.html",
        section="sweeps",
        restore=RESTORE,
        sweeps=found.sweeps,
        deleted=deleted,
        asked=asked,
        owners=owners,
        tags=tags,
        states=[state.value for state in SweepState],
        next_page=next_page("/sweeps", found.next_page_token, **rest),
        newest=next((sweep.id for sweep in found.sweeps), "0") if first else "",
        address=address,
    )


def _asked(search: Search) -> dict[str, str]:
    """The search as it stands in the address."""
    given = {
        "q": " ".join(search.words),
        "owner": search.owner,
        "state": search.state,
        "tag": search.tag,
    }
    return {name: str(value) for name, value in given.items() if value}


@router.get("/sweeps/{id}")
def sweep_page(
    engine: EngineDep, address: AddressDep, id: str, estimator: NameQuery = "", page_token: PageToken = None
) -> HTMLResponse:
    """One sweep with live progress; of a large one the cells of one estimator."""
    context = _context(engine, id, estimator, page_token)
    return page("sweep.html", section="sweeps", address=address, **context)


@router.get("/sweeps/{id}/cells")
def sweep_cells(
    engine: EngineDep, id: str, estimator: NameQuery = "", page_token: PageToken = None
) -> HTMLResponse:
    """The part of a sweep's page that its script fetches again when a trial ends."""
    context = _context(engine, id, estimator, page_token)
    return HTMLResponse(templates().get_template("_cells.html").render(**context))


def _context(engine: Engine, id: str, estimator: str, page_token: str | None) -> dict[str, Any]:
    sweep = sweeps.show_sweep(engine, id)
    estimators = sweep_parts.list_estimators(engine, id).estimators
    chosen = next((one.estimator for one in estimators if one.estimator == estimator), "")
    cells = CellList(cells=[])
    if chosen or sweep.cells_total <= SHOWN_CELLS:
        cells = sweeps.list_cells(engine, id, limit=SHOWN_CELLS, page_token=page_token, estimator=chosen)
    causes = sweep_parts.list_causes(engine, id)
    return sweep_context(sweep, estimators, cells, causes, chosen)


def sweep_context(
    sweep: SweepDetail,
    estimators: Sequence[EstimatorProgress],
    cells: CellList,
    causes: FailureCauseList,
    chosen: str = "",
) -> dict[str, Any]:
    """Everything that ``sweep.html`` and ``_cells.html`` show; ``chosen`` is the estimator shown in full."""
    styles = colours(one.estimator for one in estimators)
    by_estimator: dict[str, list[dict[str, Any]]] = {}
    for cell in cells.cells:
        by_estimator.setdefault(cell.estimator, []).append(_cell(cell))
    left = numbers.duration_between(sweep.progress.seconds_left_low, sweep.progress.seconds_left_high)
    return {
        "sweep": sweep,
        "chosen": _metric_label(sweep, sweep.select),
        "others": [_metric_label(sweep, name) for name in metrics.beside(sweep.select, sweep.report)],
        "done": sweep.finished_at is not None,
        "actions": _actions(sweep),
        "mine": callers.current().owns(sweep.owner),
        "priorities": (MIN_PRIORITY, MAX_PRIORITY),
        "time_left": f"{left} left" if left else "",
        "counts": {state: sweep.progress.counts.get(state, 0) for state in STATES},
        "warning": fallbacks.warning(sweep.fallbacks),
        "causes": causes,
        "groups": [
            {"of": one, "colour": styles[one.estimator], "cells": by_estimator.get(one.estimator, [])}
            for one in estimators
        ],
        "open": chosen or (estimators[0].estimator if len(estimators) == 1 else ""),
        "next_cells": next_page(f"/sweeps/{sweep.id}", cells.next_page_token, **_of(chosen)),
    }


def _actions(sweep: SweepDetail) -> list[Action]:
    """What can be done with a sweep as it stands."""
    counts = sweep.progress.counts
    pending = any(counts[state] for state in PENDING)
    found = [PAUSE] if pending and sweep.held == Hold.ACTIVE else []
    if pending and sweep.held != Hold.ACTIVE:
        found.append(RESUME)
    if any(counts[state] for state in ENDED_BADLY):
        found.append(RETRY)
    if pending and sweep.held != Hold.CANCELLED:
        found.append(CANCEL)
    return [*found, DELETE]


def _metric_label(sweep: SweepDetail, name: str) -> str:
    return metric_label(metrics.metric_info(sweep.task, name))


def _of(estimator: str) -> dict[str, str]:
    return {"estimator": estimator} if estimator else {}


def _cell(cell: CellProgress) -> dict[str, Any]:
    return {
        "setting": numbers.setting(**dict(cell.setting)),
        "board": {"title": cell.board_title, "page": cell.board_page},
        "seeds": cell.seeds,
        "done": cell.counts.get("succeeded", 0),
        "counts": cell.counts,
        "trials": cell.trials,
    }
