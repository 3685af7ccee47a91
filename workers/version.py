"""The version of this program; loads nothing else."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def package_version() -> str:
    """Version of the installed distribution, ``unknown`` for a bare source tree."""
    try:
        return version("heunboard")
    except PackageNotFoundError:
        return "unknown"
