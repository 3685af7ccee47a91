"""Children without which this process can do nothing, while it waits for them.

It is watched by a process of its own: what waits may hold Python's lock meanwhile, and then no thread of the
process that waits would ever look.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator

import psutil

from workers import logs

_log = logging.getLogger(__name__)

LOOK_SECONDS = 0.1


@contextlib.contextmanager
def shared_with(names: Collection[str]) -> Iterator[None]:
    """While the block runs and a child of one of these names that began in it dies, this process is killed;
    whoever keeps it running starts it again.

    For blocks that start children, wait for them long after they have died, and cannot be interrupted.
    """
    before = [str(child.pid) for child in psutil.Process().children()]
    command = [sys.executable, "-m", "workers.fate", ",".join(names), *before]
    with subprocess.Popen(command, stdin=subprocess.PIPE):  # at the end its input ends, and so does it
        yield


def watch(parent: psutil.Process, names: Collection[str], before: Collection[int]) -> None:
    """Kill ``parent`` when a child of it dies; returns when standard input ends."""
    seen: dict[int, str] = {}
    while not select.select([sys.stdin], [], [], LOOK_SECONDS)[0]:
        living, dead = _children(parent, names, before)
        dead |= {pid: name for pid, name in seen.items() if pid not in living}
        if dead and parent.is_running():
            _log.critical("%s died while it was waited for: the process is killed", min(dead.values()))
            parent.send_signal(signal.SIGKILL)
            return
        seen = living


def _children(
    parent: psutil.Process, names: Collection[str], before: Collection[int]
) -> tuple[dict[int, str], dict[int, str]]:
    """Those that live and those that have died but were not waited for, each with its name."""
    living: dict[int, str] = {}
    dead: dict[int, str] = {}
    for child in parent.children():
        with contextlib.suppress(psutil.NoSuchProcess):  # it was waited for while we looked
            name, state = child.name(), child.status()
            if child.pid not in before and name in names:
                (dead if state == psutil.STATUS_ZOMBIE else living)[child.pid] = name
    return living, dead


def main() -> None:
    """The process that watches its parent."""
    logs.configure("dispatcher")
    with contextlib.suppress(psutil.NoSuchProcess):  # the parent ended by itself
        watch(psutil.Process(os.getppid()), sys.argv[1].split(","), {int(pid) for pid in sys.argv[2:]})


if __name__ == "__main__":
    main()
