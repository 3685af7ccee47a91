"""A trial as a sweep file, to compute it again elsewhere."""

from __future__ import annotations

from io import StringIO
from typing import Any

from ruamel.yaml import YAML

from benchmarks.spec import Component, Diagnostics, TrialSpec
from benchmarks.sweep_file.limits import MAX_NAME_LENGTH
from benchmarks.tasks import registry as tasks
from service.resources import describe


def sweep_file(spec: TrialSpec) -> str:
    """A sweep file (YAML) of one trial, with every parameter written out that a sweep may name."""
    training = {"optimizer": _optimizer(spec), "lr": spec.lr}
    document: dict[str, Any] = {
        "name": describe.trial_label(spec)[:MAX_NAME_LENGTH],
        "task": _block(spec.task),
        "estimators": [_block(spec.estimator) | training],
        "seeds": [spec.seed],
        "precision": spec.precision,
    }
    if spec.diagnostics is not None:
        document["diagnostics"] = _diagnostics(spec.diagnostics)
    text = StringIO()
    yaml = YAML()
    yaml.default_flow_style = None  # short lists and mappings on one line
    yaml.width = 110
    yaml.dump(document, text)
    return text.getvalue()


def _block(component: Component) -> dict[str, Any]:
    return {"id": component.id, **component.values}


def _optimizer(spec: TrialSpec) -> dict[str, Any]:
    """Without what the task fixes: a sweep that names it is refused."""
    id = spec.task.id
    fixed = tasks.get(id).fixed if id in tasks.available() else {}
    return {name: value for name, value in _block(spec.optimizer).items() if name not in fixed}


def _diagnostics(measured: Diagnostics) -> dict[str, Any]:
    others = [_block(other) for other in measured.estimators]
    counts = {"epochs": list(measured.epochs), "draws": measured.draws, "examples": measured.examples}
    return counts | ({"estimators": others} if others else {})
