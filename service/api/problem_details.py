"""Every error as one shape: problem details (RFC 9457), ``application/problem+json``.

``type`` is a stable URI reference, ``title`` its words, ``status`` the HTTP status, ``detail`` what came and
what to do, ``errors`` the places in the request, each with a JSON pointer. A browser that asks for a page
gets the same words as a page.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from sqlalchemy.exc import DataError, SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Match

from benchmarks.sweep import Issue, SpecError
from benchmarks.sweep_file.issues import at
from service import errors
from service.api import correlation
from service.api.correlation import current_request
from service.resources.schemas import Place, ProblemDocument
from service.storage.engine import is_outage
from workers.version import PROTOCOL

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

TYPE_PREFIX = "urn:heunboard:problem:"
"""How the type of every problem begins."""

STATUS: dict[type[errors.HeunboardError], HTTPStatus] = {
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.InvalidRequest: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.InvalidPageToken: HTTPStatus.BAD_REQUEST,
    errors.InvalidDocument: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.BrokenSuite: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.SubmissionGivenUp: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.CannotStore: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.NotInstalled: HTTPStatus.NOT_IMPLEMENTED,
    errors.InvalidReport: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.IdempotencyKeyReused: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.WrongSecret: HTTPStatus.UNAUTHORIZED,
    errors.NotAuthenticated: HTTPStatus.UNAUTHORIZED,
    errors.NotPermitted: HTTPStatus.FORBIDDEN,
    errors.TooManyRequests: HTTPStatus.TOO_MANY_REQUESTS,
    errors.StaleAttempt: HTTPStatus.CONFLICT,
    errors.TooManyTrials: HTTPStatus.TOO_MANY_REQUESTS,
    errors.NothingToDo: HTTPStatus.CONFLICT,
    errors.OtherProtocol: HTTPStatus.UPGRADE_REQUIRED,
    errors.ShuttingDown: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.DatabaseOutOfDate: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""What an exception means over HTTP; any other of the tree is a 500."""


HTTP_KINDS = {
    HTTPStatus.BAD_REQUEST: "bad-request",
    HTTPStatus.NOT_FOUND: "not-found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method-not-allowed",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "content-too-large",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "unsupported-media-type",
    HTTPStatus.SERVICE_UNAVAILABLE: "service-unavailable",
}
"""What is refused as HTTP, not as something of ours. Python's phrases of statuses change."""

OTHER_KINDS = {
    "invalid-sweep": HTTPStatus.UNPROCESSABLE_ENTITY,
    "invalid-request": HTTPStatus.UNPROCESSABLE_ENTITY,
    "unknown-host": HTTPStatus.MISDIRECTED_REQUEST,
    "database-away": HTTPStatus.SERVICE_UNAVAILABLE,
    "internal": HTTPStatus.INTERNAL_SERVER_ERROR,
}
"""What is no exception of ours, either."""

_AWAY = "The database does not answer for now; nothing is lost. Ask again in a few seconds."
_UNSTORABLE = "The request holds a value that the database cannot keep: a number out of range, or a sign."

IN_PATHS = "/:@!$&'()*+,;=~"
"""Signs that stand in the path of a URI as they are (RFC 3986, 3.3)."""

Render = Callable[[Request, ProblemDocument], Response]
Explain = Callable[[Request, Exception], Response]


def install(app: FastAPI, page: Render) -> Explain:
    """Let every error of ``app`` take this shape; ``page`` renders it for browsers.

    Returns:
        What makes the answer of an error that is raised outside of any route.
    """

    def respond(request: Request, document: ProblemDocument, headers: Any = None) -> Response:
        if _wants_page(request):
            answer = page(request, document)
            answer.headers.update(headers or {})
            return answer
        body = document.model_dump(mode="json", exclude_none=True)
        return JSONResponse(body, document.status, headers, MEDIA_TYPE)

    def on_spec(request: Request, error: Exception) -> Response:
        assert isinstance(error, SpecError)
        places = _places(error.issues)
        return respond(request, document(request, 422, "invalid-sweep", str(error), places))

    def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        headers = dict(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = _allowed(request)
        return respond(request, _http(request, error, headers), headers)

    def on_request(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return respond(request, _request(request, error))

    def on_ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, errors.HeunboardError)
        return respond(request, _ours(request, error), _headers(error))

    def on_database(request: Request, error: Exception) -> Response:
        if is_outage(error):
            logger.warning("%s %s: the database is away: %s", request.method, request.url.path, error)
            return respond(request, document(request, 503, "database-away", _AWAY), {"Retry-After": "5"})
        if isinstance(error, DataError):
            logger.warning("%s %s: %s", request.method, request.url.path, error)
            return respond(request, document(request, 422, "invalid-request", _UNSTORABLE))
        raise error

    def on_bug(request: Request, error: Exception) -> Response:
        detail = "Something went wrong here, not in the request; the server's log has the traceback."
        # This answer passes through no middleware any more.
        return respond(
            request, document(request, 500, "internal", detail), {correlation.HEADER: current_request() or ""}
        )

    handlers: dict[type[Exception], Explain] = {
        SpecError: on_spec,
        HTTPException: on_http,
        RequestValidationError: on_request,
        errors.HeunboardError: on_ours,
        SQLAlchemyError: on_database,
        Exception: on_bug,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)
    return lambda request, error: next(h for k, h in handlers.items() if isinstance(error, k))(request, error)


def kind_of(error: type[errors.HeunboardError]) -> str:
    """The last part of the type of its problems: ``invalid-page-token``."""
    return "".join(f"-{c.lower()}" if c.isupper() else c for c in error.__name__).lstrip("-")


def kinds() -> dict[str, HTTPStatus]:
    """Every type of a problem that the API answers, without what all begin with, and its status."""
    ours = {kind_of(one): status for error, status in STATUS.items() for one in _leaves(error)}
    return {kind: status for status, kind in HTTP_KINDS.items()} | OTHER_KINDS | ours


def _leaves(error: type[errors.HeunboardError]) -> Iterator[type[errors.HeunboardError]]:
    """The class, or in place of one whose kinds are told apart those kinds."""
    kinds = error.__subclasses__()
    if error is not errors.InvalidDocument:
        yield error
    for one in kinds:
        yield from _leaves(one)


def document(
    request: Request, status: int, kind: str, detail: str, places: list[Place] | None = None
) -> ProblemDocument:
    """A problem about ``request``."""
    title = kind.replace("-", " ").capitalize()
    return ProblemDocument(
        type=TYPE_PREFIX + kind,
        title=title,
        status=int(status),
        detail=detail,
        instance=quote(request.scope["path"], safe=IN_PATHS),
        request_id=current_request(),
        errors=places or [],
    )


def _headers(error: errors.HeunboardError) -> dict[str, str]:
    """What a client needs to know besides: how to be known, when to come again, what to speak."""
    if isinstance(error, errors.WrongSecret | errors.NotAuthenticated):
        return {"WWW-Authenticate": "Bearer"}
    if isinstance(error, errors.TooManyRequests):
        return {"Retry-After": str(math.ceil(error.wait))}
    if isinstance(error, errors.OtherProtocol):
        return {"Upgrade": f"heunboard-reports/{PROTOCOL}"}
    return {}


def _places(issues: Iterable[Issue]) -> list[Place]:
    return [Place(pointer=p.path, message=p.message, suggestion=p.suggestion) for p in issues]


def _wants_page(request: Request) -> bool:
    path = request.url.path
    machine = path.startswith(("/api/", "/internal/", "/openapi.json", "/healthz", "/readyz", "/static/"))
    return not machine and "text/html" in request.headers.get("accept", "")


def _allowed(request: Request) -> str:
    """What the path takes by all routes of its plainest form; Starlette names the methods of one route.

    ``/sweeps/plan`` is not ``/sweeps/{id}``, though it could be read so.
    """
    forms: dict[str, set[str]] = {}
    scope = {"type": "http", "method": "GET", "path": request.url.path, "root_path": "", "headers": []}
    for route in iter_route_contexts(request.app.routes):
        if route.matches(scope)[0] is not Match.NONE:
            taken = route.methods or {"GET"}  # mounted are files
            forms.setdefault(route.path or "", set()).update(taken)
    plainest = forms[min(forms, key=lambda form: form.count("{"))]
    return ", ".join(sorted(plainest | ({"HEAD"} if "GET" in plainest else set())))  # see HeadAsGet


def _http(request: Request, error: HTTPException, headers: Mapping[str, str]) -> ProblemDocument:
    kind = HTTP_KINDS[HTTPStatus(error.status_code)]
    detail = str(error.detail)
    if error.status_code == HTTPStatus.NOT_FOUND and detail == HTTPStatus.NOT_FOUND.phrase:
        advice = "" if _wants_page(request) else "; /openapi.json lists every route"
        detail = f"There is nothing at {request.url.path}{advice}."
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        detail = f"{request.url.path} does not take {request.method}; it takes {headers['Allow']}."
    return document(request, error.status_code, kind, detail)


def _request(request: Request, error: RequestValidationError) -> ProblemDocument:
    found: dict[str, str] = {}
    for one in error.errors():
        found.setdefault(_pointer(one["loc"]), one["msg"])
    places = [Place(pointer=pointer, message=message) for pointer, message in found.items()]
    detail = "; ".join(f"{place.pointer}: {place.message}" for place in places)
    return document(request, HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-request", detail, places)


def _pointer(location: tuple[str | int, ...]) -> str:
    """Where in the request; pydantic appends the kinds of value that a parameter could have had."""
    part, *inner = location
    if part != "body":
        inner = [one for i, one in enumerate(inner) if i == 0 or isinstance(one, int)]
    return "".join(at("", step) for step in (part, *inner))


def _ours(request: Request, error: errors.HeunboardError) -> ProblemDocument:
    status = next(
        (s for kind, s in STATUS.items() if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR
    )
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.error("%s %s: %s", request.method, request.url.path, error, exc_info=error)
    kind = kind_of(type(error))
    places = _places(error.issues) if isinstance(error, errors.InvalidDocument) else []
    return document(request, status, kind, str(error), places)
