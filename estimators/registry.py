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
from estimators.score import entries as score

GROUP = "heunboard.estimators"

_BUILT_IN = {info.id: info for info in (*score.ENTRIES, *path.ENTRIES)}


class PluginError(RuntimeError):
    """An installed package announces an estimator that cannot be used."""


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
    return plugins(metadata.entry_points(group=GROUP))


def plugins(entry_points: Iterable[metadata.EntryPoint]) -> dict[str, EstimatorInfo]:
    """Entries announced by ``entry_points``, by id.

    Raises:
        PluginError: one does not load, is no :class:`EstimatorInfo`, or takes an id that exists.
    """
    found: dict[str, EstimatorInfo] = {}
    for entry_point in entry_points:
        info = _load(entry_point)
        if info.id in _BUILT_IN or info.id in found:
            raise PluginError(
                f"{_origin(entry_point)} registers an estimator {info.id!r}, an id that is already taken; "
                "uninstall one of the two packages or rename its estimator"
            )
        found[info.id] = info
    return found


def _load(entry_point: metadata.EntryPoint) -> EstimatorInfo:
    try:
        info = entry_point.load()
    except Exception as error:  # a foreign module may raise anything; the message must name its package
        raise PluginError(
            f"{_origin(entry_point)} does not load ({type(error).__name__}: {error}); repair or uninstall it"
        ) from error
    if not isinstance(info, EstimatorInfo):
        raise PluginError(
            f"{_origin(entry_point)} is {info!r}, expected an estimators.EstimatorInfo; let the entry "
            "point name the registry entry, not the function"
        )
    return info


def _origin(entry_point: metadata.EntryPoint) -> str:
    package = entry_point.dist.name if entry_point.dist is not None else "an unknown package"
    return f"entry point {entry_point.name} = {entry_point.value!r} of {package} (group {GROUP})"
