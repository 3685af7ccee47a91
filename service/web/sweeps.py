"""The pages of sweeps: all of them, and one with its progress, failures and cells."""

from __future__ import annotations

from typing import Any, NamedTuple

from fastapi import APIRouter
from sqlalchemy import Engine
from starlette.responses import HTMLResponse

from benchmarks.sweep_file.limits import MAX_PRIORITY, MIN_PRIORITY
from service.dependencies import EngineDep, PageToken
from service.resources import fallbacks, metrics, numbers, sweeps
from service.resources.colours import colours
from service.resources.labels import metric_label
from service.resources.schemas import CellList, CellProgress, SweepDetail
from service.states import ENDED_BADLY, PENDING, Hold
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
def sweeps_page(engine: EngineDep, page_token: PageToken = None, deleted: bool = False) -> HTMLResponse:
    """All sweeps, or those in the bin."""
    found = sweeps.list_sweeps(engine, limit=PAGE, page_token=page_token, deleted=deleted)
    following = next_page("/sweeps", found.next_page_token, **({"deleted": "true"} if deleted else {}))
    shown: dict[str, Any] = {"sweeps": found.sweeps, "next_page": following, "deleted": deleted}
    first = page_token is None and not deleted
    newest = next((sweep.id for sweep in found.sweeps), "0") if first else ""
    return page("sweeps.html", section="sweeps", restore=RESTORE, newest=newest, **shown)


@router.get("/sweeps/{id}")
def sweep_page(engine: EngineDep, id: str, page_token: PageToken = None) -> HTMLResponse:
    """One sweep with live progress."""
    return page("sweep.html", section="sweeps", **_context(engine, id, page_token))


@router.get("/sweeps/{id}/cells")
def sweep_cells(engine: EngineDep, id: str, page_token: PageToken = None) -> HTMLResponse:
    """The part of a sweep's page that its script fetches again when a trial ends."""
    context = _context(engine, id, page_token)
    return HTMLResponse(templates().get_template("_cells.html").render(**context))


def _context(engine: Engine, id: str, page_token: str | None) -> dict[str, Any]:
    sweep = sweeps.show_sweep(engine, id)
    return sweep_context(sweep, sweeps.list_cells(engine, id, limit=SHOWN_CELLS, page_token=page_token))


def sweep_context(sweep: SweepDetail, cells: CellList) -> dict[str, Any]:
    """Everything that ``sweep.html`` and ``_cells.html`` show."""
    styles = colours(cell.estimator for cell in cells.cells)
    left = numbers.duration_between(sweep.progress.seconds_left_low, sweep.progress.seconds_left_high)
    return {
        "sweep": sweep,
        "chosen": _metric_label(sweep, sweep.select),
        "others": [_metric_label(sweep, name) for name in metrics.beside(sweep.select, sweep.report)],
        "done": sweep.finished_at is not None,
        "actions": _actions(sweep),
        "priorities": (MIN_PRIORITY, MAX_PRIORITY),
        "time_left": f"{left} left" if left else "",
        "counts": [(state, sweep.progress.counts.get(state, 0)) for state in STATES],
        "warning": fallbacks.warning([dict(one) for one in sweep.fallbacks]),
        "cells": [_cell(cell) | {"colour": styles[cell.estimator]} for cell in cells.cells],
        "next_cells": next_page(f"/sweeps/{sweep.id}", cells.next_page_token),
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


def _cell(cell: CellProgress) -> dict[str, Any]:
    return {
        "title": cell.title,
        "setting": numbers.setting(**dict(cell.setting)),
        "board": {"title": cell.board_title, "page": cell.board_page},
        "seeds": cell.seeds,
        "done": cell.counts.get("succeeded", 0),
        "states": [(state, cell.counts[state]) for state in STATES if cell.counts.get(state)],
    }
