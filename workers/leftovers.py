"""What killed processes and old attempts have left on this machine, and nobody will ask for again."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from pathlib import Path

import pooch

DAY = 86_400.0
LOGS_KEPT_SECONDS = 30 * DAY
MOST_LOG_BYTES = 500_000_000
"""Of the logs of all attempts together; the oldest go first."""
PART = "*.part"
"""Files that a process writes before it gives them their name."""


def remove_leftovers(logs: Path, *, cache: Path | None = None) -> None:
    """Remove half-written files of the cache that are a day old, and old logs of attempts.

    Args:
        logs: folder of the attempts' logs.
        cache: of this user; default that of data sets and programs.
    """
    kept_in = Path(pooch.os_cache("heunboard")) if cache is None else cache
    _remove(path for age, _, path in _oldest_first(kept_in.rglob(PART)) if age > DAY)
    found = _oldest_first(logs.glob("*.log"))
    excess = sum(size for _, size, _ in found) - MOST_LOG_BYTES
    for age, size, path in found:
        if age > LOGS_KEPT_SECONDS or excess > 0:
            _remove([path])
            excess -= size


def _oldest_first(paths: Iterable[Path]) -> list[tuple[float, int, Path]]:
    """Age in seconds, size and path of those that are files."""
    now, found = time.time(), []
    for path in paths:
        with contextlib.suppress(OSError):  # it went meanwhile
            status = path.stat()
            found.append((now - status.st_mtime, status.st_size, path))
    return sorted(found, reverse=True)


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        with contextlib.suppress(OSError):  # it went meanwhile, or belongs to somebody else
            path.unlink()
