"""The same work by Optuna's RDB storage. Run by the Python of an environment that has it: prints JSON."""

import json
import sys
import time
from typing import Any

import optuna  # type: ignore[import-not-found] # of another environment


def main(url: str, trials: int, steps: int) -> dict[str, Any]:
    """Rates a second: trials added, trials ended one by one, intermediate values reported."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(storage=url, study_name="bench")
    waiting = optuna.trial.TrialState.WAITING
    began = time.perf_counter()
    study.add_trials(
        [
            optuna.trial.create_trial(state=waiting, system_attrs={"fixed_params": {"lr": i / trials}})
            for i in range(trials)
        ]
    )
    added = trials / (time.perf_counter() - began)
    asked = [study.ask() for _ in range(min(trials, 20))]
    began = time.perf_counter()
    for trial in asked:
        for step in range(steps):
            trial.report(0.5, step)
    points = len(asked) * steps / (time.perf_counter() - began)
    began = time.perf_counter()
    for trial in asked:
        study.tell(trial, 1.0)
    ended = len(asked) / (time.perf_counter() - began)
    return {"version": optuna.__version__, "stored": added, "completions": ended, "points": points}


if __name__ == "__main__":
    sys.stdout.write(f"{json.dumps(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))}\n")
