"""Blocks of a sweep file that name something registered: look-up of its id, grid of its parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from benchmarks.engine.optimizers.registry import OptimizerInfo
from benchmarks.sweep_file.grid import ComponentGrid
from benchmarks.sweep_file.issues import Issues, at, listed, shown
from benchmarks.sweep_file.parameters import read_axes
from benchmarks.tasks.info import TaskInfo
from estimators import registry
from estimators.info import EstimatorInfo

Info = TypeVar("Info", TaskInfo, EstimatorInfo, OptimizerInfo)


def look_up(
    block: Mapping[str, Any],
    path: str,
    noun: str,
    get: Callable[[str], Info],
    ids: Sequence[str],
    issues: Issues,
    absence: Callable[[str], str] = lambda id: "",
) -> Info | None:
    """The registry entry a block names, ``None`` after noting that it names none.

    Args:
        block: the mapping with the key ``id``.
        path: its JSON pointer.
        noun: what is registered, for messages.
        get: the registry.
        ids: those that may be named here.
        issues: where mistakes are noted.
        absence: why something of this id is not in the registry, if that is known.
    """
    id = block.get("id")
    if isinstance(id, str) and id in ids:
        return get(id)
    there_are = f"there are {listed(ids)}"
    if "id" not in block:
        issues.add(at(path, "id"), f"the key 'id' is missing; write which {noun} is meant: {there_are}.")
    else:
        unknown(id, at(path, "id"), noun, ids, issues, absence)
    return None


def unknown(
    id: object, path: str, noun: str, ids: Sequence[str], issues: Issues, absence: Callable[[str], str]
) -> None:
    """Note that nothing of this id is registered, and why, where that is known."""
    if isinstance(id, str) and (why := absence(id)):
        issues.add(path, f"no {noun} {shown(id)} here: {why}.", given=id, names=ids)
    else:
        issues.add(path, f"no {noun} {shown(id)}; there are {listed(ids)}.", given=id, names=ids)


def look_up_estimator(
    entry: Any, path: str, issues: Issues
) -> tuple[Mapping[str, Any], EstimatorInfo] | None:
    """An entry of a list of estimators as its block and what it names; ``None`` after noting a mistake.

    Args:
        entry: an id, or a mapping with an id.
        path: its JSON pointer.
        issues: where mistakes are noted.
    """
    ids = registry.available()
    if isinstance(entry, str):
        if entry in ids:
            return {"id": entry}, registry.get(entry)
        # The pointer of a bare id is the entry itself, there is no /id below it.
        unknown(entry, path, "estimator", ids, issues, registry.absence)
        return None
    if not isinstance(entry, dict):
        issues.add(path, f"expected an estimator's id or a mapping with an id, got {shown(entry)}.")
        return None
    info = look_up(entry, path, "estimator", registry.get, ids, issues, registry.absence)
    return None if info is None else (entry, info)


def read_grid(
    block: Mapping[str, Any], info: TaskInfo | EstimatorInfo | OptimizerInfo, path: str, issues: Issues
) -> ComponentGrid:
    """The values of every parameter that ``info`` declares, defaults where the block names none."""
    axes = read_axes(block, info.parameters, path, issues, of=info.id)
    return ComponentGrid(id=info.id, version=info.version, axes=axes)
