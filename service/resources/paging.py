"""Lists in pages: a page token says after which row the next page begins (keyset), so no row is skipped or
shown twice while others are added."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime, timedelta

from service.errors import InvalidPageToken

LARGEST_ID = 2**31 - 1
"""Of a row on PostgreSQL, whose keys have 32 bits."""
_DIGITS = 10
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MOMENT_DIGITS = 16
"""Of microseconds up to the year 2286."""


def token(kind: str, last_id: int) -> str:
    """The token of the page after ``last_id`` in the list ``kind``."""
    return _packed(kind, str(last_id))


def last_id(kind: str, page_token: str | None) -> int | None:
    """The inverse of :func:`token`; ``None`` for the first page.

    Raises:
        InvalidPageToken: it was not made by :func:`token` for this list.
    """
    return None if page_token is None else _id(_unpacked(kind, page_token))


def moment_token(kind: str, at: datetime, last_id: int) -> str:
    """The token of the page after the row ``last_id`` of moment ``at``, in a list that is ordered by both."""
    return _packed(kind, f"{(at - _EPOCH) // _MICROSECOND}:{last_id}")


def last_moment(kind: str, page_token: str | None) -> tuple[datetime, int] | None:
    """The inverse of :func:`moment_token`; ``None`` for the first page.

    Raises:
        InvalidPageToken: it was not made by :func:`moment_token` for this list.
    """
    if page_token is None:
        return None
    moment, _, id = _unpacked(kind, page_token).partition(":")
    return _EPOCH + _whole(moment, _MOMENT_DIGITS) * _MICROSECOND, _id(id)


def _packed(kind: str, place: str) -> str:
    return base64.urlsafe_b64encode(f"{kind}:{place}".encode()).decode().rstrip("=")


def _unpacked(kind: str, page_token: str) -> str:
    try:
        padded = page_token.encode("ascii") + b"=" * (-len(page_token) % 4)
        made_for, _, place = base64.b64decode(padded, altchars=b"-_", validate=True).decode().partition(":")
    except (binascii.Error, UnicodeError):
        raise InvalidPageToken from None
    if made_for != kind:
        raise InvalidPageToken
    return place


def _id(text: str) -> int:
    if (id := _whole(text, _DIGITS)) > LARGEST_ID:
        raise InvalidPageToken
    return id


def _whole(text: str, digits: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= digits):
        raise InvalidPageToken
    return int(text)
