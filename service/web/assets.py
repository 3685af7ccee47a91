"""Style sheet, scripts, and Plotly's script from the installed package, under ``/static``."""

from __future__ import annotations

import hashlib
import importlib.util
from functools import cache
from importlib.metadata import version
from os import PathLike, stat_result
from pathlib import Path

from fastapi import FastAPI
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

FOLDER = Path(__file__).resolve().parent / "static"
FOREVER = "public, max-age=31536000, immutable"
PLOTLY = "/static/plotly.min.js"


class VersionedFiles(StaticFiles):
    """Files that browsers keep for good when their address carries a hash of their content."""

    def file_response(
        self, full_path: str | PathLike[str], stat_result: stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """The usual answer with a lifetime."""
        answer = super().file_response(full_path, stat_result, scope, status_code)
        versioned = scope["query_string"].startswith(b"v=")
        answer.headers["Cache-Control"] = FOREVER if versioned else "no-cache"
        return answer


def add_static(app: FastAPI) -> None:
    """Serve the files of this package and Plotly's."""
    app.add_api_route(PLOTLY, plotly_script, include_in_schema=False)
    app.mount("/static", VersionedFiles(directory=FOLDER))


def plotly_script() -> FileResponse:
    """Plotly's script as its Python package ships it."""
    return FileResponse(plotly_path(), media_type="text/javascript", headers={"Cache-Control": FOREVER})


def plotly_path() -> Path:
    """Where the script lies; the package itself is not imported, that would take seconds."""
    found = importlib.util.find_spec("plotly")
    if found is None or not found.submodule_search_locations:
        raise FileNotFoundError("the package plotly is not installed; it brings the script of the pictures")
    return Path(found.submodule_search_locations[0]) / "package_data" / "plotly.min.js"


def plotly_url() -> str:
    """Address of the script, with the version of the package."""
    return f"{PLOTLY}?v={version('plotly')}"


@cache  # the files of an installed package do not change
def static_url(name: str) -> str:
    """Address of a file of this package, with a hash of its content."""
    digest = hashlib.sha256((FOLDER / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={digest}"
