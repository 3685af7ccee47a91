"""Templates to answers."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from fastapi import Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from service.resources.schemas import ProblemDocument
from service.web.assets import plotly_url, static_url
from service.web.views import percent
from workers.version import package_version

FOLDER = Path(__file__).resolve().parent / "templates"


@cache
def templates() -> Environment:
    """The templates with automatic escaping; an unknown name in one is an error."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(static=static_url, percent=percent, version=package_version())
    return environment


def page(name: str, *, status: int = 200, section: str = "", **context: Any) -> HTMLResponse:
    """A page from a template."""
    text = templates().get_template(name).render(section=section, plotly=plotly_url(), **context)
    return HTMLResponse(text, status, {"Cache-Control": "no-cache"})


def problem_page(_request: Request, problem: ProblemDocument) -> HTMLResponse:
    """A problem in words for people."""
    return page("problem.html", status=problem.status, problem=problem)
