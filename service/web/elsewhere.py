"""What a page that is not there leads to: the only thing whose id begins so, or names that are near."""

from __future__ import annotations

from fastapi import Request
from sqlalchemy import Engine
from starlette.responses import RedirectResponse, Response

from service.resources import describe, finding, near
from service.resources.schemas import ProblemDocument
from service.web import sign_in
from service.web.board_lists import task_title
from service.web.render import page

SEE_OTHER, UNAUTHORIZED, NOT_FOUND = 303, 401, 404
SECTIONS = ("boards", "sweeps", "suites", "estimators", "tasks", "nodes")

Link = tuple[str, str]
"""Address and words."""


def problem_page(request: Request, problem: ProblemDocument) -> Response:
    """A problem in words for people; what is nowhere leads to where it may be."""
    if problem.status == UNAUTHORIZED and request.method in ("GET", "HEAD"):
        asked = f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
        return RedirectResponse(sign_in.address(asked), SEE_OTHER)
    if problem.status != NOT_FOUND:
        return page("problem.html", status=problem.status, problem=problem, links=[])
    links = _links(request.app.state.engine, request.url.path)
    only = links[0][0] if len(links) == 1 else ""
    if only.startswith(f"{request.url.path}") and request.method == "GET":  # the id was cut short
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"{only}{query}")
    return page("problem.html", status=NOT_FOUND, problem=problem, links=links)


def _links(engine: Engine, path: str) -> list[Link]:
    section, _, name = path.strip("/").partition("/")
    match section:
        case "boards":
            return [(f"/boards/{id}", f"Board {id}") for id in finding.boards_from(engine, name)]
        case "trials":
            return [(f"/trials/{id}", f"Trial {id}") for id in finding.trials_from(engine, name)]
        case "estimators":
            names = near.near_estimators(name)
            return [(f"/estimators/{id}", describe.title_of_estimator(id)) for id in names]
        case "tasks":
            return [(f"/tasks/{id}", task_title(id)) for id in near.near_tasks(name)]
        case _:
            names = near.near(section, {one: (one,) for one in SECTIONS if one != section})
            return [(f"/{one}" if one != "boards" else "/", one.capitalize()) for one in names]
