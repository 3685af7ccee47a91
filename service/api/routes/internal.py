"""``/internal/v1/attempts/{id}``: what running attempts report, in the words of ``workers.messages``."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Request, Response, status
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import ValidationError

from service.errors import NotFound, OtherProtocol, WrongSecret
from service.queue.reports import Reports
from service.resources.paging import LARGEST_ID
from workers.messages import (
    CheckpointReport,
    Heartbeat,
    HeartbeatReply,
    Message,
    MetricsBatch,
    Outcome,
    Resumption,
    Start,
    StartReply,
)
from workers.version import PROTOCOL, PROTOCOL_HEADER, VERSION_HEADER, package_version

CHECKED_WITH_ITS_REPORT = 65_536
"""Bytes of a body up to which a report is parsed before its attempt's secret is looked up."""

PREFIX = "/internal/v1/attempts/{attempt_id}"


async def _secret(request: Request) -> str:
    """Of the attempt. Were it not ``async``, FastAPI would hand it to a thread, which takes longer."""
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secret:
        raise WrongSecret("a report needs the attempt's secret as `Authorization: Bearer SECRET`")
    return secret


def _require_protocol(request: Request) -> None:
    """Refuse a worker whose reports would be misunderstood; those of before there were numbers send none."""
    given = request.headers.get(PROTOCOL_HEADER, "1")
    if given != str(PROTOCOL):
        version = request.headers.get(VERSION_HEADER, "unknown")
        raise OtherProtocol(
            f"the worker is Heunboard {version[:50]} and reports by protocol {given[:20]}; this server is "
            f"{package_version()} and understands protocol {PROTOCOL}. Install the same version of heunboard "
            "on both, and restart the dispatcher; the trials go on from their checkpoints"
        )


async def _attempt(request: Request) -> int:
    text = str(request.path_params["attempt_id"])
    digits = text.isascii() and text.isdigit() and len(text) <= len(str(LARGEST_ID))
    if not digits or int(text) > LARGEST_ID:
        raise NotFound(f"there is no attempt {text[:20]}")
    return int(text)


Kind = TypeVar("Kind", bound=Message)


def _body(kind: type[Kind]) -> Callable[[Request], Coroutine[Any, Any, Kind]]:
    """Reads the body as a message, straight from its bytes: that takes a third of the time of two steps."""

    async def message(request: Request) -> Kind:
        try:
            return kind.model_validate_json(await request.body())
        except ValidationError as error:
            places = [{**one, "loc": ("body", *one["loc"])} for one in error.errors(include_url=False)]
            raise RequestValidationError(places) from error

    return message


Secret = Annotated[str, Depends(_secret)]
AttemptId = Annotated[int, Depends(_attempt)]
HeartbeatBody = Annotated[Heartbeat, Depends(_body(Heartbeat))]
MetricsBody = Annotated[MetricsBatch, Depends(_body(MetricsBatch))]
OutcomeBody = Annotated[Outcome, Depends(_body(Outcome))]


def internal_router(reports: Reports) -> APIRouter:
    """The routes, which hand each message to ``reports``.

    They answer 426 to a worker of another protocol, 401 to a wrong secret, 404 for an unknown attempt, 409 to
    a superseded one, which must stop, and 422 to a report that does not fit. All may be repeated without
    effect.
    """
    router = APIRouter(prefix=PREFIX, include_in_schema=False, route_class=_secret_first(reports))

    @router.post("/start", response_model_exclude_defaults=True)  # what older workers do not know
    def start(attempt_id: AttemptId, secret: Secret, message: Start | None = None) -> StartReply:
        return reports.start(attempt_id, secret, message)

    @router.post("/resume", status_code=status.HTTP_204_NO_CONTENT)
    def resume(attempt_id: AttemptId, secret: Secret, message: Resumption) -> None:
        reports.resume(attempt_id, secret, message)

    @router.post("/heartbeat")
    def heartbeat(attempt_id: AttemptId, secret: Secret, message: HeartbeatBody) -> HeartbeatReply:
        return reports.heartbeat(attempt_id, secret, message)

    @router.post("/metrics", status_code=status.HTTP_204_NO_CONTENT)
    def metrics(attempt_id: AttemptId, secret: Secret, message: MetricsBody) -> None:
        reports.metrics(attempt_id, secret, message)

    @router.post("/checkpoint", status_code=status.HTTP_204_NO_CONTENT)
    def checkpoint(attempt_id: AttemptId, secret: Secret, message: CheckpointReport) -> None:
        reports.checkpoint(attempt_id, secret, message)

    @router.post("/finish", status_code=status.HTTP_204_NO_CONTENT)
    def finish(attempt_id: AttemptId, secret: Secret, message: OutcomeBody) -> None:
        reports.finish(attempt_id, secret, message)

    return router


def _is_large(request: Request) -> bool:
    length = request.headers.get("content-length", "")
    return not length.isdigit() or int(length) > CHECKED_WITH_ITS_REPORT


def _secret_first(reports: Reports) -> type[APIRoute]:
    """Routes that look at the secret before they read the body, which may be large."""

    class SecretFirst(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            answer = super().get_route_handler()

            async def checked(request: Request) -> Response:
                _require_protocol(request)
                secret, attempt_id = await _secret(request), await _attempt(request)
                if _is_large(request):  # a small one is checked with its report
                    await run_in_threadpool(reports.check, attempt_id, secret)
                return await answer(request)

            return checked

    return SecretFirst
