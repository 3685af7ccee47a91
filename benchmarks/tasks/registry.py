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
from estimators.plugins import Group

GROUP = "heunboard.tasks"

_BUILT_IN = {info.id: info for info in (POLYNOMIAL, CATEGORICAL_VAE, BERNOULLI_VAE, LISTOPS, GDAS)}
_PLUGINS = Group(
    name=GROUP,
    noun="task",
    kind=TaskInfo,
    kind_name="a benchmarks.tasks.info.TaskInfo",
    target="class",
    built_in=_BUILT_IN,
)


def available() -> tuple[str, ...]:
    """Ids of all registered tasks, those of installed plug-ins last.

    Raises:
        PluginError: a plug-in is broken or takes an id that exists; the message names its package.
    """
    return (*_BUILT_IN, *_installed())


def get(id: str) -> TaskInfo:
    """The registry entry of a task.

    Raises:
        KeyError: no task has this id; the message lists those there are.
        PluginError: as :func:`available`, for ids that are not built in.
    """
    if id in _BUILT_IN:
        return _BUILT_IN[id]
    try:
        return _installed()[id]
    except KeyError:
        raise KeyError(f"no task {id!r}; there are {', '.join(available())}") from None


@functools.cache
def _installed() -> dict[str, TaskInfo]:
    """Entries of installed plug-ins, looked up once: what is installed does not change under a process."""
    return _PLUGINS.installed()


def plugins(entry_points: Iterable[metadata.EntryPoint]) -> dict[str, TaskInfo]:
    """Entries announced by ``entry_points``, by id.

    Raises:
        PluginError: one does not load, is no :class:`TaskInfo`, or takes an id that exists.
    """
    return _PLUGINS.read(entry_points)


def forget_plugins() -> None:
    """Look up anew what is installed, at the next question: for programs that install while they run."""
    _installed.cache_clear()
