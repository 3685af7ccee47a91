"""Lists in pages: a page token says after which row the next page begins (keyset), so no row is skipped or
shown twice while others are added."""

from __future__ import annotations

import base64
import binascii

from service.errors import InvalidPageToken

LARGEST_ID = 2**31 - 1
"""Of a row on PostgreSQL, whose keys have 32 bits."""
_DIGITS = 10


def token(kind: str, last_id: int) -> str:
    """The token of the page after ``last_id`` in the list ``kind``."""
    return base64.urlsafe_b64encode(f"{kind}:{last_id}".encode()).decode().rstrip("=")


def last_id(kind: str, page_token: str | None) -> int | None:
    """The inverse of :func:`token`; ``None`` for the first page.

    Raises:
        InvalidPageToken: it was not made by :func:`token` for this list.
    """
    if page_token is None:
        return None
    try:
        padded = page_token.encode("ascii") + b"=" * (-len(page_token) % 4)
        made_for, _, number = base64.b64decode(padded, altchars=b"-_", validate=True).decode().partition(":")
    except (binascii.Error, UnicodeError):
        raise InvalidPageToken from None
    if made_for != kind or not (number.isascii() and number.isdigit()):
        raise InvalidPageToken
    if len(number) > _DIGITS or int(number) > LARGEST_ID:
        raise InvalidPageToken
    return int(number)
