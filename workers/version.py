"""The version of this program, and of how its parts speak to each other; loads nothing else."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

PROTOCOL = 1
"""Of reports of workers (:mod:`workers.messages`). Raised when a worker of before could not understand a
server of now, or the other way round; a report without a number is of protocol 1."""

PROTOCOL_HEADER, VERSION_HEADER = "Heunboard-Protocol", "Heunboard-Version"


class VersionMismatch(Exception):
    """Two parts of Heunboard that do not go together."""


def package_version() -> str:
    """Version of the installed distribution, ``unknown`` for a bare source tree."""
    try:
        return version("heunboard")
    except PackageNotFoundError:
        return "unknown"
