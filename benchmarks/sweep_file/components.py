"""Blocks of a sweep file that name something registered: look-up of its id, grid of its parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from benchmarks.engine.optimizers.registry import OptimizerInfo
from benchmarks.sweep_file.grid import ComponentGrid
from benchmarks.sweep_file.issues import Issues, at, listed, shown
from benchmarks.sweep_file.parameters import read_axes
from benchmarks.tasks.info import TaskInfo
from estimators.info import EstimatorInfo

Info = TypeVar("Info", TaskInfo, EstimatorInfo, OptimizerInfo)


def look_up(
    block: Mapping[str, Any],
    path: str,
    noun: str,
    get: Callable[[str], Info],
    ids: Sequence[str],
    issues: Issues,
) -> Info | None:
    """The registry entry a block names, ``None`` after noting that it names none.

    Args:
        block: the mapping with the key ``id``.
        path: its JSON pointer.
        noun: what is registered, for messages.
        get: the registry.
        ids: those that may be named here.
        issues: where mistakes are noted.
    """
    id = block.get("id")
    if isinstance(id, str) and id in ids:
        return get(id)
    there_are = f"there are {listed(ids)}"
    if "id" not in block:
        issues.add(at(path, "id"), f"the key 'id' is missing; write which {noun} is meant: {there_are}.")
    else:
        issues.add(at(path, "id"), f"no {noun} {shown(id)}; {there_are}.", given=id, names=ids)
    return None


def read_grid(
    block: Mapping[str, Any], info: TaskInfo | OptimizerInfo, path: str, issues: Issues
) -> ComponentGrid:
    """The values of every parameter that ``info`` declares, defaults where the block names none."""
    axes = read_axes(block, info.parameters, path, issues, of=info.id)
    return ComponentGrid(id=info.id, version=info.version, axes=axes)
