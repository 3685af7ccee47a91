"""The pages: boards, a board, sweeps, a sweep."""

from __future__ import annotations

from urllib.parse import urlencode

from fastapi import APIRouter
from starlette.responses import HTMLResponse

from service.dependencies import EngineDep, PageToken, Report, Select
from service.resources import boards, sweeps
from service.web import views
from service.web.render import page, templates

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

PAGE = 50


@router.get("/")
def boards_page(engine: EngineDep, page_token: PageToken = None) -> HTMLResponse:
    """All boards."""
    found = boards.list_boards(engine, limit=PAGE, page_token=page_token)
    return page(
        "boards.html", section="boards", boards=found.boards, next_page=_next("/", found.next_page_token)
    )


@router.get("/boards/{id}")
def board_page(engine: EngineDep, id: str, select: Select = None, report: Report = None) -> HTMLResponse:
    """One board; the address holds which metric chooses and which are shown."""
    board = boards.show_board(engine, id, select=select, report=report)
    return page("board.html", section="boards", **views.board_context(board))


@router.get("/sweeps")
def sweeps_page(engine: EngineDep, page_token: PageToken = None) -> HTMLResponse:
    """All sweeps."""
    found = sweeps.list_sweeps(engine, limit=PAGE, page_token=page_token)
    following = _next("/sweeps", found.next_page_token)
    return page("sweeps.html", section="sweeps", sweeps=found.sweeps, next_page=following)


@router.get("/sweeps/{id}")
def sweep_page(engine: EngineDep, id: str) -> HTMLResponse:
    """One sweep with live progress."""
    return page("sweep.html", section="sweeps", **views.sweep_context(sweeps.show_sweep(engine, id)))


@router.get("/sweeps/{id}/cells")
def sweep_cells(engine: EngineDep, id: str) -> HTMLResponse:
    """The part of a sweep's page that its script fetches again when a trial ends."""
    context = views.sweep_context(sweeps.show_sweep(engine, id))
    return HTMLResponse(templates().get_template("_cells.html").render(**context))


def _next(path: str, token: str | None) -> str | None:
    return None if token is None else f"{path}?{urlencode({'page_token': token})}"
