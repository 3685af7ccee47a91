"""What is computed in chaos: trials of a few seconds of two tasks, sweep after sweep, no two the same."""

from __future__ import annotations

from typing import Any

SEEDS = 4
MANY = 500
KINDS = 3
"""The first so many sweeps need all programs that any needs."""

POLYNOMIAL = {"id": "polynomial", "latents": 16, "epochs": 100, "steps_per_epoch": 200}
VAE = {"id": "categorical_vae", "dataset": "mnist", "categories": 4, "latents": 2, "batch_size": 2000}


def _sweep(number: int) -> dict[str, Any]:
    """Every third sweep is of VAEs, each with seeds that no other has."""
    task = VAE | {"epochs": 1} if number % KINDS == 2 else POLYNOMIAL
    seeds = list(range(number * SEEDS, (number + 1) * SEEDS))
    return {"name": f"chaos {number}", "task": task, "estimators": ["st", "reinmax"], "seeds": seeds}


SWEEPS = [_sweep(number) for number in range(MANY)]
