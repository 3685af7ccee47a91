"""The page of the nodes."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import HTMLResponse

from service.dependencies import EngineDep
from service.resources import nodes
from service.web.render import page

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

CHIPS = {
    "ready": "succeeded",
    "draining": "running",
    "drained": "queued",
    "quarantined": "failed",
    "away": "cancelled",
}
"""State -> how its chip looks: like the state of a sweep that it is like."""


@router.get("/nodes")
def nodes_page(engine: EngineDep) -> HTMLResponse:
    """All nodes, with what they do."""
    return page("nodes.html", section="nodes", nodes=nodes.list_nodes(engine).nodes, chips=CHIPS)
