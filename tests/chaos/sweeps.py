"""What is computed in chaos: trials of a few seconds of two tasks, sweep after sweep, no two the same."""

from __future__ import annotations

from typing import Any

SEEDS = 4
MANY = 10_000
"""More than any campaign gets through: about twelve a minute."""
KINDS = 3
"""The first so many sweeps need all programs that any needs."""

POLYNOMIAL = {"id": "polynomial", "latents": 16, "epochs": 100, "steps_per_epoch": 200}
VAE = {"id": "categorical_vae", "dataset": "mnist", "categories": 4, "latents": 2, "batch_size": 5000}


def _sweep(number: int) -> dict[str, Any]:
    """With seeds that no other has; every third sweep is of a VAE."""
    if number % KINDS == KINDS - 1:
        return {"name": f"VAE {number}", "task": VAE | {"epochs": 1}, "estimators": ["st"], "seeds": [number]}
    seeds = list(range(number * SEEDS, (number + 1) * SEEDS))
    return {"name": f"chaos {number}", "task": POLYNOMIAL, "estimators": ["st", "reinmax"], "seeds": seeds}


SWEEPS = [_sweep(number) for number in range(MANY)]
