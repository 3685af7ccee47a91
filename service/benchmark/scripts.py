"""The other side: every trial a script of its own, one process a core at a time, until all are done."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import wait
from typing import cast

from benchmarks.commands.speed.script import order
from benchmarks.process import allocator
from benchmarks.spec import TrialSpec

COMMAND = (sys.executable, "-m", "benchmarks.commands.speed.script")

Clock = Callable[[], float]


class ScriptFailed(Exception):
    """A script ended with an error or without finite losses; what it wrote says why."""


def run(
    trials: Sequence[TrialSpec],
    *,
    processes: int,
    command: Sequence[str] = COMMAND,
    clock: Clock = time.monotonic,
) -> float:
    """Run the trials; seconds from the start of the first script to the end of the last.

    Args:
        trials: what to train; each script gets one.
        processes: scripts at the same time, each on one thread.
        command: what takes the order of a trial as its last argument.
        clock: seconds.

    Raises:
        ScriptFailed: one failed; the others are ended.
    """
    waiting = [[*command, order(trial)] for trial in reversed(trials)]
    running: dict[int, subprocess.Popen[bytes]] = {}  # by what their output is read from
    began = clock()
    try:
        while waiting or running:
            while waiting and len(running) < processes:
                output, process = _start(waiting.pop())
                running[output] = process
            for ended in wait([*running]):
                _finish(running.pop(cast("int", ended)))
        return clock() - began
    finally:
        for process in running.values():
            process.kill()
            process.communicate()


def _start(command: Sequence[str]) -> tuple[int, subprocess.Popen[bytes]]:
    """With the allocator's settings that our workers have; Ctrl-C reaches this process alone."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **allocator.environment(os.environ)}
    environment["CUDA_VISIBLE_DEVICES"] = ""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, start_new_session=True)
    assert process.stdout is not None  # it was started with a pipe
    return process.stdout.fileno(), process


def _finish(process: subprocess.Popen[bytes]) -> None:
    """Wait for a script that has said its last, and look at its losses."""
    said, _ = process.communicate()
    if process.returncode:
        raise ScriptFailed(f"a script ended with status {process.returncode}; its error, if any, is above")
    losses = json.loads(said)
    if not all(map(math.isfinite, losses.values())):
        raise ScriptFailed(f"the losses of a script are not finite: {losses}")
