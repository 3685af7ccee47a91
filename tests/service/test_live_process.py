"""Listeners of a real web process: what others write comes, threads do not grow, SIGTERM ends it at once."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from service.benchmark import listeners
from service.queue.submission import submit
from service.storage.engine import open_engine
from tests.service.test_live import Stream
from tests.support.processes import LIMIT_SECONDS, end, heunboard, until, working_on
from tests.support.sweeps import small_sweep

LISTENERS = 60
ENDS_WITHIN = 2.5  # it takes half a second; the machine may be busy


@contextmanager
def web(data: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``heunboard serve`` on a free port, and its address."""
    process = heunboard("serve", "--port=0", data=data)
    try:
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], LIMIT_SECONDS)[0], "not ready"
        said = os.read(process.stdout.fileno(), select.PIPE_BUF).decode()
        assert said.startswith("listening on "), process.communicate()
        yield process, said.split()[-1]
    finally:
        end(working_on(data))
        process.communicate()


@pytest.mark.slow
def test_many_listen_to_what_another_process_writes_until_the_server_ends(tmp_path: Path) -> None:
    with web(tmp_path) as (process, url), ExitStack() as stack:
        until(lambda: httpx.get(f"{url}/readyz", timeout=LIMIT_SECONDS).is_success, "it is ready")
        httpx.get(f"{url}/api/v1/events/latest", timeout=LIMIT_SECONDS)
        before = psutil.Process(process.pid).num_threads()
        limits = httpx.Limits(max_connections=None)
        http = stack.enter_context(httpx.Client(base_url=url, timeout=30, limits=limits))
        answers = [stack.enter_context(http.stream("GET", "/api/v1/events")) for _ in range(LISTENERS)]
        streams = [Stream(answer) for answer in answers]
        assert [stream.take(1)[0]["event"] for stream in streams] == ["running"] * LISTENERS
        engine = open_engine(f"sqlite:///{tmp_path / 'heunboard.sqlite'}")
        submit(engine, small_sweep(name="from elsewhere"))
        engine.dispose()
        assert {stream.until("sweep")["name"] for stream in streams} == {"from elsewhere"}
        assert psutil.Process(process.pid).num_threads() <= before + 3, "a thread for each listener"
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        assert time.monotonic() - began < ENDS_WITHIN
        assert process.returncode in (0, -signal.SIGTERM)


@pytest.mark.slow
def test_the_benchmark_measures_listeners_that_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert listeners.main(["--listeners", "2", "--seconds", "2"]) == 0
    (line,) = capsys.readouterr().out.splitlines()[1:]
    count, _, _, _, p95, _, events = line.split()
    assert count == "2"
    assert float(p95) > 0
    assert float(events) > 0
