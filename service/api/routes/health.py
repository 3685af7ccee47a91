"""``/healthz``: the process answers. ``/readyz``: so does its database, with the right schema."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

from service.dependencies import EngineDep
from service.storage import migrations
from workers.version import package_version

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """Whether the service can be used."""

    status: str
    version: str


@router.get("/healthz")
def healthz() -> Health:
    """The process is alive."""
    return Health(status="ok", version=package_version())


@router.get("/readyz")
def readyz(engine: EngineDep) -> Health:
    """The database answers and has the schema of this version; 503 says what is missing."""
    migrations.require_current(engine)
    return Health(status="ready", version=package_version())
