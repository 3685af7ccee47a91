"""The section ``diagnostics`` of a sweep file: what is measured of gradients, and when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from benchmarks.spec import Component, Diagnostics
from benchmarks.sweep_file.components import look_up_estimator, read_grid
from benchmarks.sweep_file.grid import ComponentGrid
from benchmarks.sweep_file.issues import Issues, at
from benchmarks.sweep_file.limits import MAX_AXIS_VALUES, MAX_DRAWS, MAX_EXAMPLES
from benchmarks.sweep_file.parameters import read_axis, read_value
from benchmarks.sweep_file.schema import DiagnosticsSection
from estimators.info import Parameter

_PATH = "/diagnostics"
_EPOCH = Parameter(name="epochs", type=int, default=None, minimum=1, description="An epoch, counted from 1.")
_DRAWS = Parameter(
    name="draws",
    type=int,
    default=1024,
    minimum=2,
    maximum=MAX_DRAWS,
    multiple_of=2,
    description="Repeated estimates; halves are compared, so an even number.",
)
_EXAMPLES = Parameter(
    name="examples", type=int, default=100, minimum=1, maximum=MAX_EXAMPLES, description="Of the fixed batch."
)


def read_diagnostics(
    section: DiagnosticsSection | None, task: ComponentGrid, issues: Issues
) -> Diagnostics | None:
    """The diagnostics of every trial; ``None`` where the file has none or a mistake was noted.

    Args:
        section: as it was written.
        task: the boards; no epoch may lie behind the last of any of them.
        issues: where mistakes are noted.
    """
    if section is None:
        return None
    epochs = read_axis(section.epochs, _EPOCH, at(_PATH, "epochs"), issues, most=MAX_AXIS_VALUES)
    _check_epochs(section.epochs, cast(tuple[int, ...], epochs), task, issues)
    draws = read_value(section.draws, _DRAWS, at(_PATH, "draws"), issues)
    examples = read_value(section.examples, _EXAMPLES, at(_PATH, "examples"), issues)
    if not epochs or draws is None or examples is None:
        return None
    # In order, so that the same diagnostics have the same key.
    return Diagnostics(
        epochs=tuple(sorted(cast(tuple[int, ...], epochs))),
        draws=int(draws),
        examples=int(examples),
        estimators=_read_estimators(section.estimators, at(_PATH, "estimators"), issues),
    )


def _read_estimators(entries: Sequence[Any], path: str, issues: Issues) -> tuple[Component, ...]:
    """Those that are measured besides the one that trains, in order of their ids."""
    found: dict[str, Component] = {}
    for i, entry in enumerate(entries):
        component = _read_estimator(entry, at(path, i), issues)
        if component is not None and component.id in found:
            issues.add(at(path, i), f"{component.id} stands in the list twice; leave one out.")
        elif component is not None:
            found[component.id] = component
    return tuple(found[id] for id in sorted(found))


def _read_estimator(entry: Any, path: str, issues: Issues) -> Component | None:
    named = look_up_estimator(entry, path, issues)
    if named is None:
        return None
    block, info = named
    if info.stateful:
        issues.add(
            path,
            f"{info.id} learns during training, so it cannot be measured where another one trains; "
            "leave it out, or let it train.",
        )
        return None
    grid = read_grid(block, info, path, issues)
    for name, values in grid.axes:
        if len(values) > 1:
            issues.add(at(path, name), f"expected one value, got {len(values)}; here is no grid.")
    return next(iter(grid)) if len(grid) == 1 else None


def _check_epochs(raw: object, epochs: tuple[int, ...], task: ComponentGrid, issues: Issues) -> None:
    lengths = dict(task.axes).get("epochs", ())
    shortest = min(map(int, lengths), default=None)
    for i, epoch in enumerate(epochs):
        if shortest is not None and epoch > shortest:
            path = at(_PATH, "epochs")
            issues.add(
                at(path, i) if isinstance(raw, list) else path,
                f"{epoch} is out of range; the task has {shortest:,} epochs here, leave later ones out.",
            )
