"""Keys that are put together from parts are those of the specifications written out."""

from __future__ import annotations

import json
from typing import Any

import pytest

import estimators.registry
from benchmarks.keys import KeyMaker
from benchmarks.spec import cohort_signature, digest
from benchmarks.sweep import Sweep, read_sweep
from benchmarks.tasks import registry as tasks

SWEEPS: dict[str, dict[str, Any]] = {
    "many of everything": {
        "task": {
            "id": "polynomial",
            "latents": [3, 4],
            "p": [1.5, 2],
            "target": [0.45, 0.49],
            "epochs": [1, 2],
        },
        "estimators": [
            {"id": "reinmax", "temperature": [1.0, 1.3]},
            {"id": "gumbel_rao", "num_draws": [1, 10], "optimizer": ["adam", "radam"]},
        ],
        "grid": {"lr": [1e-3, 1e-10, 1.0]},
        "seeds": [0, 7, 2**31 - 1],
    },
    "optimizers with parameters": {
        "task": {"id": "polynomial", "latents": 3},
        "estimators": ["st"],
        "grid": {"optimizer": ["adam", {"id": "adam", "beta1": [0.5, 0.8]}, {"id": "sgd", "momentum": 0.9}]},
        "seeds": 2,
    },
    "diagnostics and another precision": {
        "task": {"id": "categorical_vae", "latents": 5},
        "estimators": ["st", "reinmax"],
        "seeds": 2,
        "precision": "tf32",
        "diagnostics": {"epochs": [1], "draws": 8, "examples": 4, "estimators": ["reinmax"]},
    },
    "a stand-in for data": {"task": {"id": "listops"}, "estimators": ["st"], "seeds": 1},
}


def sweep(name: str) -> Sweep:
    return read_sweep({"name": name} | SWEEPS[name])


@pytest.mark.parametrize("name", SWEEPS)
def test_they_are_the_same(name: str) -> None:
    maker, asked = KeyMaker(), sweep(name)
    found = [maker.keyed(spec, asked.seeds) for spec in asked.cells()]
    assert [one.spec for one in found] == list(asked.cells())
    for one in found:
        spec = one.spec
        assert (one.key, one.task_key, one.signature) == (
            spec.cell_key,
            spec.task_key,
            cohort_signature(spec),
        )
        assert one.seeds == {spec.seeded(seed).key: seed for seed in asked.seeds}
        assert one.steps == tasks.get(spec.task.id).total_steps(spec.task.values)
        assert json.loads(one.text) == spec.to_json()
        assert json.loads(one.task_text) == spec.task.to_json("task")
        assert digest(json.loads(one.text)) == one.key


@pytest.mark.parametrize("name", estimators.registry.available())
def test_every_estimator(name: str) -> None:
    """With every task it works on, at its defaults and with every parameter elsewhere."""
    maker = KeyMaker()
    for task in tasks.available():
        try:
            asked = read_sweep({"name": "x", "task": {"id": task}, "estimators": [name], "seeds": 1})
        except ValueError:
            continue
        for spec in asked.cells():
            one = maker.keyed(spec, [0])
            assert (one.key, one.signature) == (spec.cell_key, cohort_signature(spec))


def test_cells_in_any_order() -> None:
    """Boards and components that come again, and equal ones that are other objects."""
    maker = KeyMaker()
    for _ in range(2):
        for spec in reversed(list(sweep("many of everything").cells())):
            assert maker.keyed(spec, []).signature == cohort_signature(spec)
