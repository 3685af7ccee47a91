"""A plain script of one trial, run as a process."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest

from benchmarks.commands.speed import script
from benchmarks.datasets import loading
from benchmarks.spec import TrialSpec
from benchmarks.sweep import read_sweep
from tests.support.trials import made_up_images


def tiny(task: str, *, epochs: int, **parameters: float) -> TrialSpec:
    """The only trial of a sweep."""
    sweep = {
        "name": "tiny",
        "task": {"id": task, "epochs": epochs, **parameters},
        "estimators": [{"id": "reinmax", "temperature": 1.0}],
        "grid": {"optimizer": "adam", "lr": 0.1},
        "seeds": [7],
    }
    (trial,) = read_sweep(sweep).expand()
    return trial


def test_a_script_trains_its_trial_and_prints_finite_losses() -> None:
    spec = tiny("polynomial", epochs=3, latents=4, batch_size=8, steps_per_epoch=5)
    command = [sys.executable, "-m", "benchmarks.commands.speed.script", script.order(spec)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    losses = json.loads(said)
    assert losses == script.train(json.loads(script.order(spec)))
    assert set(losses) == {"train_loss", "expected_loss"}
    assert 0.45**2 < losses["expected_loss"] < 0.55**2


def test_a_script_trains_all_epochs() -> None:
    """f is smallest at x = 0, and 20 updates of 0.1 move logits by about 2."""
    specs = [tiny("polynomial", epochs=n, latents=4, batch_size=256, steps_per_epoch=20) for n in (1, 2, 3)]
    losses = [script.train(json.loads(script.order(spec)))["expected_loss"] for spec in specs]
    assert losses[0] > losses[1] + 0.001
    assert losses[1] > losses[2] + 0.0001


def test_a_script_of_the_vae_evaluates_on_test_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "load", lambda name: made_up_images())
    spec = tiny("categorical_vae", epochs=2, categories=3, latents=2, batch_size=20)
    losses = script.train(json.loads(script.order(spec)))
    assert set(losses) == {"train_loss", "test_loss"}
    assert all(map(math.isfinite, losses.values()))
    assert losses["test_loss"] < 784 * math.log(2) * 1.2, "about that of grey images"
