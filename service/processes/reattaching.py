"""Keeps a dispatcher of a Ray cluster running: Ray ends the process that was attached to a head that died."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence

from service.exit_status import ExitStatus
from service.processes.children import STOP_LIMIT_S, how_it_ended, stop_on_signals

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 10.0
STEADY_S = 60.0
"""A process that lived for so long is started again at once when it ends."""
LOOK_S = 0.1


def keep_running(
    arguments: Sequence[str],
    notify: Callable[[str], None],
    *,
    stop_limit: float = STOP_LIMIT_S,
    program: Sequence[str] = (sys.executable, "-m", "service.cli"),
) -> int:
    """Run ``heunboard ARGUMENTS`` until it ends by itself in order; start it again whenever it dies.

    It is tried for as long as it takes, with pauses that double up to ten seconds: the head of a cluster may
    be away for hours. SIGINT and SIGTERM end it. Call it in the main thread of the process.

    Args:
        arguments: a command that takes ``--end-with-parent``.
        notify: called with one line for each new start.
        stop_limit: seconds that it has to end when it is asked to.
        program: what is run, for tests.

    Returns:
        Its exit status: 0, or 2 when it cannot use what it was given.
    """
    stop, pause = threading.Event(), FIRST_PAUSE_S
    with stop_on_signals(stop):
        while True:
            began = time.monotonic()
            status = _run([*program, *arguments], stop, stop_limit)
            if stop.is_set() or status in (ExitStatus.DONE, ExitStatus.WRONG_INPUT):
                return status
            pause = FIRST_PAUSE_S if time.monotonic() - began > STEADY_S else pause
            notify(f"`heunboard {arguments[0]}` {how_it_ended(status)}; starting it again")
            if stop.wait(pause):
                return 0
            pause = min(2 * pause, LONGEST_PAUSE_S)


def _run(command: Sequence[str], stop: threading.Event, limit: float) -> int:
    """The exit status of one process, which is asked to end when ``stop`` is set."""
    with subprocess.Popen(
        [*command, "--end-with-parent"], stdin=subprocess.PIPE, start_new_session=True
    ) as process:
        while process.poll() is None:
            if not stop.wait(LOOK_S):
                continue
            process.terminate()
            try:
                process.wait(limit)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    return process.returncode
