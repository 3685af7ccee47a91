"""Trial keys: golden, canonical, the same in every process; cohort signatures."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from typing import Any, Literal

import pytest

import estimators.registry
from benchmarks.engine.optimizers import registry as optimizers
from benchmarks.spec import (
    KEY_LENGTH,
    CellSpec,
    Component,
    Diagnostics,
    TrialSpec,
    cohort_signature,
    digest,
    optimizer_from_json,
)
from benchmarks.sweep import read_sweep
from benchmarks.tasks import registry as tasks
from estimators.info import Parameter, Value

TASK = Component(
    id="polynomial",
    version=1,
    parameters=(
        ("batch_size", 256),
        ("epochs", 40),
        ("latents", 128),
        ("p", 2.0),
        ("setting", "A"),
        ("steps_per_epoch", 200),
        ("target", 0.45),  # neutral: not in the key
    ),
)
REINMAX = Component(id="reinmax", version=1, parameters=(("temperature", 1.3),))
SPEC = TrialSpec(task=TASK, estimator=REINMAX, optimizer=optimizer_from_json("adam"), lr=1e-3, seed=0)

# A stored result is found by its key: these may never change. A registry version is raised instead.
GOLDEN_KEY = "903d26018e861a687c3db080cb4cc910"
GOLDEN_CELL_KEY = "f0b816a4a63be52a1ff0b5482270110b"
GOLDEN_TASK_KEY = "c2e061cf2bfc948208b4f8f4823d89c9"
CANONICAL = (
    '{"estimator":{"id":"reinmax","parameters":{"temperature":1.3},"version":1},"lr":0.001,'
    '"optimizer":"adam","seed":0,"task":{"id":"polynomial","parameters":{"batch_size":256,"epochs":40,'
    '"latents":128,"p":2.0,"setting":"A","steps_per_epoch":200},"version":1}}'
)


def test_golden_keys() -> None:
    assert SPEC.key == GOLDEN_KEY
    assert SPEC.cell_key == GOLDEN_CELL_KEY
    assert SPEC.task_key == GOLDEN_TASK_KEY
    assert len(SPEC.key) == KEY_LENGTH


def test_key_is_the_digest_of_the_canonical_text() -> None:
    assert digest(json.loads(CANONICAL)) == SPEC.key
    assert json.dumps(SPEC.to_json(), sort_keys=True, separators=(",", ":")) == CANONICAL


@pytest.mark.parametrize("hash_seed", ["0", "1", "4242"])
def test_key_is_the_same_in_another_process(hash_seed: str) -> None:
    program = (
        "import json, sys; from benchmarks.spec import TrialSpec;"
        "print(TrialSpec.from_json(json.load(sys.stdin)).key, 'torch' in sys.modules)"
    )
    # A reversed document: the order of keys must not matter either.
    document = json.dumps(dict(reversed(SPEC.to_json().items())))
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=document,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [GOLDEN_KEY, "False"]


# Key, cell, board and cohort of sweeps, computed by the revision before optimizers had parameters.
PINNED: list[tuple[dict[str, Any], str, str, str, str]] = [
    (
        {"task": {"id": "polynomial"}, "estimators": ["reinmax"], "seeds": [0]},
        "302fe1f151f98ab5e0c3ac7216129d05",
        "fa291daec0d39ae9fd64e28d1da4675a",
        "c2e061cf2bfc948208b4f8f4823d89c9",
        "e146decf1052351d2869d503ad3c92a5",
    ),
    (
        {
            "task": {
                "id": "polynomial",
                "p": 1.5,
                "setting": "B",
                "latents": 4,
                "batch_size": 4,
                "epochs": 2,
                "steps_per_epoch": 5,
            },
            "estimators": ["st"],
            "seeds": [3],
            "grid": {"optimizer": "radam", "lr": 0.01},
        },
        "5fa303e5273661e5f4c7c04154a028be",
        "bec4ec7741365b7dd7686b85f6f0df7e",
        "06183ac2e6dc8936d3c6cfb561f87918",
        "40abd4c24560d877be06293905614f03",
    ),
    (
        {
            "task": {"id": "categorical_vae"},
            "estimators": [{"id": "gumbel_rao", "num_draws": 10}],
            "seeds": [1],
        },
        "0ea0ce983ce4b1c7e51cfa6374f39273",
        "4b8cfcd6abc6de7ed41b70521108485e",
        "6b09d007e483831e2e57c786f04f2985",
        "c5fd7f5f21ce529963b8eb724ae0b32d",
    ),
    (
        {
            "task": {
                "id": "categorical_vae",
                "dataset": "fashion_mnist",
                "categories": 4,
                "latents": 8,
                "epochs": 3,
            },
            "estimators": ["exact"],
            "seeds": [0],
            "precision": "tf32",
        },
        "cb9c7a32bb8d402f02d0bdc5c6c667e0",
        "cf989e89ef9e2884862b1859b0f429ef",
        "abd8680719c802f978e86bd6ad4ecbce",
        "4532bbed485465ad1632d66b9707412a",
    ),
    (
        {"task": {"id": "polynomial"}, "estimators": ["rebar"], "seeds": [0]},
        "bd9361bb24b8e7d8f7ef5b214864f597",
        "3f87fd986292423e08b87dc96deae426",
        "c2e061cf2bfc948208b4f8f4823d89c9",
        "47570f66224f8a1c320af312aa66cb30",
    ),
]


@pytest.mark.parametrize(("document", "key", "cell", "board", "cohort"), PINNED)
def test_keys_of_stored_results_stay(
    monkeypatch: pytest.MonkeyPatch,
    document: dict[str, Any],
    key: str,
    cell: str,
    board: str,
    cohort: str,
) -> None:
    """Also of what could be submitted then and is refused now."""
    monkeypatch.setattr("benchmarks.sweep_file.validation.check_compatibility", lambda *_: None)
    (spec,) = read_sweep({"name": "any", **document}).expand()
    assert (spec.key, spec.cell_key, spec.task_key, cohort_signature(spec)) == (key, cell, board, cohort)


SGD = {"id": "sgd", "version": 1, "parameters": {"momentum": 0.9}}
DIAGNOSTICS = Diagnostics(epochs=(1, 2), draws=1024, examples=100)


@pytest.mark.parametrize(
    "change",
    [{}, {"optimizer": optimizer_from_json(SGD)}, {"diagnostics": DIAGNOSTICS}, {"precision": "tf32"}],
    ids=str,
)
def test_json_round_trip(change: dict[str, Any]) -> None:
    spec = dataclasses.replace(SPEC, **change)
    assert TrialSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
    assert CellSpec.from_json(json.loads(json.dumps(spec.cell.to_json()))).seeded(spec.seed) == spec
    assert spec.cell.cell_key == spec.cell_key


def test_canonical_form_of_an_optimizer() -> None:
    def written(optimizer: str | dict[str, Any]) -> Any:
        return dataclasses.replace(SPEC, optimizer=optimizer_from_json(optimizer)).to_json()["optimizer"]

    assert written("sgd") == "sgd"
    assert written({"id": "sgd", "version": 1, "parameters": {"momentum": 0.0}}) == "sgd"
    assert written(SGD) == SGD
    raised = {"id": "adam", "version": 2, "parameters": {}}
    assert written(raised) == raised
    assert optimizer_from_json("sgd").values["nesterov"] == "no"


def test_canonical_form_of_diagnostics() -> None:
    assert "diagnostics" not in SPEC.to_json()
    written = dataclasses.replace(SPEC, diagnostics=DIAGNOSTICS).to_json()["diagnostics"]
    assert written == {"epochs": [1, 2], "draws": 1024, "examples": 100}


LATER = Parameter(name="later", type=float, default=0.5, neutral=0.25, description="Declared later.")


@pytest.mark.parametrize(
    ("registry", "kind"), [(tasks, "task"), (estimators.registry, "estimator"), (optimizers, "optimizer")]
)
def test_a_parameter_declared_later_renames_nothing(
    registry: Any, kind: Literal["task", "estimator", "optimizer"], monkeypatch: pytest.MonkeyPatch
) -> None:
    stored, old_signature = SPEC.to_json(), cohort_signature(SPEC)
    id = stored[kind] if kind == "optimizer" else stored[kind]["id"]
    info = registry.get(id)
    later = dataclasses.replace(info, parameters=(*info.parameters, LATER))
    monkeypatch.setattr(registry, "get", lambda _: later)

    spec = TrialSpec.from_json(stored)
    assert getattr(spec, kind).values["later"] == 0.25
    assert (spec.key, cohort_signature(spec)) == (GOLDEN_KEY, old_signature)
    moved = dict(getattr(spec, kind).values) | {"later": 0.75}
    component = dataclasses.replace(getattr(spec, kind), parameters=tuple(sorted(moved.items())))
    changed: TrialSpec = dataclasses.replace(spec, **{kind: component})
    assert changed.key != GOLDEN_KEY
    assert cohort_signature(changed) != old_signature
    assert TrialSpec.from_json(changed.to_json()) == changed


def test_what_no_registry_knows_reads_back() -> None:
    stored = {
        "task": {"id": "gone", "version": 3, "parameters": {"size": 2}},
        "estimator": {"id": "gone_too", "version": 1, "parameters": {}},
        "optimizer": "lion",
        "lr": 0.1,
        "seed": 4,
    }
    spec = TrialSpec.from_json(stored)
    assert spec.to_json() == stored
    assert spec.key == digest(stored)
    assert (spec.task.values, spec.optimizer.id) == ({"size": 2}, "lion")
    with pytest.raises(KeyError, match="no task 'gone'"):
        cohort_signature(spec)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"lr": 2e-3},
        {"optimizer": optimizer_from_json("radam")},
        {"estimator": dataclasses.replace(REINMAX, version=2)},
        {"estimator": dataclasses.replace(REINMAX, parameters=(("temperature", 1.2),))},
        {"task": dataclasses.replace(TASK, version=2)},
        {"optimizer": optimizer_from_json({"id": "adam", "version": 1, "parameters": {"beta1": 0.5}})},
        {"diagnostics": DIAGNOSTICS},
        {"diagnostics": dataclasses.replace(DIAGNOSTICS, epochs=(1,))},
        {"diagnostics": dataclasses.replace(DIAGNOSTICS, draws=2)},
        {"diagnostics": dataclasses.replace(DIAGNOSTICS, examples=1)},
        {"diagnostics": dataclasses.replace(DIAGNOSTICS, estimators=(SPEC.estimator,))},
        {"precision": "tf32"},
    ],
)
def test_every_part_enters_the_key(change: dict[str, object]) -> None:
    other = TrialSpec(
        **{field.name: getattr(SPEC, field.name) for field in dataclasses.fields(SPEC)} | change
    )
    assert other.key != SPEC.key
    assert (other.cell_key == SPEC.cell_key) == ("seed" in change)
    assert (other.task_key == SPEC.task_key) == ("task" not in change)


def test_a_sweep_file_leads_to_the_golden_key() -> None:
    """Integers where floats are declared, text where numbers are, in any order of keys."""
    sweep = read_sweep(
        {
            "seeds": [0],
            "grid": {"lr": "1e-3", "optimizer": "adam"},
            "estimators": [{"temperature": "1.30", "id": "reinmax"}],
            "task": {"p": 2, "id": "polynomial", "epochs": 40.0},
            "name": "any",
        }
    )
    (spec,) = sweep.expand()
    first_version = dataclasses.replace(spec.estimator, version=REINMAX.version)
    assert dataclasses.replace(spec, estimator=first_version).key == GOLDEN_KEY


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"seed": 7, "lr": 0.5, "optimizer": optimizer_from_json("radam")}, True),
        ({"estimator": dataclasses.replace(REINMAX, parameters=(("temperature", 1.0),))}, True),
        (
            {
                "task": dataclasses.replace(
                    TASK, parameters=(*TASK.parameters[:1], ("epochs", 1), *TASK.parameters[2:])
                )
            },
            True,
        ),
        ({"task": dataclasses.replace(TASK, parameters=(("batch_size", 128), *TASK.parameters[1:]))}, False),
        ({"task": dataclasses.replace(TASK, version=2)}, False),
        ({"estimator": dataclasses.replace(REINMAX, id="st")}, False),
        ({"estimator": dataclasses.replace(REINMAX, version=2)}, False),
        ({"optimizer": optimizer_from_json("sgd")}, False),
        ({"diagnostics": DIAGNOSTICS}, False),
        ({"precision": "tf32"}, False),
    ],
)
def test_cohort_signature_ignores_lane_parameters_only(change: dict[str, object], same: bool) -> None:
    other = TrialSpec(
        **{field.name: getattr(SPEC, field.name) for field in dataclasses.fields(SPEC)} | change
    )
    assert (cohort_signature(other) == cohort_signature(SPEC)) is same


def test_optimizers_of_one_family_share_a_cohort_when_their_parameters_are_equal() -> None:
    def signature(id: str, **parameters: Value) -> str:
        optimizer = optimizer_from_json({"id": id, "version": 1, "parameters": parameters})
        return cohort_signature(dataclasses.replace(SPEC, optimizer=optimizer))

    assert signature("adam") == signature("radam") == cohort_signature(SPEC)
    assert signature("adam", beta1=0.5) == signature("radam", beta1=0.5)
    assert signature("sgd", momentum=0.5) == signature("sgd", momentum=0.5, nesterov="no")
    different = [
        signature("adam"),
        signature("adam", beta1=0.5),
        signature("adam", schedule="cosine"),
        signature("sgd"),
        signature("sgd", momentum=0.5),
        signature("rmsprop", momentum=0.5),
        signature("rmsprop"),
    ]
    assert len(set(different)) == len(different)
