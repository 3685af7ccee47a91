"""Local workers as real processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.datasets.catalogue import DATA_SETS
from benchmarks.process import allocator, compile_cache
from tests.support.fakes import WAIT_SECONDS, make_claim
from tests.support.processes import alive, family, until
from tests.support.stack import run_until_idle, stack
from workers import local_launcher
from workers.dispatcher import Dispatcher, DispatcherSettings
from workers.local_launcher import LOG_BYTES, LocalLauncher
from workers.local_process import WARM as WARM_BYTE
from workers.local_worker import ORPHANED
from workers.orders import Order, WorkerConfig
from workers.ports import Claim, Exit

NOWHERE = "http://127.0.0.1:9"
FOR_EVER = "import sys; print('begun', flush=True); sys.stdin.read()"


WITH_CHILD = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(20)"])  # longer than a test waits
sys.stdin.read()
"""
FOR_TWO = """
import os, sys
sys.stdin.readline()
os.write(0, b"\\n")
sys.stdin.read()
"""
WARM = """
import os, sys
for line in iter(sys.stdin.readline, ""):
    print("attempt of", os.getpid(), flush=True)
    os.write(0, b"\\n")
"""


@contextmanager
def launching(
    folder: Path, script: str, *, slots: int = 2, log_bytes: int = LOG_BYTES
) -> Iterator[LocalLauncher]:
    """A launcher whose workers run ``script`` instead of an attempt."""
    launcher = LocalLauncher(
        WorkerConfig(url=NOWHERE),
        slots=slots,
        log_dir=folder,
        command=(sys.executable, "-c", script),
        log_bytes=log_bytes,
    )
    try:
        yield launcher
    finally:
        launcher.close()


def listened_to(pid: int) -> bool:
    """Whether the launcher's thread for a process still runs: it ends when the process has been reaped."""
    return any(thread.name == f"worker-{pid}" for thread in threading.enumerate())


def next_claim(dispatcher: Dispatcher) -> Claim | None:
    """What runs after another tick."""
    dispatcher.tick()
    return next(iter(dispatcher.running), None)


def one_exit(launcher: LocalLauncher) -> Exit:
    (ended,) = launcher.poll(WAIT_SECONDS)
    return ended


def test_clean_end_and_log(tmp_path: Path) -> None:
    with launching(tmp_path, "import sys; print('hello'); print('there', file=sys.stderr)") as launcher:
        launcher.submit(make_claim(7))
        assert one_exit(launcher) == Exit(attempt_id=7, error=None)
        assert sorted((tmp_path / "7.log").read_text().split()) == ["hello", "there"]
        assert launcher.poll(WAIT_SECONDS) == [], "nothing runs: no waiting"


def test_its_node_is_the_machine_and_has_no_slots_while_it_is_avoided(tmp_path: Path) -> None:
    with launching(tmp_path, FOR_EVER, slots=2) as launcher:
        launcher.submit(make_claim(1))
        (node,) = launcher.nodes()
        assert (node.name, node.device, node.slots, node.free) == (socket.gethostname(), "cpu", 2, 1)
        launcher.avoid({"elsewhere"})
        assert launcher.slots() == 2
        launcher.avoid({node.name})
        assert (launcher.slots(), launcher.nodes()) == (0, [node])


def test_order_comes_by_pipe_and_not_by_command_line(tmp_path: Path) -> None:
    script = "import os, sys; print(sys.orig_argv, dict(os.environ)); print(sys.stdin.readline())"
    with launching(tmp_path, script) as launcher:
        launcher.submit(make_claim(1))
        assert one_exit(launcher).error is None
        public, order = (tmp_path / "1.log").read_text().strip().rsplit("\n", 1)
    assert "s3cret" not in public
    assert Order.from_json(order).secret == "s3cret"


def test_status_and_end_of_the_log_are_the_error(tmp_path: Path) -> None:
    with launching(tmp_path, "import sys; sys.exit('the disk is full')") as launcher:
        launcher.submit(make_claim(1))
        error = one_exit(launcher).error
    assert error is not None
    assert "status 1" in error
    assert error.endswith("the disk is full")


def test_kill_names_the_signal(tmp_path: Path) -> None:
    with launching(tmp_path, FOR_EVER) as launcher:
        launcher.submit(make_claim(1))
        launcher.kill(1)
        assert "SIGKILL" in (one_exit(launcher).error or "")
        launcher.kill(1)  # an attempt that has ended: nothing happens


def test_process_is_kept_for_the_next_attempt_and_each_has_its_log(tmp_path: Path) -> None:
    with launching(tmp_path, WARM) as launcher:
        pids = []
        for attempt in (1, 2, 3):
            launcher.submit(make_claim(attempt))
            pids.append(launcher.pid(attempt))
            assert one_exit(launcher) == Exit(attempt_id=attempt, error=None)
            assert (tmp_path / f"{attempt}.log").read_text() == f"attempt of {pids[-1]}\n"
    assert len(set(pids)) == 1
    assert not alive(pids[0]), "an idle process ends with its launcher"


def test_attempts_side_by_side_have_processes_of_their_own(tmp_path: Path) -> None:
    with launching(tmp_path, WARM) as launcher:
        launcher.submit(make_claim(1))
        launcher.submit(make_claim(2))
        assert launcher.pid(1) != launcher.pid(2)


def test_process_that_died_while_idle_is_replaced_and_no_attempt_is_lost(tmp_path: Path) -> None:
    with launching(tmp_path, WARM) as launcher:
        launcher.submit(make_claim(1))
        dead = launcher.pid(1)
        one_exit(launcher)
        os.kill(dead, signal.SIGKILL)
        until(lambda: not listened_to(dead), "its launcher knows that it is dead", limit=WAIT_SECONDS)
        launcher.submit(make_claim(2))
        assert launcher.pid(2) != dead
        assert one_exit(launcher) == Exit(attempt_id=2, error=None)


def test_killed_process_is_not_used_again(tmp_path: Path) -> None:
    with launching(tmp_path, FOR_EVER) as launcher:
        launcher.submit(make_claim(1))
        killed = launcher.pid(1)
        launcher.kill(1)
        one_exit(launcher)
        launcher.submit(make_claim(2))
        assert launcher.pid(2) != killed


def test_a_process_that_cannot_be_started_is_no_fault_of_the_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_process(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    with launching(tmp_path, FOR_EVER) as launcher:
        with monkeypatch.context() as full:
            full.setattr(subprocess, "Popen", no_process)
            launcher.submit(make_claim(1))
        ended = one_exit(launcher)
        assert ended.infrastructure
        assert "could not be started: [Errno 11]" in str(ended.error)
        launcher.submit(make_claim(2))
        assert launcher.pid(2)


def test_prepare_starts_a_process_for_each_slot_and_attempts_use_them(tmp_path: Path) -> None:
    with launching(tmp_path, WARM) as launcher:
        before = set(family(os.getpid()))
        launcher.prepare()
        prepared = set(family(os.getpid())) - before
        assert len(prepared) == 2
        launcher.submit(make_claim(1))
        launcher.submit(make_claim(2))
        assert {launcher.pid(1), launcher.pid(2)} == prepared
        launcher.prepare()
        assert set(family(os.getpid())) - before == prepared, "nothing is missing: nothing is started"


SAYS_WARM = """
import os, time
os.write(0, b"w")
time.sleep(600)
"""


def test_a_process_is_preparing_until_it_says_that_it_is_warm_or_ends(tmp_path: Path) -> None:
    """One says it at once, the other never."""
    with launching(tmp_path, SAYS_WARM) as launcher:
        assert launcher.preparing() == 0
        launcher.prepare()
        until(lambda: launcher.preparing() == 0, "both have said that they are warm")
        launcher.submit(make_claim(1))
        assert launcher.poll(0.1) == [], "the word that it is warm is not the end of an attempt"
    with launching(tmp_path, FOR_EVER, slots=1) as launcher:
        launcher.prepare()
        assert launcher.preparing() == 1
        launcher.submit(make_claim(1))
        assert launcher.preparing() == 1
        launcher.kill(1)
        one_exit(launcher)
        assert launcher.preparing() == 1, "its successor"


def test_process_at_its_last_attempt_already_has_its_successor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_launcher, "ATTEMPTS_PER_PROCESS", 2)
    with launching(tmp_path, FOR_TWO, slots=1) as launcher:
        before = set(family(os.getpid()))
        pids = []
        for attempt, processes in ((1, 1), (2, 2), (3, 1), (4, 2)):
            launcher.submit(make_claim(attempt))
            assert len(set(family(os.getpid())) - before) == processes
            pids.append(launcher.pid(attempt))
            if attempt in (2, 4):
                launcher.kill(attempt)
            one_exit(launcher)
        assert pids[0] == pids[1] != pids[2] == pids[3]


def test_process_that_died_is_replaced_when_its_end_is_collected(tmp_path: Path) -> None:
    with launching(tmp_path, WARM, slots=1) as launcher:
        before = set(family(os.getpid()))
        launcher.submit(make_claim(1))
        killed = launcher.pid(1)
        launcher.kill(1)
        launcher.poll(WAIT_SECONDS)
        (successor,) = set(family(os.getpid())) - before
        assert successor != killed


def test_what_cannot_be_started_ahead_of_need_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = WorkerConfig(url=NOWHERE)
    launcher = LocalLauncher(config, slots=1, log_dir=tmp_path, command=(str(tmp_path / "no such program"),))
    launcher.prepare()
    launcher.close()
    assert "could not be started ahead of need" in caplog.text


def test_kill_also_ends_what_the_process_started(tmp_path: Path) -> None:
    with launching(tmp_path, WITH_CHILD) as launcher:
        launcher.submit(make_claim(1))
        child = until(lambda: family(launcher.pid(1))[1:], "a child", limit=WAIT_SECONDS)
        launcher.kill(1)
        assert "SIGKILL" in (one_exit(launcher).error or "")
    until(lambda: not alive(child[0]), "the child is gone", limit=WAIT_SECONDS)


def test_log_is_cut_off(tmp_path: Path) -> None:
    with launching(tmp_path, "print('x' * 500_000)", log_bytes=1000) as launcher:
        launcher.submit(make_claim(1))
        assert one_exit(launcher).error is None
    text = (tmp_path / "1.log").read_text()
    assert text.startswith("x" * 1000 + "\n[cut off at 1000 bytes]")
    assert len(text) < 1100


def test_close_ends_everything(tmp_path: Path) -> None:
    with launching(tmp_path, FOR_EVER) as launcher:
        launcher.submit(make_claim(1))
        launcher.submit(make_claim(2))
        pids = [launcher.pid(1), launcher.pid(2)]
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_workers_do_not_inherit_the_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEUNBOARD_DATABASE_URL", "postgresql://u:p@h/d")
    with launching(tmp_path, "import os; print(sorted(os.environ))") as launcher:
        launcher.submit(make_claim(1))
        one_exit(launcher)
    log = (tmp_path / "1.log").read_text()
    assert "HEUNBOARD_DATABASE_URL" not in log
    assert "OMP_NUM_THREADS" in log


def test_workers_keep_the_memory_they_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(allocator.VARIABLE, raising=False)
    with launching(tmp_path, f"import os; print(os.environ.get({allocator.VARIABLE!r}))") as launcher:
        launcher.submit(make_claim(1))
        one_exit(launcher)
    expected = allocator.environment({}).get(allocator.VARIABLE)
    assert (tmp_path / "1.log").read_text().strip() == str(expected)


def test_workers_share_one_cache_of_compiled_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(compile_cache.VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with launching(tmp_path, f"import os; print(os.environ[{compile_cache.VARIABLE!r}])") as launcher:
        launcher.submit(make_claim(1))
        one_exit(launcher)
    folder = Path((tmp_path / "1.log").read_text().strip())
    assert folder.is_dir()
    assert folder.parent == tmp_path / "cache" / "heunboard"


def test_worker_ends_when_its_dispatcher_is_gone() -> None:
    order = WorkerConfig(url=NOWHERE).order(make_claim(1), "cpu")
    command = [sys.executable, "-m", "workers.local_worker", "cpu"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as worker:
        assert worker.stdin is not None
        worker.stdin.write(order.to_json().encode() + b"\n")
        worker.stdin.close()  # as the death of the dispatcher does; the worker is waiting for its server
        assert worker.wait(WAIT_SECONDS) == ORPHANED


def test_worker_ends_when_its_dispatcher_died_before_it_heard_that_the_worker_is_ready() -> None:
    """Its end of the socket is then not closed, but reset."""
    mine, theirs = socket.socketpair()
    command = [sys.executable, "-m", "workers.local_worker", "cpu"]
    with theirs:
        worker = subprocess.Popen(command, stdin=theirs.fileno(), stderr=subprocess.PIPE, text=True)
    with worker:
        try:
            assert mine.recv(1, socket.MSG_PEEK) == WARM_BYTE
            mine.close()
            assert worker.wait(WAIT_SECONDS) == ORPHANED
            assert worker.stderr is not None
            assert "Traceback" not in worker.stderr.read()
        finally:
            worker.kill()


def test_killed_worker_is_replaced_and_its_trial_succeeds(tmp_path: Path) -> None:
    """Submit, SIGKILL the first worker, see attempt 2 succeed: queue, HTTP, processes, engine."""
    with stack(tmp_path) as made:
        made.submit(estimators=["exact"], seeds=2)
        launcher = LocalLauncher(WorkerConfig(url=made.url), slots=1, log_dir=tmp_path / "logs")
        dispatcher = Dispatcher(made.queue, launcher, DispatcherSettings(owner="d"))
        dispatcher.tick()
        (first,) = dispatcher.running
        os.kill(launcher.pid(first.attempt_id), signal.SIGKILL)
        run_until_idle(dispatcher, made)
        dispatcher.shut_down()
        assert [trial.state for trial in made.trials()] == ["succeeded"] * 2
        lost, good = made.attempts()
        assert (lost.number, lost.state, good.number, good.state) == (1, "lost", 2, "finished")
        assert "SIGKILL" in lost.error


def test_warm_process_computes_several_cohorts_and_is_replaced_after_a_failure(tmp_path: Path) -> None:
    """The real worker: the same process for two cohorts, another one after a cohort that raised."""
    with stack(tmp_path) as made:
        broken = {"id": "categorical_vae", "dataset": "mnist", "categories": 8, "latents": 4, "epochs": 1}
        no_data = tmp_path / "mnist" / DATA_SETS["mnist"].train.name
        no_data.parent.mkdir()
        no_data.write_text("not gzip")
        launcher = LocalLauncher(
            WorkerConfig(url=made.url, data_dir=str(tmp_path)), slots=1, log_dir=tmp_path / "logs"
        )
        dispatcher = Dispatcher(made.queue, launcher, DispatcherSettings(owner="d"))
        pids: list[int] = []
        for name, changes in {"a": {}, "b": {}, "broken": {"task": broken}, "c": {}}.items():
            made.submit(name=name, estimators=["st"], seeds=[len(pids)], **changes)
            claim = until(lambda: next_claim(dispatcher), "the attempt is launched")
            pids.append(launcher.pid(claim.attempt_id))
            until(lambda: dispatcher.tick(0.1) and not dispatcher.running, "the attempt has ended")
        dispatcher.shut_down()
        assert pids[0] == pids[1] == pids[2] != pids[3]
        assert [trial.state for trial in made.trials()] == ["succeeded", "succeeded", "failed", "succeeded"]
        assert [attempt.state for attempt in made.attempts()] == ["finished"] * 4
