"""The registry of estimators: plain data, importable without torch.

``get(id)`` returns an :class:`~estimators.info.EstimatorInfo`; ``available()`` lists the ids in the order
pages show them. Other packages add estimators through entry points of the group ``heunboard.estimators``,
each of which names an :class:`~estimators.info.EstimatorInfo`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from importlib import metadata

from estimators.info import EstimatorInfo
from estimators.path import entries as path
from estimators.plugins import Group, PluginError
from estimators.score import entries as score

__all__ = ["GROUP", "PluginError", "available", "get", "plugins"]

GROUP = "heunboard.estimators"

_BUILT_IN = {info.id: info for info in (*score.ENTRIES, *path.ENTRIES)}
_PLUGINS = Group(
    name=GROUP,
    noun="estimator",
    kind=EstimatorInfo,
    kind_name="an estimators.EstimatorInfo",
    target="function",
    built_in=_BUILT_IN,
)


def available() -> tuple[str, ...]:
    """Ids of all registered estimators, those of installed plug-ins last.

    Raises:
        PluginError: a plug-in is broken or takes an id that exists; the message names its package.
    """
    return (*_BUILT_IN, *_installed())


def get(id: str) -> EstimatorInfo:
    """The registry entry of an estimator.

    Raises:
        KeyError: no estimator has this id; the message lists those there are.
        PluginError: as :func:`available`, for ids that are not built in.
    """
    if id in _BUILT_IN:
        return _BUILT_IN[id]
    try:
        return _installed()[id]
    except KeyError:
        raise KeyError(f"no estimator {id!r}; there are {', '.join(available())}") from None


@functools.cache
def _installed() -> dict[str, EstimatorInfo]:
    """Entries of installed plug-ins, looked up once: what is installed does not change under a process."""
    return _PLUGINS.installed()


def plugins(entry_points: Iterable[metadata.EntryPoint]) -> dict[str, EstimatorInfo]:
    """Entries announced by ``entry_points``, by id.

    Raises:
        PluginError: one does not load, is no :class:`EstimatorInfo`, or takes an id that exists.
    """
    return _PLUGINS.read(entry_points)
