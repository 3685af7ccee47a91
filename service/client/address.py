"""Where the server is, and the access token that it is shown."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

import httpx

from service.client.errors import InvalidAddress
from service.home import default_data_home

DEFAULT_URL = "http://127.0.0.1:8000"
ADDRESS_FILE = "address"
"""In the data directory, written by ``heunboard up``."""
TOKEN, TOKEN_FILE = "HEUNBOARD_TOKEN", "HEUNBOARD_TOKEN_FILE"

_TOKEN = re.compile(r"[\x21-\x7e]+")  # what a header can hold, without spaces


class Address(NamedTuple):
    """Where a server is, and, for messages, where that is said; empty where it was an argument."""

    url: str
    origin: str


def default_url() -> str:
    """``HEUNBOARD_URL``, else where ``heunboard up`` says it listens, else port 8000 of this machine."""
    return find_address(None).url


def find_address(url: str | None) -> Address:
    """``url`` or the default one.

    Raises:
        InvalidAddress: it is none, or holds a user name or password, which would be shown with it.
    """
    found = Address(url, "") if url else _default()
    origin = f" ({found.origin})" if found.origin else ""
    try:
        parsed = httpx.URL(found.url)
    except httpx.InvalidURL as error:
        raise InvalidAddress(f"{found.url!r}{origin} is no address of a server: {error}") from error
    if parsed.userinfo:
        raise InvalidAddress(
            f"the address of the server{origin} holds a user name or password; leave them out and set "
            f"{TOKEN} or {TOKEN_FILE}, or give token="
        )
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise InvalidAddress(
            f"{found.url!r}{origin} is no address of a server; expected one as http://127.0.0.1:8000"
        )
    return Address(found.url.rstrip("/"), found.origin)


def _default() -> Address:
    if url := os.environ.get("HEUNBOARD_URL"):
        return Address(url, "HEUNBOARD_URL")
    file = Path(os.environ.get("HEUNBOARD_DATA_HOME") or default_data_home()) / ADDRESS_FILE
    try:
        return Address(file.read_text().strip(), f"the address in {file}")
    except FileNotFoundError:
        return Address(DEFAULT_URL, "the default")


def find_token(token: str | None) -> str | None:
    """``token``, else ``HEUNBOARD_TOKEN``, else what the file holds that ``HEUNBOARD_TOKEN_FILE`` names.

    Raises:
        InvalidAddress: the file cannot be read, or what was found cannot be sent. The message does not hold
            it.
    """
    if token is not None:
        return _checked(token, "the argument")
    if given := os.environ.get(TOKEN):
        return _checked(given, TOKEN)
    if file := os.environ.get(TOKEN_FILE):
        try:
            return _checked(Path(file).read_text(encoding="ascii").strip(), f"{TOKEN_FILE} ({file})")
        except OSError as error:
            raise InvalidAddress(
                f"{TOKEN_FILE} names {file}, which cannot be read: {error.strerror}"
            ) from error
        except UnicodeDecodeError:
            raise InvalidAddress(_unusable(f"{TOKEN_FILE} ({file})")) from None
    return None


def _checked(token: str, where: str) -> str:
    if not _TOKEN.fullmatch(token):
        raise InvalidAddress(_unusable(where))
    return token


def _unusable(where: str) -> str:
    return (
        f"the access token from {where} is empty or holds a space, a line end or a sign that no token has; "
        "expected what `heunboard token create` printed"
    )
