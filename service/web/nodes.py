"""The page of the nodes."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import HTMLResponse

from service.dependencies import EngineDep
from service.resources import nodes
from service.resources.schemas import Node
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
    found = nodes.list_nodes(engine).nodes
    return page("nodes.html", section="nodes", nodes=found, chips=CHIPS, actions=_actions)


def _actions(node: Node) -> list[tuple[str, str]]:
    """What can be done with a node, and how its button says so."""
    if node.state in ("draining", "drained"):
        return [("undrain", "Take back")]
    return [("drain", "Drain"), *([("undrain", "End quarantine")] if node.quarantined_until else [])]
