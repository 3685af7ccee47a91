"""Real processes, mostly of the command line: started, watched with deadlines, never left behind."""

from __future__ import annotations

import json
import multiprocessing
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil

T = TypeVar("T")

LIMIT_SECONDS = 90.0
LOOK_SECONDS = 0.05


def in_new_process(function: Callable[..., T], *arguments: object, limit: float = LIMIT_SECONDS) -> T:
    """The answer of an importable function, computed in a process of its own, which ends in any case.

    Raises:
        multiprocessing.TimeoutError: none came within ``limit`` seconds.
    """
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply_async(function, arguments).get(limit)


def until(look: Callable[[], T | None], what: str, *, limit: float = LIMIT_SECONDS) -> T:
    """Look again and again until the answer is true; fails with ``what`` after ``limit`` seconds."""
    deadline = time.monotonic() + limit
    while not (answer := look()):
        assert time.monotonic() < deadline, f"after {limit:g} s still not: {what}"
        time.sleep(LOOK_SECONDS)  # between two looks, bounded by the deadline
    return answer


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and was not waited for does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def family(pid: int) -> list[int]:
    """The process and everything it started, directly or not, that runs."""
    try:
        started = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        started = []
    return [pid, *(child.pid for child in started if alive(child.pid))]


def working_on(data: Path) -> list[int]:
    """Processes that were started with ``data`` as their data directory, whoever their parent is by now."""
    everybody = psutil.process_iter(["environ"])
    homes = {one.pid: (one.info["environ"] or {}).get("HEUNBOARD_DATA_HOME") for one in everybody}
    return [pid for pid, home in homes.items() if home == str(data)]


def command_line(pid: int) -> str:
    """Its arguments; empty when it has ended."""
    try:
        return " ".join(psutil.Process(pid).cmdline())
    except psutil.NoSuchProcess:
        return ""


def program(pid: int) -> str:
    """What it calls itself, without a folder; empty when it has ended."""
    return command_line(pid).split(" ")[0].rsplit("/", 1)[-1]


def heunboard(
    *arguments: str, data: Path, module: str = "service.cli", **environment: str
) -> subprocess.Popen[str]:
    """Start a command with ``data`` as its data directory."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "HEUNBOARD_DATA_HOME": str(data), "OMP_NUM_THREADS": "1", **environment},
        start_new_session=True,
    )


def completed(*arguments: str, data: Path, module: str = "service.cli", **environment: str) -> Ended:
    """Run a command to its end."""
    process = heunboard(*arguments, data=data, module=module, **environment)
    try:
        out, err = process.communicate(timeout=LIMIT_SECONDS)
    except BaseException:
        end(working_on(data))
        process.communicate()
        raise
    return Ended(process.returncode, out, err)


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that has ended."""

    status: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Up:
    """A running ``heunboard up``.

    Attributes:
        process, url, data: itself, its address and its data directory.
        said: what it had said besides its address when that was read.
    """

    process: subprocess.Popen[str]
    url: str
    data: Path
    said: str

    def child(self, command: str) -> int | None:
        """Process id of the child that runs ``command``."""
        members = family(self.process.pid)[1:]
        return next((pid for pid in members if f"service.cli {command}" in command_line(pid)), None)


@contextmanager
def up(data: Path, *arguments: str, **environment: str) -> Iterator[Up]:
    """``heunboard up`` on a free port, ready; whatever it left is ended at the end of the block."""
    process = heunboard("up", "--port=0", "--json", *arguments, data=data, **environment)
    try:
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], LIMIT_SECONDS)[0], "not ready"
        said = os.read(process.stdout.fileno(), select.PIPE_BUF).decode()
        assert said, process.communicate()[1]
        first, end_of_first = json.JSONDecoder().raw_decode(said)
        yield Up(process, first["url"], data, said[end_of_first:].strip())
    finally:
        end(working_on(data))
        process.communicate()


def end(pids: Sequence[int]) -> None:
    """Kill what still runs."""
    for pid in pids:
        if alive(pid):
            os.kill(pid, signal.SIGKILL)
