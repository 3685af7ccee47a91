"""``/healthz``: the process answers. ``/readyz``: so does its database, and it is not about to end.
``/metrics``: for Prometheus."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from service.dependencies import EngineDep
from service.errors import ShuttingDown
from service.storage import migrations
from workers.version import PROTOCOL, package_version

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """Whether the service can be used, its version, and the protocol of the reports that it takes."""

    status: str
    version: str
    protocol: int = PROTOCOL


@router.get("/healthz")
def healthz() -> Health:
    """The process is alive."""
    return Health(status="ok", version=package_version())


@router.get("/readyz")
def readyz(request: Request, engine: EngineDep) -> Health:
    """The database answers and has the schema of this version, and the process goes on; 503 says what is
    missing."""
    if request.app.state.leaving.is_set():
        raise ShuttingDown
    migrations.require_current(engine)
    return Health(status="ready", version=package_version())


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def metrics(request: Request) -> Response:
    """Depth of the queue, lost attempts, speed, slots, times of requests, in Prometheus' text format."""
    return Response(request.app.state.telemetry.text(), media_type=CONTENT_TYPE_LATEST)
