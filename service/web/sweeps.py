"""The pages of sweeps: all of them, and one with its progress, failures and cells."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import HTMLResponse

from service.dependencies import EngineDep, PageToken
from service.resources import fallbacks, metrics, numbers, sweeps
from service.resources.colours import colours
from service.resources.labels import metric_label
from service.resources.schemas import CellProgress, SweepBoard, SweepDetail
from service.web.render import PAGE, next_page, page, templates

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

SHOWN_CELLS = 500
STATES = ("running", "queued", "succeeded", "failed", "cancelled")


@router.get("/sweeps")
def sweeps_page(engine: EngineDep, page_token: PageToken = None) -> HTMLResponse:
    """All sweeps."""
    found = sweeps.list_sweeps(engine, limit=PAGE, page_token=page_token)
    following = next_page("/sweeps", found.next_page_token)
    return page("sweeps.html", section="sweeps", sweeps=found.sweeps, next_page=following)


@router.get("/sweeps/{id}")
def sweep_page(engine: EngineDep, id: str) -> HTMLResponse:
    """One sweep with live progress."""
    return page("sweep.html", section="sweeps", **sweep_context(sweeps.show_sweep(engine, id)))


@router.get("/sweeps/{id}/cells")
def sweep_cells(engine: EngineDep, id: str) -> HTMLResponse:
    """The part of a sweep's page that its script fetches again when a trial ends."""
    context = sweep_context(sweeps.show_sweep(engine, id))
    return HTMLResponse(templates().get_template("_cells.html").render(**context))


def sweep_context(sweep: SweepDetail) -> dict[str, Any]:
    """Everything that ``sweep.html`` and ``_cells.html`` show."""
    boards = {board.id: board for board in sweep.boards}
    styles = colours(cell.estimator for cell in sweep.cells)
    seconds = sweep.progress.seconds_left
    return {
        "sweep": sweep,
        "chosen": _metric_label(sweep, sweep.select),
        "others": [_metric_label(sweep, name) for name in metrics.beside(sweep.select, sweep.report)],
        "done": sweep.state in ("succeeded", "failed", "cancelled"),
        "time_left": f"about {numbers.duration(seconds)} left" if seconds else "",
        "counts": [(state, sweep.progress.counts.get(state, 0)) for state in STATES],
        "warning": fallbacks.warning([dict(one) for one in sweep.fallbacks]),
        "cells": [
            _cell(cell, boards[cell.board]) | {"colour": styles[cell.estimator]}
            for cell in sweep.cells[:SHOWN_CELLS]
        ],
    }


def _metric_label(sweep: SweepDetail, name: str) -> str:
    return metric_label(metrics.metric_info(sweep.task, name))


def _cell(cell: CellProgress, board: SweepBoard) -> dict[str, Any]:
    return {
        "title": cell.title,
        "setting": numbers.setting(**dict(cell.setting)),
        "board": board,
        "seeds": cell.seeds,
        "done": cell.counts.get("succeeded", 0),
        "states": [(state, cell.counts[state]) for state in STATES if cell.counts.get(state)],
    }
