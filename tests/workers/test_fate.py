"""A process that waits for a child that has died ends with it, whatever it is at."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import pytest

from tests.support.processes import family, until
from tests.support.stack import LIMIT_SECONDS
from workers import fate

BEGINS = """
import ctypes, os, signal, subprocess, sys
from workers.fate import shared_with
"""
HOLDS_THE_LOCK = "ctypes.PyDLL(None).pause()"
"""A C function that is called with Python's lock and returns at a signal alone."""
READS = "sys.stdin.read()"


@contextmanager
def running(script: str) -> Iterator[subprocess.Popen[str]]:
    """A process that carries out a script."""
    with subprocess.Popen(
        [sys.executable, "-c", BEGINS + script],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        yield process
        process.kill()


@pytest.mark.parametrize("waiting", [READS, HOLDS_THE_LOCK])
def test_it_is_killed_when_the_child_dies(waiting: str) -> None:
    script = f"""
with shared_with({{"sleep", "raylet"}}):
    child = subprocess.Popen(["sleep", "600"])
    print(child.pid, flush=True)
    {waiting}
"""
    with running(script) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        until(lambda: len(family(process.pid)) == 3, "it has its child and its watcher")
        os.kill(child, signal.SIGKILL)
        assert process.wait(LIMIT_SECONDS) == -signal.SIGKILL
        assert process.stderr is not None
        assert "sleep died while it was waited for: the process is killed" in process.stderr.read()


def test_after_the_block_children_may_die() -> None:
    script = """
with shared_with({"sleep"}):
    child = subprocess.Popen(["sleep", "600"])
child.kill()
child.wait()
print("over", flush=True)
"""
    with running(script) as process:
        said, complained = process.communicate(timeout=LIMIT_SECONDS)
    assert (process.returncode, said, complained) == (0, "over\n", "")


@contextmanager
def child(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A child of this process."""
    with subprocess.Popen(command) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def parent(monkeypatch: pytest.MonkeyPatch) -> psutil.Process:
    """This process, which is not killed but has a list of its signals."""
    this = psutil.Process()
    this.signals = []
    monkeypatch.setattr(this, "send_signal", this.signals.append)
    return this


def look(monkeypatch: pytest.MonkeyPatch, *between: Callable[[], object]) -> None:
    """Standard input ends after the last of these, which happen between two looks."""
    happens = iter(between)

    def wait(*_: object) -> tuple[list[object], list[object], list[object]]:
        try:
            next(happens)()
        except StopIteration:
            return [sys.stdin], [], []
        return [], [], []

    monkeypatch.setattr(select, "select", wait)


def test_one_that_is_gone_has_died_and_others_may(
    parent: psutil.Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of another name, and those that were there before: waited for or not."""
    with (
        child("sleep", "600") as before,
        child("tail", "-f", "/dev/null") as other,
        child("sleep", "600") as mine,
    ):

        def ended() -> None:
            mine.kill()
            mine.wait()

        look(monkeypatch, int, before.kill, int, before.wait, other.kill, int, other.wait, int)
        fate.watch(parent, {"sleep"}, {before.pid})
        assert parent.signals == []
        look(monkeypatch, int, ended, int)
        fate.watch(parent, {"sleep"}, {before.pid})
        assert parent.signals == [signal.SIGKILL]


def test_one_that_has_died_before_the_first_look_is_seen(
    parent: psutil.Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    with child("sleep", "600") as mine:
        mine.kill()
        until(lambda: psutil.Process(mine.pid).status() == psutil.STATUS_ZOMBIE, "it has died")
        look(monkeypatch, int)
        fate.watch(parent, {"sleep"}, ())
        assert parent.signals == [signal.SIGKILL]
