"""``/internal/v1/attempts/{id}``: what running attempts report, in the words of ``workers.messages``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, status
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from service.errors import WrongSecret
from workers.messages import Heartbeat, HeartbeatReply, MetricsBatch, Outcome, StartReply
from workers.ports import AttemptReports

PREFIX = "/internal/v1/attempts/{attempt_id}"


def _secret(
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))],
) -> str:
    if credentials is None:
        raise WrongSecret("a report needs the attempt's secret as `Authorization: Bearer SECRET`")
    return credentials.credentials


Secret = Annotated[str, Depends(_secret)]


def internal_router(reports: AttemptReports) -> APIRouter:
    """The routes, which hand each message to ``reports``.

    They answer 401 to a wrong secret, 404 for an unknown attempt, 409 to a superseded one, which must stop,
    and 422 to a report that does not fit. All may be repeated without effect.
    """
    router = APIRouter(prefix=PREFIX, include_in_schema=False)

    @router.post("/start")
    def start(attempt_id: int, secret: Secret) -> StartReply:
        return reports.start(attempt_id, secret)

    @router.post("/heartbeat")
    def heartbeat(attempt_id: int, secret: Secret, message: Heartbeat) -> HeartbeatReply:
        return reports.heartbeat(attempt_id, secret, message)

    @router.post("/metrics", status_code=status.HTTP_204_NO_CONTENT)
    def metrics(attempt_id: int, secret: Secret, message: MetricsBatch) -> None:
        reports.metrics(attempt_id, secret, message)

    @router.post("/finish", status_code=status.HTTP_204_NO_CONTENT)
    def finish(attempt_id: int, secret: Secret, message: Outcome) -> None:
        reports.finish(attempt_id, secret, message)

    return router
