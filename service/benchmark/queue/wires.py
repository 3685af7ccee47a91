"""Reports over a port take what they take over a Unix socket, where nothing is held back to be joined."""

from __future__ import annotations

import time
from collections.abc import Iterator
from statistics import median

import httpx

from service.benchmark.queue.figures import BESIDE_SOCKET, FREE, Figure
from service.benchmark.queue.stage import Stage, on_a_socket
from service.queue.cohorts import Queue
from workers.messages import Heartbeat
from workers.ports import Claim

REPORTS = 6
ROUNDS = 30


def wires(stage: Stage) -> Iterator[Figure]:
    """Heartbeats of one attempt, six one after the other, in turns over the port and over the socket."""
    (claim,) = Queue(stage.engine).claim(owner="bench", limit=1)
    with (
        on_a_socket(stage) as path,
        _client(claim, stage.url, httpx.HTTPTransport()) as port,
        _client(claim, "http://127.0.0.1", httpx.HTTPTransport(uds=path)) as other,
    ):
        port.post("start").raise_for_status()
        rounds = [(_milliseconds(port), _milliseconds(other)) for _ in range(ROUNDS)]
    over_port, over_socket = (median(times) for times in zip(*rounds, strict=True))
    what = f"{REPORTS} reports over a port"
    yield Figure(what=what, where=stage.kind, value=over_port, target=FREE)
    ratio = over_port / over_socket
    yield Figure(what="  times those over a socket", where=stage.kind, value=ratio, target=BESIDE_SOCKET)


def _client(claim: Claim, url: str, transport: httpx.HTTPTransport) -> httpx.Client:
    headers = {"Authorization": f"Bearer {claim.secret}", "Content-Type": "application/json"}
    base = f"{url}/internal/v1/attempts/{claim.attempt_id}/"
    return httpx.Client(base_url=base, headers=headers, transport=transport, timeout=60.0)


def _milliseconds(http: httpx.Client) -> float:
    body = Heartbeat(steps_done=1, steps_total=1000).model_dump_json()
    began = time.perf_counter()
    for _ in range(REPORTS):
        http.post("heartbeat", content=body).raise_for_status()
    return 1000 * (time.perf_counter() - began)
