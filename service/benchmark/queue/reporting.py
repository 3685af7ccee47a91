"""What workers report over HTTP: curve points and ends of trials, from several threads at once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx

from service.benchmark.queue.figures import COMPLETIONS, POINTS, Figure
from service.benchmark.queue.stage import Stage
from service.queue.cohorts import Queue
from workers.messages import (
    CurveSegment,
    Heartbeat,
    LaneTrial,
    MetricsBatch,
    Outcome,
    Provenance,
    StartReply,
    TrialOutcome,
)
from workers.ports import Claim

WORKERS = 8
METRICS = ("expected_loss", "train_loss")
SHAPES = {"40 batches of 1 epoch": (40, 1), "4 batches of 100 epochs": (4, 100)}
PROVENANCE = Provenance(
    heunboard="bench",
    git_revision=None,
    python="3",
    torch="2",
    device="cpu",
    driver=None,
    host="bench",
    threads=1,
    deterministic=True,
    seconds=1.0,
    peak_memory_bytes=None,
)


def reporting(stage: Stage, shape: str, attempts: int) -> Iterator[Figure]:
    """Claim cohorts and report on them, first all points, then all ends."""
    batches, epochs = SHAPES[shape]
    claims = Queue(stage.engine).claim(owner="bench", limit=attempts)
    with ThreadPoolExecutor(WORKERS) as pool:
        workers = list(pool.map(lambda claim: _Worker(stage.url, claim), claims))
        bodies = [worker.bodies(batches, epochs) for worker in workers]
        seconds = _timed(pool, [worker.metrics for worker in workers], bodies)
        points = sum(len(worker.trials) for worker in workers) * len(METRICS) * batches * epochs
        rate = points / seconds
        yield Figure(what=f"curve points, {shape}", where=stage.kind, value=rate, target=POINTS[stage.kind])
        ends = [[worker.end()] for worker in workers]
        seconds = _timed(pool, [worker.finish for worker in workers], ends)
        trials = sum(len(worker.trials) for worker in workers)
        yield Figure(what="  completions", where=stage.kind, value=trials / seconds, target=COMPLETIONS)
        for worker in workers:
            worker.http.close()


def _timed(pool: ThreadPoolExecutor, calls: list, bodies: list[list[bytes]]) -> float:  # type: ignore[type-arg]
    began = time.perf_counter()
    list(pool.map(lambda call, body: call(body), calls, bodies))
    return time.perf_counter() - began


class _Worker:
    """One attempt and its connection."""

    def __init__(self, url: str, claim: Claim) -> None:
        headers = {"Authorization": f"Bearer {claim.secret}", "Content-Type": "application/json"}
        base = f"{url}/internal/v1/attempts/{claim.attempt_id}/"
        self.http = httpx.Client(base_url=base, headers=headers, timeout=600.0)
        answer = self.http.post("start").raise_for_status()
        self.trials: tuple[LaneTrial, ...] = StartReply.model_validate_json(answer.content).trials

    def bodies(self, batches: int, epochs: int) -> list[bytes]:
        """Batches of metrics as they are sent."""
        return [self._batch(number, epochs) for number in range(batches)]

    def metrics(self, bodies: list[bytes]) -> None:
        """Send batches one after the other."""
        for body in bodies:
            self.http.post("metrics", content=body).raise_for_status()

    def finish(self, bodies: list[bytes]) -> None:
        """Send the end."""
        self.http.post("finish", content=bodies[0]).raise_for_status()

    def end(self) -> bytes:
        """Every trial succeeded."""
        metrics = dict.fromkeys(METRICS, 1.0)
        ends = (
            TrialOutcome(trial=trial.key, status="succeeded", metrics=metrics, seconds=1.0)
            for trial in self.trials
        )
        return Outcome(outcomes=tuple(ends), provenance=PROVENANCE).model_dump_json().encode()

    def _batch(self, number: int, epochs: int) -> bytes:
        values = tuple(number + i / epochs for i in range(epochs))
        segments = (
            CurveSegment(trial=trial.key, metric=metric, first=1 + number * epochs, values=values)
            for trial in self.trials
            for metric in METRICS
        )
        progress = Heartbeat(steps_done=number, steps_total=1000)
        batch = MetricsBatch(seq=number + 1, progress=progress, segments=tuple(segments))
        return batch.model_dump_json().encode()
