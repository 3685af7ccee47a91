"""``/estimators`` and ``/tasks``: what can be named in a sweep file, and where an estimator stands."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from benchmarks.tasks import registry as tasks
from estimators import registry as estimators
from service.api import content_types
from service.dependencies import EngineDep, EstimatorId, PublishedDep, TaskId
from service.resources import catalogue, certificates, standing
from service.resources.board_list_schemas import Standing
from service.resources.schemas import EstimatorEntry, EstimatorList, TaskEntry, TaskList

router = APIRouter(tags=["registry"])

CERTIFICATE_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": "object"}}},
        "description": "A certificate of this version of the estimator at its default parameters.",
    }
}


async def _body(request: Request) -> bytes:
    content_types.require_json(request)
    return await request.body()


CertificateBody = Annotated[bytes, Depends(_body)]


@router.get("/estimators")
def list_estimators() -> EstimatorList:
    """Every estimator with its declared parameters and properties."""
    return EstimatorList(
        estimators=[catalogue.estimator_entry(estimators.get(id)) for id in estimators.available()],
        broken=catalogue.broken(estimators.broken()),
    )


@router.get("/estimators/{id}")
def show_estimator(id: EstimatorId) -> EstimatorEntry:
    """One estimator."""
    return catalogue.estimator_entry(certificates.entry(id))


@router.get("/estimators/{id}/certificate")
def show_certificate(id: EstimatorId, published: PublishedDep) -> dict[str, Any]:
    """The stored certificate of this version of an estimator: its declared properties, measured.

    ``published_at`` is when it was published to this server; null for one that is shipped with its package.
    """
    return certificates.stored(certificates.entry(id), published).to_json()


@router.put("/estimators/{id}/certificate", openapi_extra=CERTIFICATE_BODY)
def publish_certificate(id: EstimatorId, published: PublishedDep, body: CertificateBody) -> dict[str, Any]:
    """Publish what ``heunboard certify ID --publish`` measured; it replaces what was published before."""
    return certificates.publish(certificates.entry(id), body, published).to_json()


@router.get("/estimators/{id}/standing")
def show_standing(engine: EngineDep, id: EstimatorId) -> Standing:
    """Where an estimator stands over the boards that it is on, those with the newest results first."""
    return standing.show_standing(engine, certificates.entry(id).id)


@router.get("/tasks/{id}")
def show_task(id: TaskId) -> TaskEntry:
    """One task."""
    return catalogue.task_entry(catalogue.task(id))


@router.get("/tasks")
def list_tasks() -> TaskList:
    """Every task with its declared parameters and metrics."""
    return TaskList(
        tasks=[catalogue.task_entry(tasks.get(id)) for id in tasks.available()],
        broken=catalogue.broken(tasks.broken()),
    )
