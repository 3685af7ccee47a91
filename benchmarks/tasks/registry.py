"""The registry of tasks: plain data, importable without torch."""

from __future__ import annotations

from benchmarks.tasks.categorical_vae.info import INFO as CATEGORICAL_VAE
from benchmarks.tasks.info import TaskInfo
from benchmarks.tasks.polynomial.info import INFO as POLYNOMIAL

_BY_ID = {info.id: info for info in (POLYNOMIAL, CATEGORICAL_VAE)}


def available() -> tuple[str, ...]:
    """Ids of all registered tasks."""
    return tuple(_BY_ID)


def get(id: str) -> TaskInfo:
    """The registry entry of a task.

    Raises:
        KeyError: no task has this id; the message lists those there are.
    """
    try:
        return _BY_ID[id]
    except KeyError:
        raise KeyError(f"no task {id!r}; there are {', '.join(_BY_ID)}") from None
