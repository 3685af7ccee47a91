"""What ``grid`` and the entries of ``estimators`` say of training: ``optimizer`` and ``lr``.

An optimizer is an id, or a mapping with an id and parameters; several stand in a list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from benchmarks.engine.optimizers import registry
from benchmarks.sweep_file.components import look_up, read_grid
from benchmarks.sweep_file.grid import ComponentGrid
from benchmarks.sweep_file.issues import Issues, at, listed, shown
from benchmarks.sweep_file.limits import MAX_AXIS_VALUES, MAX_LR, MAX_OPTIMIZERS, MAX_TRIALS
from benchmarks.sweep_file.parameters import read_axis
from benchmarks.tasks import registry as tasks
from benchmarks.tasks.info import TaskInfo
from estimators.info import Parameter, Value

TRAINING = ("optimizer", "lr")
"""The keys that are read here."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Training:
    """Optimizers and learning rates, and what a task allows of them.

    Attributes:
        accepted: ids of the optimizers that the task takes.
        lr: the learning rate as a parameter.
        fixed: what the task fixes of optimizers' parameters.
        optimizers: grids of optimizers.
        lrs: learning rates.
    """

    accepted: tuple[str, ...]
    lr: Parameter
    fixed: Mapping[str, Value]
    optimizers: tuple[ComponentGrid, ...]
    lrs: tuple[float, ...]

    @classmethod
    def of_task(cls, info: TaskInfo | None) -> Training:
        """The defaults of a task; where it is not known, everything is accepted that any task accepts."""
        infos = [info] if info else [tasks.get(id) for id in tasks.available()]
        accepted = tuple(dict.fromkeys(id for each in infos for id in each.optimizers))
        return cls(
            accepted=accepted,
            lr=_learning_rate(infos[0].default_lr),
            fixed=info.fixed if info else {},
            optimizers=_with_fixed(
                (read_grid({}, registry.get(accepted[0]), "", Issues()),), info.fixed if info else {}
            ),
            lrs=(infos[0].default_lr,),
        )

    def replaced(self, block: Mapping[str, Any], path: str, issues: Issues) -> Training:
        """With what a block says of its own; ``path`` is its JSON pointer."""
        own = self
        if "optimizer" in block:
            found = read_optimizers(block["optimizer"], self.accepted, at(path, "optimizer"), issues)
            own = replace(own, optimizers=_with_fixed(found, self.fixed))
            _check_fixed(block["optimizer"], self.fixed, at(path, "optimizer"), issues)
        if "lr" in block:
            values = read_axis(block["lr"], self.lr, at(path, "lr"), issues, most=MAX_AXIS_VALUES)
            own = replace(own, lrs=cast(tuple[float, ...], values))
        return own


def _learning_rate(default: float) -> Parameter:
    return Parameter(
        name="lr",
        type=float,
        default=default,
        minimum=0.0,
        open_minimum=True,
        maximum=MAX_LR,
        lane=True,
        description="Learning rate.",
    )


def read_optimizers(
    raw: Any, accepted: Sequence[str], path: str, issues: Issues
) -> tuple[ComponentGrid, ...]:
    """The optimizers that a value of ``optimizer`` stands for, no setting of parameters in two of them.

    Args:
        raw: the value.
        accepted: ids that the task takes.
        path: JSON pointer of the value.
        issues: where mistakes are noted.
    """
    if not isinstance(raw, list):
        grid = _read(raw, accepted, path, issues)
        _check_contradictions([grid], [path], issues)
        return () if grid is None else (grid,)
    if not raw:
        issues.add(path, f"the list is empty; give at least one of {listed(accepted)}.")
    if len(raw) > MAX_OPTIMIZERS:
        most = f"at most {MAX_OPTIMIZERS:,} are allowed"
        issues.add(path, f"the list has {len(raw):,} entries, {most}; shorten it.")
        return ()
    paths = [at(path, i) for i in range(len(raw))]
    grids = [_read(item, accepted, place, issues) for item, place in zip(raw, paths, strict=True)]
    _check_contradictions(grids, paths, issues)
    _check_overlaps(grids, path, issues)
    return tuple(grid for grid in grids if grid is not None)


def _read(raw: Any, accepted: Sequence[str], path: str, issues: Issues) -> ComponentGrid | None:
    if isinstance(raw, dict):
        info = look_up(raw, path, "optimizer", registry.get, accepted, issues)
        return None if info is None else read_grid(raw, info, path, issues)
    if isinstance(raw, str) and raw in accepted:
        return read_grid({"id": raw}, registry.get(raw), path, issues)
    expected = f"expected one of {listed(accepted)}, or a mapping with such an id"
    issues.add(path, f"{expected}, got {shown(raw)}.", given=raw, names=accepted)
    return None


def _with_fixed(grids: tuple[ComponentGrid, ...], fixed: Mapping[str, Value]) -> tuple[ComponentGrid, ...]:
    """Optimizers with the parameters that the task's protocol fixes at their values there."""
    return tuple(
        replace(
            grid,
            axes=tuple((name, (fixed[name],) if name in fixed else values) for name, values in grid.axes),
        )
        for grid in grids
    )


def _check_fixed(raw: Any, fixed: Mapping[str, Value], path: str, issues: Issues) -> None:
    """Note parameters that the task's protocol fixes: another value would count for nothing."""
    entries = [(at(path, i), item) for i, item in enumerate(raw)] if isinstance(raw, list) else [(path, raw)]
    for place, entry in entries:
        for name in entry if isinstance(entry, dict) else ():
            if name in fixed and entry[name] not in (fixed[name], [fixed[name]]):
                message = f"{name} is fixed by the task, at {fixed[name]}; leave it out."
                issues.add(at(place, name), message)


def _check_contradictions(
    grids: Sequence[ComponentGrid | None], paths: Sequence[str], issues: Issues
) -> None:
    """Note combinations of values that cannot go together."""
    if sum(len(grid) for grid in grids if grid) > MAX_TRIALS:
        return  # refused for its size, and too large to look at every setting
    for grid, path in zip(grids, paths, strict=True):
        if not grid:
            continue  # noted already
        info = registry.get(grid.id)
        texts = (info.contradiction(component.values) for component in grid)
        if text := next((text for text in texts if text), ""):
            issues.add(path, f"{info.id}: {text}; change one of them.")


def _check_overlaps(grids: Sequence[ComponentGrid | None], path: str, issues: Issues) -> None:
    for i, grid in enumerate(grids):
        twin = next((j for j, other in enumerate(grids[:i]) if grid and other and grid.overlaps(other)), None)
        if grid is not None and twin is not None:
            issues.add(
                at(path, i),
                f"{grid.id} repeats settings of {at(path, twin)}; leave them out of one.",
            )
