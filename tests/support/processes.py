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
        return _stat(pid)[0] != "Z"
    except OSError:
        return False


def family(pid: int) -> list[int]:
    """The process and everything it started, directly or not."""
    children: dict[int, list[int]] = {}
    for other in _processes():
        if alive(other):
            children.setdefault(_parent(other), []).append(other)
    found = [pid]
    for member in found:
        found += children.get(member, [])
    return found


def working_on(data: Path) -> list[int]:
    """Processes that were started with ``data`` as their data directory, whoever their parent is by now."""
    mark = f"HEUNBOARD_DATA_HOME={data}\0".encode()
    return [pid for pid in _processes() if mark in _environment(pid)]


def command_line(pid: int) -> str:
    """Its arguments; empty when it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


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
        return next((pid for pid in members if f"service.cli {command} " in command_line(pid)), None)


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


def _processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def _stat(pid: int) -> list[str]:
    """Fields of ``/proc/PID/stat`` from the state on; the name before it may hold anything."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _parent(pid: int) -> int:
    try:
        return int(_stat(pid)[1])
    except OSError:
        return 0
