"""Whether the estimators of a sweep can work on its task. Does not import torch."""

from __future__ import annotations

from benchmarks.sweep_file.grid import Sweep
from benchmarks.sweep_file.issues import Issues, at, listed
from benchmarks.tasks import registry as tasks
from estimators import registry


def check_variables(sweep: Sweep, issues: Issues) -> None:
    """Refuse estimators of binary variables on tasks whose variables have more categories."""
    facts = tasks.get(sweep.task.id).facts
    widest = max(
        space.categories for board in sweep.boards() for space in facts(board.values).spaces.values()
    )
    for i, entry in enumerate(sweep.estimators):
        if widest > 2 and registry.get(entry.estimator.id).properties.binary_only:
            issues.add(
                at("/estimators", i),
                f"{entry.estimator.id} works on variables of 2 categories, those of this task have {widest}; "
                f"leave it out, or use {listed(_for_any_variables(entry.estimator.id))}.",
            )


def _for_any_variables(id: str) -> list[str]:
    """Estimators that use the same of f as ``id`` and take variables of any number of categories."""
    infos = [registry.get(other) for other in registry.available()]
    kind = registry.get(id).properties.kind
    return [info.id for info in infos if info.properties.kind == kind and not info.properties.binary_only]
