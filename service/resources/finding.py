"""Boards and trials whose ids begin as somebody wrote."""

from __future__ import annotations

import re
from collections.abc import Callable

from sqlalchemy import Engine

from benchmarks.spec import KEY_LENGTH
from service.storage.engine import read
from service.storage.queries import prefixes

SHORTEST = 4
"""Letters of a key that are enough to look for it."""

SHOWN = 5

_PREFIX = re.compile(rf"[0-9a-f]{{{SHORTEST},{KEY_LENGTH - 1}}}")


def boards_from(engine: Engine, prefix: str) -> list[str]:
    """Ids of boards that begin so; none for a text that is no beginning of an id."""
    return _found(engine, prefix, prefixes.board_keys)


def trials_from(engine: Engine, prefix: str) -> list[str]:
    """Likewise of trials."""
    return _found(engine, prefix, prefixes.trial_keys)


def _found(engine: Engine, prefix: str, keys: Callable[..., list[str]]) -> list[str]:
    if not _PREFIX.fullmatch(prefix):
        return []
    with read(engine) as connection:
        return keys(connection, prefix, limit=SHOWN)
