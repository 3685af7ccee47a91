"""Trial keys: golden, canonical, the same in every process; cohort signatures."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys

import pytest

from benchmarks.spec import KEY_LENGTH, Component, TrialSpec, cohort_signature, digest, optimizer_from_json
from benchmarks.sweep import read_sweep

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


def test_json_round_trip() -> None:
    assert TrialSpec.from_json(json.loads(json.dumps(SPEC.to_json()))) == SPEC


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"lr": 2e-3},
        {"optimizer": optimizer_from_json("radam")},
        {"estimator": dataclasses.replace(REINMAX, version=2)},
        {"estimator": dataclasses.replace(REINMAX, parameters=(("temperature", 1.2),))},
        {"task": dataclasses.replace(TASK, version=2)},
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
    ],
)
def test_cohort_signature_ignores_lane_parameters_only(change: dict[str, object], same: bool) -> None:
    other = TrialSpec(
        **{field.name: getattr(SPEC, field.name) for field in dataclasses.fields(SPEC)} | change
    )
    assert (cohort_signature(other) == cohort_signature(SPEC)) is same
