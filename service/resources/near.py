"""Names near to what somebody wrote."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from benchmarks.tasks import registry as tasks
from estimators import registry as estimators

SHOWN = 5
NEAR = 0.7
"""Similarity from which a name is near, of 1: of ten letters, seven stand in both in the same order."""


def near_estimators(name: str) -> list[str]:
    """Ids of the estimators whose id or title is near, the nearest first."""
    return near(name, {id: (id, estimators.get(id).title) for id in estimators.available()})


def near_tasks(name: str) -> list[str]:
    """Ids of the tasks whose id or title is near, the nearest first."""
    return near(name, {id: (id, tasks.get(id).title) for id in tasks.available()})


def near(name: str, names: Mapping[str, tuple[str, ...]]) -> list[str]:
    """The keys with a name that is similar, or begins with what was given, the nearest first."""
    given = name.casefold()[:100]
    alike = {key: max(_likeness(given, one.casefold()) for one in each) for key, each in names.items()}
    return sorted((key for key in names if alike[key] >= NEAR), key=lambda key: (-alike[key], key))[:SHOWN]


def _likeness(given: str, name: str) -> float:
    return 1.0 if given and name.startswith(given) else difflib.SequenceMatcher(None, given, name).ratio()


def advice(names: list[str], otherwise: str) -> str:
    """What a message says after that there is no such name."""
    return f"did you mean {' or '.join(names)}?" if names else otherwise
