"""Small sweeps and the reports of attempts that compute them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from benchmarks.sweep import Sweep, read_sweep
from workers.messages import LaneTrial, Outcome, Provenance, TrialOutcome

PROVENANCE = Provenance(
    heunboard="0.1.0",
    git_revision=None,
    python="3.11",
    torch="2.6",
    device="cpu",
    driver=None,
    host="test",
    threads=1,
    deterministic=True,
    seconds=1.0,
    peak_memory_bytes=4096,
    evaluations=3,
    phases={"steps": 7.5, "evaluation": 0.5},
)

COMPILED = PROVENANCE.model_copy(
    update={"executor": "loop", "compile_seconds": 2.0, "first_step_seconds": 4.0}
)
FELL_BACK = COMPILED.model_copy(
    update={"executor": "eager", "fallback": ("loop: InvalidCxxCompiler: No working C++ compiler found",)}
)


def small_sweep(**changes: Any) -> Sweep:
    """A polynomial sweep: straight-through and ReinMax, three seeds, ten steps, unless told otherwise."""
    document: dict[str, Any] = {
        "name": "small",
        "task": {"id": "polynomial", "latents": 4, "epochs": 2, "steps_per_epoch": 5},
        "estimators": ["st", "reinmax"],
        "seeds": 3,
    }
    return read_sweep(document | changes)


def outcome(trials: tuple[LaneTrial, ...], values: Mapping[int, float] | None = None) -> Outcome:
    """Every trial succeeded with ``expected_loss`` by seed (default: the seed itself)."""
    return Outcome(
        outcomes=tuple(
            TrialOutcome(
                trial=trial.key,
                status="succeeded",
                metrics={
                    "expected_loss": (values or {}).get(trial.spec["seed"], float(trial.spec["seed"])),
                    "train_loss": 1.0,
                },
                seconds=0.5,
            )
            for trial in trials
        ),
        provenance=PROVENANCE,
    )


class SteppedClock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = datetime(2030, 1, 1, tzinfo=UTC)

    def __call__(self, _: Connection) -> datetime:
        return self.now

    def pass_seconds(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)
