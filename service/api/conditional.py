"""Answers that a client need not fetch again: entity tags and If-None-Match (RFC 9110, 8.8.3 and 13.1.2)."""

from __future__ import annotations

import hashlib
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Header
from starlette.responses import Response

from service.api.downloads import disposition

IfNoneMatch = Annotated[
    str | None,
    Header(description="ETag of the answer that the client has; 304 where it is still the answer."),
]
"""The tags that a client has."""

NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "If-None-Match names this answer."}}
"""For the description of what is answered by :func:`conditional`."""


def conditional(
    body: str | bytes, media_type: str, if_none_match: str | None, *, filename: str | None = None
) -> Response:
    """The body with its tag, or 304 without it where the client has it.

    Args:
        body: of the answer.
        media_type: of the body.
        if_none_match: the request's header of that name.
        filename: what browsers save it as; ``None``: they show it.
    """
    raw = body.encode() if isinstance(body, str) else body
    tag = f'W/"{hashlib.sha256(raw).hexdigest()[:32]}"'  # weak: the body may travel compressed
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if _named(tag, if_none_match):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    if filename is not None:
        headers["Content-Disposition"] = disposition(filename)
    return Response(body, media_type=media_type, headers=headers)


def _named(tag: str, if_none_match: str | None) -> bool:
    """Whether If-None-Match names the tag; weak comparison."""
    if if_none_match is None:
        return False
    given = {one.strip().removeprefix("W/") for one in if_none_match.split(",")}
    return "*" in given or tag.removeprefix("W/") in given
