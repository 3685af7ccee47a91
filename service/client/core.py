"""From a request to its answer as a model: repeating, errors, pages of lists."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import httpx
from pydantic import BaseModel, ValidationError

from service.client.address import Address
from service.client.errors import ApiError, Problem, ServerUnreachable, UnexpectedAnswer
from service.client.flows import Call, Download, Flow, Item, Pause, Step, Stream, drained
from service.client.retrying import Retry, is_passing, never_left, retry_after
from service.resources.board_list_schemas import BoardList
from service.resources.board_schemas import BoardCellList
from service.resources.schemas import PREFIX, AttemptPage, CellList, SweepBoardList, SweepList, TrialList
from workers.version import package_version

logger = logging.getLogger(__name__)

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")
Body = str | Mapping[str, Any]
"""The text of a file (YAML), or what is sent as JSON."""


L = TypeVar("L", SweepList, SweepBoardList, CellList, TrialList, AttemptPage, BoardList, BoardCellList)
"""One page of a list."""


class Core:
    """What the methods of a client are made of."""

    _address: Address
    _retry: Retry
    _warned_of: str | None = None

    @property
    def url(self) -> str:
        """Address of the server."""
        return self._address.url

    def _get(self, kind: type[M], path: str, params: Mapping[str, Any] | None = None) -> Flow[M]:
        """What there is at a path; parameters that are ``None`` or empty are left out."""
        return self._ask(kind, _reading(path, params))

    def _send(self, kind: type[M], method: str, path: str, body: Body, **how: Any) -> Flow[M]:
        """The answer to a request with a body; ``how`` are further fields of a :class:`Call`."""
        return self._ask(kind, sending(method, path, body, **how))

    def _ask(self, kind: type[M], call: Call) -> Flow[M]:
        response = yield from self._answer(call)
        try:
            return kind.model_validate_json(response.content)
        except ValidationError as error:
            raise self._unexpected(call, error) from None

    def _document(self, call: Call) -> Flow[dict[str, Any]]:
        """An answer that is kept as it came."""
        response = yield from self._answer(call)
        try:
            return cast(dict[str, Any], response.json())
        except ValueError as error:
            raise self._unreachable(NO_JSON) from error

    def _file(self, path: str, params: Mapping[str, Any]) -> Flow[httpx.Response]:
        """What is no JSON document, or is kept as the text that it came as."""
        return self._answer(_reading(path, params))

    def _pieces(self, path: str, params: Mapping[str, Any]) -> Stream[bytes]:
        """What is too long for one piece of memory."""
        yield from self._answer(_reading(path, params), Download)

    def _all(self, kind: type[L], path: str, of: Callable[[L], list[T]], **params: Any) -> Flow[list[T]]:
        """Everything on all pages of a list, which ``of`` takes from a page."""
        found: list[T] = []
        yield from drained(self._each(kind, path, of, **params), found.append)
        return found

    def _each(self, kind: type[L], path: str, of: Callable[[L], list[T]], **params: Any) -> Stream[T]:
        """The same, page after page as it is asked for."""
        token: str | None = None
        while True:
            page = yield from self._get(kind, path, {**params, "page_token": token})
            for one in of(page):
                yield Item(one)
            if (token := page.next_page_token) is None:
                return

    def _answer(self, call: Call, step: Callable[[Call], Step] = lambda call: call) -> Flow[httpx.Response]:
        """The answer of the server, after as many tries as are sensible.

        Raises:
            ApiError: it refuses.
            ServerUnreachable: there is none.
        """
        began, tries = self._retry.clock(), 0
        while True:
            tries += 1
            failure: Exception
            try:
                response: httpx.Response = yield step(call)
                if response.is_success:
                    self._pass_on(response)
                    return response
                failure = refusal(response, now=self._retry.now())
            except httpx.RequestError as error:
                failure = error
            pause = None
            if is_passing(failure) and (call.repeatable or never_left(failure)):
                waited = self._retry.clock() - began
                pause = self._retry.pause(failure, tries=tries, waited=waited)
            if pause is None:
                raise self._told(failure) from failure.__cause__
            yield Pause(pause)

    def _pass_on(self, response: httpx.Response) -> None:
        """Log what the server warns of, as of a client of another version, once."""
        warning = response.headers.get("Warning")
        if warning is not None and warning != self._warned_of:
            self._warned_of = warning
            logger.warning("%s warns: %s", self.url, warning)

    def _told(self, failure: Exception) -> Exception:
        return failure if isinstance(failure, ApiError) else self._unreachable(failure)

    def _unreachable(self, reason: object) -> ServerUnreachable:
        origin = f", {self._address.origin}" if self._address.origin else ""
        return ServerUnreachable(
            f"no Heunboard server answers at {self.url}{origin} ({reason}); start one with `heunboard up`, "
            "or say where it is with --url or HEUNBOARD_URL"
        )

    def _unexpected(self, call: Call, error: ValidationError) -> Exception:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            return self._unreachable(NO_JSON)
        place = "/".join(map(str, first["loc"]))
        return UnexpectedAnswer(
            f"the server at {self.url} answers {call.method} {call.path} otherwise than this client expects: "
            f"{place}: {first['msg']}. Install the version of the server here: this is {package_version()}"
        )


NO_JSON = "what answers there does not speak its language"


def sending(
    method: str,
    path: str,
    body: Body,
    *,
    params: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float | None = None,
    repeatable: bool = False,
) -> Call:
    """A request with a body."""
    text = body if isinstance(body, str) else json.dumps(dict(body))
    kind = "application/yaml" if isinstance(body, str) else "application/json"
    return Call(
        method=method,
        path=f"{PREFIX}{path}",
        params=params,
        content=text,
        headers={"Content-Type": kind, **(headers or {})},
        timeout=timeout,
        repeatable=repeatable,
    )


def _reading(path: str, params: Mapping[str, Any] | None) -> Call:
    given = {name: value for name, value in (params or {}).items() if value not in (None, "", [])}
    return Call(method="GET", path=f"{PREFIX}{path}", params=given, repeatable=True)


def refusal(response: httpx.Response, *, now: float) -> ApiError:
    """The error that an answer is, of the server or of whatever stands in between."""
    return ApiError(response.status_code, _problem(response), retry_after=retry_after(response, now=now))


def _problem(response: httpx.Response) -> Problem:
    if response.has_redirect_location:
        target = response.headers["Location"]
        detail = (
            f"the server sends us on to {target!r}, where nothing was sent; if that is it, give its address"
        )
        return Problem(title="Redirect", status=response.status_code, detail=detail)
    try:
        return Problem.model_validate_json(response.content)
    except ValidationError:
        title = f"HTTP {response.status_code}"
        return Problem(title=title, status=response.status_code, detail=response.text[:500])
