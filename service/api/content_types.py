"""What a body must be declared as, so that forms of foreign web pages cannot send it without asking first."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from fastapi import HTTPException, Request

JSON = "application/json"


def require(request: Request, kinds: Sequence[str], *, what: str, named: int = 2) -> None:
    """Refuse a body that is declared as something else, or as nothing.

    Args:
        request: whose body was not read yet.
        kinds: media types that are taken.
        what: what the body is, for messages.
        named: how many of ``kinds`` a message names.

    Raises:
        HTTPException: 415.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in kinds:
        raise HTTPException(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"{what} is sent as Content-Type {' or '.join(kinds[:named])}, not {kind or 'nothing'!r}",
            {"Accept-Post": ", ".join(kinds)},
        )


def require_json(request: Request) -> None:
    """Refuse a body that is not declared as JSON.

    Raises:
        HTTPException: 415.
    """
    require(request, [JSON], what="the body")
