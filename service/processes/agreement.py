"""What a process says and looks at when it starts: plug-ins that are broken, a server of another version."""

from __future__ import annotations

import logging

import httpx

from benchmarks.tasks import registry as tasks
from estimators import registry as estimators
from service.errors import InvalidSettings
from workers.version import PROTOCOL, package_version

ANSWER_SECONDS = 5.0

_log = logging.getLogger(__name__)


def tell_broken_plugins() -> None:
    """Log what installed packages announce and cannot be used; everything else works."""
    for one in (*estimators.broken(), *tasks.broken()):
        _log.error("a plug-in cannot be used: %s", one)


def require_server(url: str, *, transport: httpx.BaseTransport | None = None) -> None:
    """Refuse a server that understands other reports than the workers of this dispatcher send.

    One that does not answer yet is not looked at: reports are refused one by one, if they have to be.

    Args:
        url: its address, as workers reach it.
        transport: replaces the network, for tests.

    Raises:
        InvalidSettings: saying both versions and what to do.
    """
    try:
        with httpx.Client(transport=transport, trust_env=False, timeout=ANSWER_SECONDS) as client:
            said = client.get(f"{url.rstrip('/')}/healthz").raise_for_status().json()
        version, protocol = said["version"], said.get("protocol", 1)
    except (httpx.HTTPError, ValueError, KeyError, AttributeError, TypeError) as error:
        _log.info("the server at %s does not say its version yet: %s", url, error)
        return
    mine = package_version()
    if protocol != PROTOCOL:
        raise InvalidSettings(
            f"the server at {url} is Heunboard {version}, whose workers report by protocol {protocol}; this "
            f"dispatcher is {mine} and its workers report by protocol {PROTOCOL}: install the same version "
            "of heunboard for both, and start them again"
        )
    if version != mine:
        _log.warning(
            "the server at %s is Heunboard %s, this dispatcher %s; they go together", url, version, mine
        )
