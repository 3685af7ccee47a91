"""Templates to answers."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse

from service.access import callers
from service.resources import numbers
from service.web.assets import plotly_url, static_url
from workers.version import package_version

PAGE = 50
"""Entries of a list on one page."""

_CODE = re.compile(r"`([^`\n]+)`")

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
    environment.policies["json.dumps_function"] = _short_json
    environment.policies["json.dumps_kwargs"] = {}
    environment.globals.update(
        static=static_url, percent=numbers.percent, counted=numbers.counted, version=package_version()
    )
    environment.filters["with_code"] = with_code
    return environment


def with_code(text: str) -> Markup:
    """A sentence in which what stands between backticks is code."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))


def _short_json(value: Any) -> str:
    """Data of pictures in few bytes: seven significant digits, which float32 holds, and no blanks."""
    return json.dumps(_rounded(value), separators=(",", ":"))


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.7g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list | tuple) else value


def page(name: str, *, status: int = 200, section: str = "", **context: Any) -> HTMLResponse:
    """A page from a template."""
    always = {"section": section, "plotly": plotly_url(), "caller": callers.current()}
    text = templates().get_template(name).render(**always, **context)
    return HTMLResponse(text, status, {"Cache-Control": "no-cache"})


def next_page(path: str, token: str | None, **chosen: str) -> str | None:
    """Address of the page of a list that goes on from ``token``; ``None`` on the last one.

    ``chosen`` is the rest of the list's query.
    """
    return None if token is None else f"{path}?{urlencode({**chosen, 'page_token': token})}"
