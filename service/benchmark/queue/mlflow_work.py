"""The same work by an MLflow server. Run by the Python of an environment that has it: prints JSON."""

import json
import sys
import time
from typing import Any

import mlflow  # type: ignore[import-not-found] # of another environment
from mlflow.entities import Metric, Param  # type: ignore[import-not-found]
from mlflow.tracking import MlflowClient  # type: ignore[import-not-found]

LARGEST_BATCH = 1000
"""Metrics that one request may have."""


def main(url: str, trials: int, steps: int) -> dict[str, Any]:
    """Rates a second: runs made with a parameter, runs ended, metrics logged in the largest batches."""
    client = MlflowClient(url)
    experiment = client.create_experiment(f"bench {time.time()}")
    began = time.perf_counter()
    runs = [client.create_run(experiment).info.run_id for _ in range(trials)]
    for number, run in enumerate(runs):
        client.log_batch(run, params=[Param("lr", str(number))])
    stored = trials / (time.perf_counter() - began)
    some = runs[:20]
    began = time.perf_counter()
    for run in some:
        for first in range(0, steps, LARGEST_BATCH):
            batch = range(first, min(first + LARGEST_BATCH, steps))
            client.log_batch(run, metrics=[Metric("loss", 0.5, 0, step) for step in batch])
    points = len(some) * steps / (time.perf_counter() - began)
    began = time.perf_counter()
    for run in runs:
        client.set_terminated(run)
    ended = trials / (time.perf_counter() - began)
    return {"version": mlflow.__version__, "stored": stored, "completions": ended, "points": points}


if __name__ == "__main__":
    sys.stdout.write(f"{json.dumps(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))}\n")
