"""What a request presents: a token or a browser's cookie, where it comes from, and which page asks."""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import Request

from service.access import credentials
from service.access.credentials import SIGN_IN, TOKEN, Credential
from service.access.rates import network
from service.dependencies import cookie_name
from service.errors import ForeignOrigin, NotAuthenticated

SAFE = ("GET", "HEAD", "OPTIONS", "TRACE")
"""Methods that change nothing."""


def token(request: Request) -> Credential | None:
    """The token in the Authorization header; ``None`` without such a header.

    Raises:
        NotAuthenticated: the header holds something else.
    """
    header = request.headers.get("authorization")
    if header is None:
        return None
    scheme, _, text = header.partition(" ")
    found = credentials.read(text.strip(), TOKEN) if scheme.lower() == "bearer" else None
    if found is None:
        raise NotAuthenticated(
            "what was sent as a token is none of this service: one begins with hb_, as "
            "`heunboard token create` printed it. Commands and the client send HEUNBOARD_TOKEN, or what is "
            "in HEUNBOARD_TOKEN_FILE; others the header `Authorization: Bearer hb_...`"
        )
    return found


def cookie(request: Request) -> Credential | None:
    """What the browser was given when somebody signed in."""
    return credentials.read(request.cookies.get(cookie_name(request), ""), SIGN_IN)


def address(request: Request) -> str:
    """Where the request comes from; of IPv6 the network."""
    return network(request.client.host) if request.client else ""


def require_own_page(request: Request, *, by_cookie: bool) -> None:
    """Refuse changes that a page of another server asks for through a browser.

    Browsers say so themselves, in ``Sec-Fetch-Site`` or at least in ``Origin``; other programs send neither.

    Raises:
        ForeignOrigin: a foreign page, or a cookie without either.
    """
    if request.method in SAFE:
        return
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        own = site in ("same-origin", "none")
    elif origin is not None:
        own = _host(origin) == request.headers.get("host", "").lower()
    else:
        own = not by_cookie
    if not own:
        raise ForeignOrigin(
            f"the request comes from {_shown(origin)}, and changes are made from this server's own pages "
            "alone; programs send a token and neither Origin nor Sec-Fetch-Site"
        )


def _host(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None


def _shown(origin: str | None) -> str:
    return "a page that does not say where it is from" if origin is None else f"a page of {origin[:200]!r}"
