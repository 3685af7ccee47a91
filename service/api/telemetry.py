"""Numbers for Prometheus: how long requests take, and what the queue holds when it is asked."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from http import HTTPStatus

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Engine
from sqlalchemy.pool import QueuePool
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.resources.nodes import list_nodes
from service.resources.schemas import PREFIX
from service.storage.engine import Clock, database_clock, read
from service.storage.queries import gauges
from workers.version import package_version

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10)
"""Upper ends in seconds; 0.15 is what a board may take."""

EVENTS = "text/event-stream"

UNKNOWN_ROUTE = "unknown"
"""Stands for paths that no route has: what strangers ask for must not become labels."""


class Telemetry:
    """What one web process measures, in a registry of its own.

    Args:
        engine: the database that is asked when somebody reads the numbers.
        clock: what time it is there.
    """

    def __init__(self, engine: Engine, *, clock: Clock = database_clock) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Queue(engine, clock))
        self._requests = Histogram(
            "heunboard_http_request_seconds",
            "Time from a request's head to the end of its answer, of a stream of events to its beginning.",
            ("method", "route", "status"),
            buckets=BUCKETS,
            registry=self._registry,
        )

    def note(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        self._requests.labels(method, route, str(status)).observe(seconds)

    def text(self) -> bytes:
        """All numbers in Prometheus' text format, :data:`prometheus_client.CONTENT_TYPE_LATEST`."""
        return generate_latest(self._registry)


class TimedRequests:
    """Tells of every request how long it took.

    Args:
        app: what answers.
        telemetry: who is told.
    """

    def __init__(self, app: ASGIApp, telemetry: Telemetry) -> None:
        self._app, self._telemetry = app, telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and look at the clock before and after."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), HTTPStatus.INTERNAL_SERVER_ERROR.value
        until_stream: float | None = None

        async def noted(message: Message) -> None:
            nonlocal status, until_stream
            if message["type"] == "http.response.start":
                status = message["status"]
                if Headers(raw=message["headers"]).get("content-type", "").startswith(EVENTS):
                    until_stream = time.perf_counter() - began
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            seconds = time.perf_counter() - began if until_stream is None else until_stream
            self._telemetry.note(scope["method"], route_of(scope), status, seconds)


def route_of(scope: Scope) -> str:
    """The route that answered, with names in place of what identifies one thing."""
    path: str | None = getattr(scope.get("route"), "path", None)
    if path is None:
        return UNKNOWN_ROUTE
    within_api = scope["path"].startswith(f"{PREFIX}/") and not path.startswith(PREFIX)
    return PREFIX + path if within_api else path  # routes do not know where they were included


class _Queue(Collector):
    """Reads the database whenever the numbers are read, so that they are never older."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not ask the database."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All numbers, in one reading."""
        began = time.perf_counter()
        with read(self._engine) as connection:
            now = self._clock(connection)
            found, running = gauges.gauges(connection), gauges.running(connection)
        took = time.perf_counter() - began
        seconds = ((steps, (now - since).total_seconds()) for steps, since in running)
        speed = sum(steps / passed for steps, passed in seconds if passed > 0)
        yield _by("trials", "Trials by state; waiting: queued, running, or wanted by nobody.", found.trials)
        yield _by("cohorts", "Cohorts that are queued or run: the depth of the queue.", found.cohorts)
        lost = CounterMetricFamily(
            "heunboard_attempts_lost", "Attempts that were lost; silence: an expired lease.", labels=["cause"]
        )
        for cause, number in found.lost.items():
            lost.add_metric([cause], number)
        yield lost
        yield _one(
            "lane_steps_per_second", "Steps of all lanes of running attempts, mean since each began.", speed
        )
        yield _one("sweeps_storing", "Sweeps that are being stored.", found.storing)
        yield _one("database_read_seconds", "What reading these numbers of the queue took.", took)
        yield _one("database_bytes", "Size of the database.", found.stored_bytes)
        if isinstance(self._engine.pool, QueuePool):
            busy = self._engine.pool.checkedout()
            yield _one("database_connections", "Connections to the database that this process uses.", busy)
        yield from _nodes(self._engine, self._clock, now)
        info = GaugeMetricFamily("heunboard_info", "The version of this process.", labels=["version"])
        info.add_metric([package_version()], 1)
        yield info


def _nodes(engine: Engine, clock: Clock, now: datetime) -> Iterator[Metric]:
    """Slots of nodes: those that the launcher calls free beside those that the queue calls idle."""
    shown = list_nodes(engine, clock=clock).nodes
    if shown:
        silence = (now - max(node.heard_at for node in shown)).total_seconds()
        yield _one("launcher_silence_seconds", "Since a dispatcher told of its nodes.", max(0.0, silence))
    names = {
        "slots": "Slots of a node.",
        "busy": "Slots with a running attempt, by the queue.",
        "free": "Slots that are free, by the launcher.",
    }
    for name, text in names.items():
        family = GaugeMetricFamily(f"heunboard_node_{name}", text, labels=["node"])
        for node in shown:
            value = getattr(node, name)
            if value is not None:
                family.add_metric([node.name], value)
        yield family
    difference = GaugeMetricFamily(
        "heunboard_node_slot_difference",
        "Slots that are taken by the launcher less those that are busy by the queue.",
        labels=["node"],
    )
    for node in shown:
        if node.free is not None:
            difference.add_metric([node.name], node.slots - node.free - node.busy)
    yield difference
    differs = GaugeMetricFamily(
        "heunboard_node_differs", "1 where launcher and queue disagree for too long.", labels=["node"]
    )
    for node in shown:
        differs.add_metric([node.name], float(node.warning is not None))
    yield differs


def _by(name: str, text: str, numbers: dict[str, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"heunboard_{name}", text, labels=["state"])
    for state, number in numbers.items():
        family.add_metric([state], number)
    return family


def _one(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"heunboard_{name}", text, value=value)
