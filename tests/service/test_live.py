"""Live events: what is read, what is told to whom, and that listeners cost and keep nothing."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import HTTPException
from sqlalchemy import Engine
from starlette.types import Message

from service.api.live import stream
from service.api.live.bulletin import TOLD_AGAIN_S, Bulletin, Topics
from service.api.live.hub import HEARTBEAT, Hub, Listener
from service.app import create_app
from service.queue.cohorts import Queue
from service.queue.control import Controls
from service.queue.submission import submit
from service.resources import live
from service.resources.live import News
from service.resources.live_schemas import BoardEvent, ProgressEvent, RunningEvent, SweepEvent
from service.settings import Settings
from tests.support.sweeps import outcome, small_sweep
from tests.support.web import application, browser_of, compute, served
from workers.messages import Heartbeat

EVERYTHING = Topics()


def told(engine: Engine, *, sweeps: Sequence[int] = (), boards: Sequence[str] = ()) -> dict[str, Any]:
    """What one reading tells, by kind and subject."""
    return {f"{one.kind} {one.subject}": one.data for one in live.read(engine, sweeps, boards)}


def board_of(engine: Engine) -> str:
    """The only board."""
    (link,) = browser_of(application(engine)).get("/api/v1/boards").json()["boards"]
    return str(link["id"])


def test_a_reading_counts_what_goes_on(engine: Engine) -> None:
    """Two sweeps of three trials; one attempt holds the first one's and has done a third of its steps."""
    first, second = (
        submit(engine, small_sweep(estimators=["st"])),
        submit(engine, small_sweep(seeds=[7, 8, 9])),
    )
    queue = Queue(engine)
    queue.plan(max_lanes=3, slots=1)
    (claim,) = queue.claim(owner="test", limit=1)
    queue.start(claim.attempt_id, claim.secret)
    queue.heartbeat(claim.attempt_id, claim.secret, Heartbeat(steps_done=10, steps_total=30))
    found = told(engine)
    running = found["running "]
    assert isinstance(running, RunningEvent)
    assert (running.running, running.queued, running.trials_ended, running.trials_total) == (1, 1, 0, 9)
    assert (running.title, running.detail) == ("1 sweep running", "0 of 9 trials")
    assert running.newest == str(second.sweep_id)
    progress = found[f"progress {first.sweep_id}"]
    assert isinstance(progress, ProgressEvent)
    assert (progress.percent, progress.steps) == ("33 %", "10 of 30 steps")
    assert found[f"progress {second.sweep_id}"].time_left == "waiting for a worker"
    assert found[f"sweep {first.sweep_id}"].state == "running"


def test_what_has_ended_is_told_to_those_who_name_it(engine: Engine) -> None:
    id = int(compute(engine, small_sweep()))
    board = board_of(engine)
    assert set(told(engine)) == {"running "}
    assert told(engine)["running "].title == ""
    found = told(engine, sweeps=[id, 99], boards=[board, "none"])
    assert found[f"sweep {id}"] == SweepEvent(
        sweep=str(id), name="small", state="succeeded", held="active", finished=True
    )
    assert found["sweep 99"].state == "deleted"
    assert found[f"board {board}"] == BoardEvent(board=board, trials=6, succeeded=6, failed=0, cancelled=0)
    assert "board none" not in found
    Controls(engine).delete(id)
    assert told(engine, sweeps=[id])[f"sweep {id}"].state == "deleted"


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (10.0, 20.0, "less than a minute left"),
        (1000.0, 1160.0, "about 18 min left"),
        (60.0, 1080.0, "up to 18 min left"),
        (10800.0, 11400.0, "about 3 h 5 min left"),
        (None, None, ""),
    ],
)
def test_time_left_in_few_words(low: float | None, high: float | None, words: str) -> None:
    assert live._roughly_between(low, high) == words


def news(subject: str, value: int, *, estimate: float = 0.0) -> News:
    """How far a sweep is: ``value`` of 10 steps."""
    progress = {"steps_done": value, "steps_total": 10, "counts": {}, "seconds_left": estimate}
    data = ProgressEvent.model_validate(
        {"sweep": subject, "progress": progress, "percent": "", "steps": "", "time_left": ""}
    )
    return News("progress", subject, data, value)


def test_the_bulletin_keeps_the_last_event_of_a_subject_and_tells_what_is_newer() -> None:
    now = [0.0]
    bulletin = Bulletin(clock=lambda: now[0])
    assert bulletin.update([news("1", 1), news("2", 1)])
    assert not bulletin.update([news("1", 1), news("2", 1)])
    (one, two) = bulletin.since(0, EVERYTHING)
    assert one.wire == (
        b'event: progress\ndata: {"sweep":"1","progress":{"steps_done":1,"steps_total":10,"counts":{},'
        b'"seconds_left":0.0,"seconds_left_low":null,"seconds_left_high":null},"percent":"","steps":"",'
        b'"time_left":""}\nid: ' + one.id.encode() + b"\n\n"
    )
    assert bulletin.update([news("1", 5), news("2", 1)])
    (newer,) = bulletin.since(two.number, EVERYTHING)
    assert newer.news.data == news("1", 5).data
    assert [event.news.subject for event in bulletin.since(0, EVERYTHING)] == ["2", "1"], "by when it came"
    assert bulletin.since(0, Topics(sweeps=frozenset({2}))) == [two]
    assert bulletin.since(0, Topics(boards=frozenset({"x"}))) == []
    assert bulletin.since(0, Topics(kinds=frozenset({"running"}))) == []


def test_an_estimate_alone_is_told_after_a_while() -> None:
    now = [0.0]
    bulletin = Bulletin(clock=lambda: now[0])
    bulletin.update([news("1", 1, estimate=5.0)])
    now[0] = TOLD_AGAIN_S - 1
    assert not bulletin.update([news("1", 1, estimate=4.0)])
    now[0] = TOLD_AGAIN_S
    assert not bulletin.update([news("1", 1, estimate=5.0)]), "nothing is different"
    assert bulletin.update([news("1", 1, estimate=3.0)])


def test_ids_of_another_process_are_those_of_nobody() -> None:
    bulletin, other = Bulletin(), Bulletin()
    bulletin.update([news("1", 1), news("2", 1)])
    last = bulletin.since(0, EVERYTHING)[-1]
    assert bulletin.number_of(last.id) == last.number == 2
    assert other.number_of(last.id) == 0
    assert [bulletin.number_of(id) for id in (None, "", "x-y", last.id + "x", last.id + "9" * 30)] == [0] * 5


class Database:
    """Counts readings, and answers what it was last told to."""

    def __init__(self) -> None:
        self.readings: list[tuple[frozenset[int], frozenset[str]]] = []
        self.stands: list[News] = []
        self.threads: set[int] = set()

    def __call__(self, sweeps: frozenset[int], boards: frozenset[str]) -> list[News]:
        """One reading."""
        self.readings.append((sweeps, boards))
        self.threads.add(threading.get_ident())
        running = RunningEvent(running=0, queued=0, trials_ended=0, trials_total=0, title="", detail="")
        gone = [
            SweepEvent(sweep=str(id), name="", state="x", held="", finished=False) for id in sorted(sweeps)
        ]
        return [
            News("running", "", running, 0),
            *[News("sweep", one.sweep, one, one) for one in gone],
            *self.stands,
        ]


async def next_of(listener: Listener, seconds: float = 5.0) -> list[str]:
    """Kinds and subjects of the next events."""
    async with asyncio.timeout(seconds):
        while not (events := listener.take()):
            await asyncio.sleep(0.005)
    return [f"{event.news.kind} {event.news.subject}" for event in events]


def test_one_reader_serves_all_and_rests_when_nobody_listens() -> None:
    database = Database()

    async def go() -> None:
        hub = Hub(database, most=100, rest=0.2)
        async with asyncio.timeout(20):
            waiting = [hub.listener(EVERYTHING) for _ in range(100)]
            listeners = [one.__enter__() for one in waiting]
            assert [await next_of(one) for one in listeners] == [["running "]] * 100
            database.stands = [news("5", 1)]
            assert [await next_of(one) for one in listeners] == [["progress 5"]] * 100
            assert len(database.readings) <= 4
            for one in waiting:
                one.__exit__(None, None, None)
            read = len(database.readings)
            await asyncio.sleep(0.5)
            assert len(database.readings) <= read + 1, "one may have been under way"

    asyncio.run(go())


def test_what_a_listener_names_is_read_at_once_and_only_while_it_listens() -> None:
    database = Database()

    async def go() -> None:
        hub = Hub(database, most=10, rest=60.0)
        with hub.listener(EVERYTHING) as all:
            assert await next_of(all) == ["running "]
            with hub.listener(Topics(sweeps=frozenset({4}), boards=frozenset({"k"}))) as named:
                assert await next_of(named, 2.0) == ["running ", "sweep 4"]
                assert await next_of(all) == ["sweep 4"]
        assert database.readings == [(frozenset(), frozenset()), (frozenset({4}), frozenset({"k"}))]

    asyncio.run(go())


def test_too_many_listeners_are_sent_away_and_those_who_ask_are_not() -> None:
    async def go() -> None:
        hub = Hub(Database(), most=1)
        with hub.listener(EVERYTHING) as first:
            with pytest.raises(HTTPException) as refused, hub.listener(EVERYTHING):
                pass
            assert refused.value.status_code == 503
            assert refused.value.headers == {"Retry-After": "30"}
            with hub.listener(EVERYTHING, stays=False) as asker:
                assert len(await asker.first(5.0)) == 1
            assert await next_of(first) == ["running "]
        with hub.listener(EVERYTHING):
            pass

    asyncio.run(go())


def test_a_reading_that_fails_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.api.live.hub.AWAY_S", 0.01)
    database = Database()
    fails = iter([True, True, False])

    def read(sweeps: frozenset[int], boards: frozenset[str]) -> list[News]:
        if next(fails, False):
            raise RuntimeError("away")
        return database(sweeps, boards)

    async def go() -> None:
        hub = Hub(read, most=1)
        with hub.listener(EVERYTHING) as listener:
            assert await next_of(listener) == ["running "]

    asyncio.run(go())


def test_a_stream_says_when_to_come_back_beats_and_ends_with_the_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.api.live.hub.HEARTBEAT_S", 0.05)

    async def go() -> None:
        hub = Hub(Database(), most=1)
        with hub.listener(EVERYTHING) as listener:
            parts = []
            async with asyncio.timeout(10):
                async for part in listener.stream():
                    parts.append(part)
                    if parts[-2:] == [HEARTBEAT] * 2:
                        hub.close()
        assert b"\nretry: " in parts[0]
        assert any(part.startswith(b"event: running\n") for part in parts)
        with pytest.raises(HTTPException), hub.listener(EVERYTHING):
            pass

    asyncio.run(go())


def test_a_stream_ends_after_a_while_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes again is asked again for a token."""
    monkeypatch.setattr("service.api.live.hub.LONGEST_S", 0.2)

    async def go() -> None:
        hub = Hub(Database(), most=1)
        with hub.listener(EVERYTHING) as listener:
            async with asyncio.timeout(30):
                parts = [part async for part in listener.stream()]
        assert HEARTBEAT not in parts
        assert not hub.closed

    asyncio.run(go())


def test_who_does_not_read_on_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "SLOW_S", 0.05)

    async def go() -> None:
        hub = Hub(Database(), most=1)
        stuck = asyncio.Event()

        async def send(message: Message) -> None:
            if message["type"] == "http.response.body":
                await stuck.wait()

        async def receive() -> Message:
            await stuck.wait()
            return {"type": "http.disconnect"}

        with hub.listener(EVERYTHING) as listener:
            async with asyncio.timeout(10):
                await stream.EventStream(listener)({"type": "http"}, receive, send)

    asyncio.run(go())


class Stream:
    """The events of an open stream, as dictionaries with ``event``, ``id`` and ``data``."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.iter_lines()  # kept: when it goes, so does the connection

    def take(self, count: int) -> list[dict[str, Any]]:
        """The next ones."""
        return [self._next() for _ in range(count)]

    def until(self, kind: str) -> dict[str, Any]:
        """The data of the next one of this kind."""
        while (event := self._next())["event"] != kind:
            pass
        data: dict[str, Any] = event["data"]
        return data

    def _next(self) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        for line in self._lines:
            name, _, value = line.partition(": ")
            if line:
                fields[name] = json.loads(value) if name == "data" else value
            elif "event" in fields:
                return fields
            else:  # a comment
                fields = {}
        raise AssertionError("the stream has ended")


def test_listening_over_http(engine: Engine) -> None:
    """What another connection writes comes; who comes back with the last id gets what is newer alone."""
    stored = submit(engine, small_sweep(estimators=["st"]))
    board = board_of(engine)
    with served(application(engine)) as url, httpx.Client(base_url=url, timeout=30) as http:
        query = f"/api/v1/events?sweep={stored.sweep_id}&board={board}"
        with http.stream("GET", query) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert answer.headers["cache-control"] == "no-store"
            assert [one["event"] for one in Stream(answer).take(4)] == [
                "running",
                "progress",
                "sweep",
                "board",
            ]
        queue = Queue(engine)
        queue.plan(max_lanes=64, slots=1)
        (claim,) = queue.claim(owner="test", limit=10)
        reply = queue.start(claim.attempt_id, claim.secret)
        queue.finish(claim.attempt_id, claim.secret, outcome(reply.trials))
        with http.stream("GET", "/api/v1/events") as answer:
            stays = Stream(answer)  # so that the server goes on counting
            stays.take(1)
            with http.stream("GET", query) as answer:
                ended = Stream(answer).take(4)
            (result,) = [one["data"] for one in ended if one["event"] == "board"]
            assert result == {"board": board, "trials": 3, "succeeded": 3, "failed": 0, "cancelled": 0}
            (state,) = [one["data"] for one in ended if one["event"] == "sweep"]
            assert (state["state"], state["finished"]) == ("succeeded", True)
            submit(engine, small_sweep(seeds=[11]))
            last = {"Last-Event-ID": ended[-1]["id"]}
            with http.stream("GET", query, headers=last) as answer:
                (newer,) = Stream(answer).take(1)
            assert (newer["event"], newer["data"]["queued"]) == ("running", 1), "the rest was seen"


def test_asking_instead_of_listening(engine: Engine) -> None:
    id = compute(engine, small_sweep())
    board = board_of(engine)
    http = browser_of(application(engine))
    answer = http.get(f"/api/v1/events/latest?sweep={id}&board={board}")
    kinds = [one["event"] for one in answer.json()["events"]]
    assert kinds == ["running", "progress", "sweep", "board"]
    only = http.get("/api/v1/events/latest?kind=running").json()["events"]
    assert [one["event"] for one in only] == ["running"]
    assert http.get(f"/api/v1/events/latest?sweep={id}&kind=board").json() == {"events": []}
    assert http.get("/api/v1/events/latest?sweep=x").status_code == 404
    assert http.get("/api/v1/events/latest?kind=x").status_code == 422


def test_a_full_server_says_so_as_a_problem(engine: Engine) -> None:
    app = create_app(Settings(data_home=Path("/dev/null"), max_listeners=0), engine)
    answer = browser_of(app).get("/api/v1/events")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
    assert answer.headers["content-type"] == "application/problem+json"
    assert browser_of(app).get("/api/v1/events/latest").status_code == 200


def test_head_of_a_stream_ends(engine: Engine) -> None:
    answer = browser_of(application(engine)).head("/api/v1/events")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"].startswith("text/event-stream")
