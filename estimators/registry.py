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
from estimators.plugins import Broken, Found, Group, Package, PluginError
from estimators.score import entries as score

__all__ = [
    "CONTRACT",
    "GROUP",
    "PluginError",
    "absence",
    "available",
    "broken",
    "forget_plugins",
    "get",
    "package",
    "plugins",
]

GROUP = "heunboard.estimators"

CONTRACT = 1
"""What plug-ins are written for, and say in the ``contract`` of their entries; raised when they have to be
changed."""

_BUILT_IN = {info.id: info for info in (*score.ENTRIES, *path.ENTRIES)}
_PLUGINS = Group(
    name=GROUP,
    noun="estimator",
    kind=EstimatorInfo,
    kind_name="an estimators.EstimatorInfo",
    target="function",
    contract=CONTRACT,
    built_in=_BUILT_IN,
)


def available() -> tuple[str, ...]:
    """Ids of all registered estimators, those of installed plug-ins last."""
    return (*_BUILT_IN, *_installed().entries)


def get(id: str) -> EstimatorInfo:
    """The registry entry of an estimator.

    Raises:
        KeyError: no estimator has this id; the message lists those there are.
        PluginError: a plug-in announces it and is broken; the message names its package.
    """
    if id in _BUILT_IN:
        return _BUILT_IN[id]
    found = _installed()
    if id in found.entries:
        return found.entries[id]
    found.require_whole(id)
    raise KeyError(f"no estimator {id!r}; there are {', '.join(available())}")


def package(id: str) -> Package | None:
    """The package that an estimator comes from; ``None`` for a built-in or an unknown one."""
    return _installed().packages.get(id)


def fingerprint(id: str) -> str | None:
    """A digest of the sources of the package that an estimator comes from; ``None`` for a built-in or an
    unknown one, and where they cannot be read."""
    return _installed().fingerprint(id)


def broken() -> tuple[Broken, ...]:
    """What installed packages announce and cannot be used."""
    return _installed().broken


def absence(id: str) -> str:
    """Why this process does not have an estimator that somebody names: its plug-in is broken, or was
    installed after the process had started. Empty where nothing is known of it."""
    return _PLUGINS.absence(id, _installed())


@functools.cache
def _installed() -> Found[EstimatorInfo]:
    """What plug-ins announce, looked up once: what is installed does not change under a process."""
    return _PLUGINS.installed()


def plugins(entry_points: Iterable[metadata.EntryPoint]) -> Found[EstimatorInfo]:
    """What these entry points announce, and what of it is broken."""
    return _PLUGINS.read(entry_points)


def forget_plugins() -> None:
    """Look up anew what is installed, at the next question: for programs that install while they run."""
    _installed.cache_clear()
