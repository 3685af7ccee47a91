"""``/nodes``: where attempts run; drain them, and take them into service again."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from service.api import content_types, openapi
from service.api.routes.controls import NoChoice
from service.dependencies import ADMIN, EngineDep, NodeName
from service.queue.nodes import Nodes
from service.resources import nodes, schemas

router = APIRouter(prefix="/nodes", tags=["nodes"])

SO_ALREADY = openapi.problems(conflict="The node is so already.")


@router.get("")
def list_nodes(engine: EngineDep) -> schemas.NodeList:
    """All nodes that were heard of within a day, or are draining."""
    return nodes.list_nodes(engine)


@router.post(
    "/{name:path}/drain",
    dependencies=[ADMIN, Depends(content_types.require_json)],
    responses=SO_ALREADY,
)
def drain(engine: EngineDep, name: NodeName, _body: NoChoice) -> schemas.Node:
    """Ask attempts on the node to stop, to go on elsewhere, and let nothing begin there."""
    Nodes(engine).drain(name)
    return nodes.show_node(engine, name)


@router.post(
    "/{name:path}/undrain",
    dependencies=[ADMIN, Depends(content_types.require_json)],
    responses=SO_ALREADY,
)
def undrain(engine: EngineDep, name: NodeName, _body: NoChoice) -> schemas.Node:
    """Let the node take attempts again, whether it was drained or under quarantine."""
    Nodes(engine).undrain(name)
    return nodes.show_node(engine, name)
