"""A whole ``heunboard up`` as a child process, for programs that need a server for a while."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from service.errors import HeunboardError
from service.processes.children import tail

START_LIMIT_S = 120.0
STOP_LIMIT_S = 60.0


@contextmanager
def server(
    data: Path,
    arguments: Sequence[str],
    *,
    keep: bool = False,
    warm: bool = False,
    environment: Mapping[str, str] | None = None,
) -> Iterator[dict[str, Any]]:
    """``heunboard up`` on a free port: its ``url`` and ``pid``. Ended with the block unless ``keep``.

    Args:
        data: its data directory; its log goes there, too.
        arguments: of ``heunboard up``, besides port and data directory.
        keep: leave it running when the block ends without an exception.
        warm: wait until its workers are ready, too.
        environment: variables besides those of this process.

    Raises:
        HeunboardError: it did not start; the message has the end of its log.
    """
    log = data / "logs" / "up.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "service.cli", "up", "--json", "--port=0", f"--data={data}", *arguments],
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, **(environment or {})},
            start_new_session=True,  # Ctrl-C ends the program that needs it, which then ends it in order
        )
    try:
        documents = _documents(process, log)
        announcement = next(documents)
        if warm:
            next(documents)
        yield announcement
    except BaseException:
        _end(process)
        raise
    if not keep:
        _end(process)


def _documents(process: subprocess.Popen[bytes], log: Path) -> Iterator[dict[str, Any]]:
    """What ``heunboard up --json`` says: where it is, then that its workers are ready."""
    assert process.stdout is not None  # it was started with a pipe
    said = ""
    while True:
        try:
            document, end = json.JSONDecoder().raw_decode(said)
        except json.JSONDecodeError:
            said += _more(process.stdout.fileno(), log)
        else:
            yield document
            said = said[end:].lstrip()


def _more(stream: int, log: Path) -> str:
    ready, _, _ = select.select([stream], [], [], START_LIMIT_S)
    if not ready:
        raise HeunboardError(f"`heunboard up` was not ready after {START_LIMIT_S:g} s; {tail(log)}")
    said = os.read(stream, select.PIPE_BUF)
    if not said:
        raise HeunboardError(f"`heunboard up` ended at its start; {tail(log)}")
    return said.decode()


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ctrl-C, as a user would; kill what does not listen."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
    process.communicate()  # nothing is left to say: it closes the pipe
