"""``/nodes``: where attempts run; drain them, and take them into service again."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from service.api import content_types
from service.dependencies import ADMIN, EngineDep
from service.queue.nodes import Nodes
from service.resources import nodes, schemas

router = APIRouter(prefix="/nodes", tags=["nodes"])

JSON_BODY = {"requestBody": {"content": {content_types.JSON: {"schema": {"type": "object"}}}}}


@router.get("")
def list_nodes(engine: EngineDep) -> schemas.NodeList:
    """All nodes that were heard of within a day, or are draining."""
    return nodes.list_nodes(engine)


@router.post(
    "/{name:path}/drain", dependencies=[ADMIN, Depends(content_types.require_json)], openapi_extra=JSON_BODY
)
def drain(engine: EngineDep, name: str) -> schemas.Node:
    """Ask attempts on the node to stop, to go on elsewhere, and let nothing begin there."""
    Nodes(engine).drain(name)
    return nodes.show_node(engine, name)


@router.post(
    "/{name:path}/undrain", dependencies=[ADMIN, Depends(content_types.require_json)], openapi_extra=JSON_BODY
)
def undrain(engine: EngineDep, name: str) -> schemas.Node:
    """Let the node take attempts again, whether it was drained or under quarantine."""
    Nodes(engine).undrain(name)
    return nodes.show_node(engine, name)
