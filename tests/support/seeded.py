"""A small world for those who look at the whole API: sweeps that ended well and badly, a board, nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine

from benchmarks.sweep import read_sweep
from service.queue.cohorts import Queue
from service.resources import sweeps
from tests.support.web import compute, fail
from workers.ports import NodeReport

SWEEP: dict[str, Any] = {
    "name": "temperatures",
    "description": "How ReinMax depends on its temperature.",
    "owner": "ada",
    "tags": ["pilot"],
    "task": {"id": "polynomial", "latents": 4, "epochs": 2, "steps_per_epoch": 5},
    "estimators": ["st", {"id": "reinmax", "temperature": [1.0, 1.2]}],
    "seeds": 3,
}
LOSSES = {"st": {0: 0.1352, 1: 0.1287, 2: 0.1331}, "reinmax": {0: 0.1312, 1: 0.1301, 2: 0.1264}}
NODE = "worker-1"


@dataclass(frozen=True, slots=True)
class Seeded:
    """What there is.

    Attributes:
        sweep: id of a sweep that has finished.
        failed: id of one whose trials failed.
        board: id of the board of both.
        trial: key of a trial that has finished.
        node: name of a node.
    """

    sweep: str
    failed: str
    board: str
    trial: str
    node: str = NODE


def seed(engine: Engine) -> Seeded:
    """Fill an empty database."""
    for estimator in SWEEP["estimators"]:
        id = estimator if isinstance(estimator, str) else estimator["id"]
        compute(engine, read_sweep(SWEEP | {"name": id, "estimators": [estimator]}), LOSSES[id])
    finished = compute(engine, read_sweep(SWEEP))  # of which everything is known
    bad = SWEEP | {"name": "a large step", "estimators": ["st"], "grid": {"lr": 100.0}}
    failed = fail(engine, read_sweep(bad), error="ValueError: nothing is left", traceback="in step 3")
    Queue(engine).see_nodes([NodeReport(name=NODE, device="cpu", slots=2, free=2)])
    first = sweeps.list_trials(engine, finished, limit=1, page_token=None, state=None).trials[0]
    board = sweeps.list_boards(engine, finished, limit=1, page_token=None).boards[0]
    return Seeded(sweep=finished, failed=failed, board=board.id, trial=first.key)
