"""The registry of tasks: plain data, importable without torch.

``get(id)`` returns a :class:`~benchmarks.tasks.info.TaskInfo`; ``available()`` lists the ids in the order
pages show them. Other packages add tasks through entry points of the group ``heunboard.tasks``, each of which
names a :class:`~benchmarks.tasks.info.TaskInfo`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from importlib import metadata

from benchmarks.tasks.bernoulli_vae.info import INFO as BERNOULLI_VAE
from benchmarks.tasks.categorical_vae.info import INFO as CATEGORICAL_VAE
from benchmarks.tasks.gdas.info import INFO as GDAS
from benchmarks.tasks.info import TaskInfo
from benchmarks.tasks.listops.info import INFO as LISTOPS
from benchmarks.tasks.polynomial.info import INFO as POLYNOMIAL
from estimators.plugins import Broken, Found, Group, Package

GROUP = "heunboard.tasks"

CONTRACT = 1
"""What plug-ins are written for, and say in the ``contract`` of their entries; raised when they have to be
changed."""

_BUILT_IN = {info.id: info for info in (POLYNOMIAL, CATEGORICAL_VAE, BERNOULLI_VAE, LISTOPS, GDAS)}
_PLUGINS = Group(
    name=GROUP,
    noun="task",
    kind=TaskInfo,
    kind_name="a benchmarks.tasks.info.TaskInfo",
    target="class",
    contract=CONTRACT,
    built_in=_BUILT_IN,
)


def available() -> tuple[str, ...]:
    """Ids of all registered tasks, those of installed plug-ins last."""
    return (*_BUILT_IN, *_installed().entries)


def get(id: str) -> TaskInfo:
    """The registry entry of a task.

    Raises:
        KeyError: no task has this id; the message lists those there are.
        PluginError: a plug-in announces it and is broken; the message names its package.
    """
    if id in _BUILT_IN:
        return _BUILT_IN[id]
    found = _installed()
    if id in found.entries:
        return found.entries[id]
    found.require_whole(id)
    raise KeyError(f"no task {id!r}; there are {', '.join(available())}")


def package(id: str) -> Package | None:
    """The package that a task comes from; ``None`` for a built-in or an unknown one."""
    return _installed().packages.get(id)


def fingerprint(id: str) -> str | None:
    """A digest of the sources of the package that a task comes from; ``None`` for a built-in or an unknown
    one, and where they cannot be read."""
    return _installed().fingerprint(id)


def broken() -> tuple[Broken, ...]:
    """What installed packages announce and cannot be used."""
    return _installed().broken


def absence(id: str) -> str:
    """Why this process does not have a task that somebody names: its plug-in is broken, or was installed
    after the process had started. Empty where nothing is known of it."""
    return _PLUGINS.absence(id, _installed())


@functools.cache
def _installed() -> Found[TaskInfo]:
    """What plug-ins announce, looked up once: what is installed does not change under a process."""
    return _PLUGINS.installed()


def plugins(entry_points: Iterable[metadata.EntryPoint]) -> Found[TaskInfo]:
    """What these entry points announce, and what of it is broken."""
    return _PLUGINS.read(entry_points)


def forget_plugins() -> None:
    """Look up anew what is installed, at the next question: for programs that install while they run."""
    _installed.cache_clear()
