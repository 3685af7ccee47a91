"""The database is away, locked, full, in another time zone, or busy: nothing is lost, nobody sees a bug."""

from __future__ import annotations

import json
import math
import re
import resource
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from sqlalchemy import Engine

from service.client import Client
from service.queue.cohorts import Queue
from service.queue.submission import submit
from service.resources import sweeps
from service.storage import engine as engines
from service.storage import migrations
from service.storage.engine import is_sqlite, write
from service.storage.models import Attempt, Sweep
from tests.support.databases import Databases, engine_of
from tests.support.postgresql import Server, postgresql
from tests.support.processes import in_new_process
from tests.support.sweeps import outcome, small_sweep
from tests.support.web import application, browser_of, compute, served

PARTS = {"id": "1", "key": "x", "suite": "reinmax-2023", "exhibit": "figure2"}
PAGES = ("/", "/boards/1", "/estimators", "/sweeps", "/sweeps/1", "/sweeps/1/cells", "/suites")
PAGE = {"Accept": "text/html"}
LONE = "\ud800"
ODD = {
    "NaN": lambda finish: finish["provenance"].update(seconds=math.nan),
    "infinity": lambda finish: finish["outcomes"][0].update(seconds=-math.inf),
    "half a surrogate pair": lambda finish: finish["provenance"].update(driver=f"gpu {LONE}"),
    "half a pair in a name": lambda finish: finish["provenance"].update(data={LONE: "0"}),
    "NUL": lambda finish: finish["outcomes"][0].update(status="failed", error="a\0b", metrics={}),
    "five megabytes": lambda finish: finish["outcomes"][0].update(
        status="failed", error="x" * 5_000_000, traceback="y" * 5_000_000, metrics={}
    ),
    "a metric that is NaN": lambda finish: finish["outcomes"][0]["metrics"].update(expected_loss=math.nan),
    "a metric's name": lambda finish: finish["outcomes"][0]["metrics"].update({f"\0{LONE}": 1.0}),
    "an unknown word": lambda finish: finish["provenance"].update(surprise=1),
    "2^70 evaluations": lambda finish: finish["provenance"].update(
        evaluations=2**70, peak_memory_bytes=2**70
    ),
}
"""What no worker of ours would send."""


@pytest.mark.parametrize("odd", ODD)
def test_whatever_a_worker_reports_its_sweep_can_be_looked_at(engine: Engine, odd: str) -> None:
    """It is stored as something that can be shown, or refused; in no case is anything a 500."""
    submit(engine, small_sweep(estimators=["st"], seeds=2))
    queue = Queue(engine)
    queue.plan(max_lanes=8, slots=1)
    (claim,) = queue.claim(owner="d", limit=1)
    reply = queue.start(claim.attempt_id, claim.secret)
    finish = json.loads(outcome(reply.trials).model_dump_json())
    ODD[odd](finish)
    http = browser_of(application(engine))
    answer = http.post(
        f"/internal/v1/attempts/{claim.attempt_id}/finish",
        content=json.dumps(finish).encode(),  # half surrogate pairs as \\ud800, which JSON allows
        headers={"Authorization": f"Bearer {claim.secret}", "Content-Type": "application/json"},
    )
    assert answer.status_code in (204, 400, 422), answer.text
    (sweep,) = http.get("/api/v1/sweeps").json()["sweeps"]
    assert (sweep["state"] == "running") == (answer.status_code != 204)
    key = reply.trials[0].key
    paths = ["/sweeps/1", "/sweeps/1/trials", f"/trials/{key}", f"/trials/{key}/attempts"]
    for path in [f"/api/v1{path}" for path in paths] + ["/sweeps", "/sweeps/1", "/"]:
        shown = http.get(path, headers=PAGE)
        assert shown.status_code == 200, path
        assert len(shown.content) < 300_000, path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A PostgreSQL of this file's own, which it kills."""
    with postgresql(tmp_path_factory.mktemp("pg") / "pg") as made:
        with engine_of(made.url) as engine:
            migrations.upgrade(engine)
        yield made


STREAM = "/api/v1/events"


def paths_of(app: FastAPI) -> list[str]:
    """Every address that can be read and may ask the database, pages too; not the stream, it never ends."""
    read = [path for path, methods in app.openapi()["paths"].items() if "get" in methods and path != STREAM]
    filled = [re.sub(r"{(\w+)}", lambda part: PARTS[part[1]], path) for path in read]
    return [*filled, *PAGES]


@pytest.mark.pg
def test_while_postgresql_is_away_everything_answers_503_and_nothing_is_lost(
    server: Server,
) -> None:
    with engine_of(server.url) as engine:
        app = application(engine)
        before = compute(engine, small_sweep(name="before"))
        http = browser_of(app)
        known = {path: http.get(path, headers=PAGE).status_code for path in paths_of(app)}
        server.kill()
        for path in known:
            answer = http.get(path, headers=PAGE)
            assert answer.status_code in (503, known[path]), path
            assert answer.status_code != 503 or answer.headers["Retry-After"] == "5", path
        away = [path for path in known if http.get(path, headers=PAGE).status_code == 503]
        assert {"/", "/sweeps", "/sweeps/1", "/api/v1/sweeps/1", "/readyz"} <= set(away)
        start = http.post("/internal/v1/attempts/1/start", headers={"Authorization": "Bearer x"})
        assert start.status_code == 503
        with served(app) as url, Client(url) as made, ThreadPoolExecutor() as pool:
            waiting = pool.submit(made.wait, before, interval=0.05)
            submitting = pool.submit(made.submit, small_sweep_document())
            assert not waiting.done()
            server.start()
            assert waiting.result(60).state == "succeeded"
            assert submitting.result(60).answer.trials == 6
            assert {path: http.get(path, headers=PAGE).status_code for path in known} == known


@pytest.mark.pg
def test_a_process_that_starts_while_postgresql_is_away_waits_for_it(server: Server) -> None:
    """`heunboard up` would end when its children do so again and again."""
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            server.start()

    with engine_of(server.url) as engine:
        server.kill()
        with pytest.raises(sa.exc.OperationalError):
            migrations.prepare(engine, patience=0.0)
        migrations.prepare(engine, sleep=sleep)
    assert pauses == [1.0] * 3


def small_sweep_document() -> dict[str, Any]:
    """A sweep as users write it."""
    task = {"id": "polynomial", "latents": 4, "epochs": 3, "steps_per_epoch": 5}
    return {"name": "meanwhile", "task": task, "estimators": ["st", "reinmax"], "seeds": 3}


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Engine]:
    with engine_of(f"sqlite:///{tmp_path / 'board.sqlite'}") as engine:
        migrations.upgrade(engine)
        yield engine


def test_a_locked_database_is_read_and_whoever_writes_is_told_to_come_back(
    sqlite: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "BUSY_TIMEOUT_MS", 50)
    sqlite.dispose()  # connections that are made from now on wait no longer than that
    http = browser_of(application(sqlite))
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with write(sqlite):
            held.set()
            done.wait(60)

    with ThreadPoolExecutor() as pool:
        holding = pool.submit(hold)
        assert held.wait(60)
        try:
            refused = http.post("/api/v1/sweeps", json=small_sweep_document())
            assert http.get("/sweeps").status_code == 200
        finally:
            done.set()
        holding.result()
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
    assert http.post("/api/v1/sweeps", json=small_sweep_document()).status_code == 201


def fill_the_disk(path: str) -> tuple[int, str | None, int, int, int]:
    """What a submission is answered on a full disk, whether it is readable then, and what afterwards."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with engine_of(f"sqlite:///{path}") as engine:
        migrations.upgrade(engine)
        http = browser_of(application(engine))
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_960, hard))  # of any file; readers need one of 32 kB
        full = http.post("/api/v1/sweeps", json=small_sweep_document() | {"seeds": 500})
        reading = http.get("/sweeps").status_code
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        again = http.post("/api/v1/sweeps", json=small_sweep_document())
        with engine.connect() as connection:
            stored = connection.scalar(sa.select(sa.func.count()).select_from(sa.inspect(Sweep).local_table))
    return full.status_code, full.headers.get("Retry-After"), reading, again.status_code, int(stored or 0)


def test_a_full_disk_is_a_503_and_leaves_nothing_half(tmp_path: Path) -> None:
    answer = in_new_process(fill_the_disk, str(tmp_path / "board.sqlite"))
    assert answer == (503, "5", 200, 201, 1)


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/St_Johns"])
def test_time_zones_of_database_and_process_change_nothing(
    engine: Engine, backend: Databases, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lease neither ends at once nor fourteen hours later, and times are told in UTC."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        if not is_sqlite(engine):
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                name = engine.url.database
                connection.execute(sa.text(f"ALTER DATABASE \"{name}\" SET timezone = '{zone}'"))
            engine.dispose()  # it is told to new sessions
        submit(engine, small_sweep(estimators=["st"], seeds=1))
        queue = Queue(engine)
        queue.plan(max_lanes=8, slots=1)
        (claim,) = queue.claim(owner="d", limit=1)
        reply = queue.start(claim.attempt_id, claim.secret)
        assert queue.expire_leases() == 0
        now = datetime.now(UTC)
        with engine.connect() as connection:
            table = sa.inspect(Attempt).local_table
            claimed, begun = connection.execute(sa.select(table.c.claimed_at, table.c.started_at)).one()
        assert all(abs((now - at).total_seconds()) < 60 for at in (claimed, begun))
        queue.finish(claim.attempt_id, claim.secret, outcome(reply.trials))
        shown = sweeps.show_sweep(engine, "1")
        assert shown.finished_at is not None
        assert abs((now - shown.finished_at).total_seconds()) < 60
        with write(engine) as connection:
            connection.execute(sa.update(Sweep).values(finished_at=now))
        assert sweeps.show_sweep(engine, "1").finished_at == now
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.slow
def test_sqlite_with_many_submitters_open_pages_and_an_export(sqlite: Engine) -> None:
    compute(sqlite, small_sweep(seeds=5))
    (board,) = browser_of(application(sqlite)).get("/api/v1/boards").json()["boards"]
    submitters, pages = 32, 10
    with served(application(sqlite)) as url, ThreadPoolExecutor(submitters + pages + 1) as pool:
        left = threading.Event()

        def submits(number: int) -> int:
            with Client(url) as made:
                document = small_sweep_document() | {"seeds": list(range(100 * number, 100 * number + 20))}
                return made.submit(document).answer.trials

        def looks(path: str) -> set[int]:
            with httpx.Client(base_url=url, headers=PAGE, timeout=60) as http:
                seen = {http.get(path).status_code}
                while not left.is_set():
                    seen.add(http.get(path).status_code)
                return seen

        shown = ["/sweeps", "/sweeps/1", "/", f"/boards/{board['id']}", "/api/v1/sweeps/1/trials"]
        looking = [pool.submit(looks, path) for path in shown * (pages // len(shown))]
        looking.append(pool.submit(looks, f"/api/v1/boards/{board['id']}?format=csv"))
        submitted = list(pool.map(submits, range(1, submitters + 1)))
        left.set()
        assert submitted == [40] * submitters
        assert set().union(*(one.result() for one in looking)) == {200}
