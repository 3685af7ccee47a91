"""What the steps of a trial follow from, known before a step is recorded."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

import benchmarks
import estimators
from benchmarks.spec import TrialSpec, digest
from benchmarks.tasks import registry as tasks

_PACKAGES = (benchmarks, estimators)
_SOURCES = (".py", ".cpp")


def identity(trial: TrialSpec) -> str | None:
    """Digest of the source code and of the task; equal for trials whose parameters by lane alone differ.

    ``None`` where task or estimator come from another package, of whose source nothing is known. Estimator,
    optimizers, precision and shapes are told by others.
    """
    task = tasks.get(trial.task.id)
    estimator = estimators.registry.get(trial.estimator.id)
    if not all(_is_ours(info.target) for info in (task, estimator)):
        return None
    data = trial.task.to_json("task")
    by_lane = {parameter.name for parameter in task.parameters if parameter.lane}
    shared = {name: value for name, value in data["parameters"].items() if name not in by_lane}
    return digest({"sources": sources(), "task": data | {"parameters": shared}})


@functools.cache
def sources() -> str:
    """Digest of all source code of this program that a step can consist of."""
    found = hashlib.sha256()
    for package in _PACKAGES:
        folder = Path(package.__path__[0])
        for file in sorted(path for path in folder.rglob("*") if path.suffix in _SOURCES):
            found.update(str(file.relative_to(folder)).encode())
            found.update(file.read_bytes())
    return found.hexdigest()


def _is_ours(target: str) -> bool:
    return target.partition(".")[0] in {package.__name__ for package in _PACKAGES}
