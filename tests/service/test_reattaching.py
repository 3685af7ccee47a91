"""A dispatcher of a cluster is started again for as long as it takes."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from service.processes import reattaching
from service.processes.reattaching import keep_running
from tests.support.processes import alive, until

DIES = """
import os, sys
from pathlib import Path
log = Path(sys.argv[-2]); log.open("a").write(f"{os.getpid()}\\n")
lives = len(log.read_text().splitlines())
os.kill(os.getpid(), 9) if lives < 8 else sys.exit(int(sys.argv[-3]))
"""
WAITS = """
import os, sys, threading
from pathlib import Path
Path(sys.argv[-2]).write_text(str(os.getpid()))
threading.Event().wait(60)
"""


def program(text: str) -> list[str]:
    """What is run in place of the command line."""
    return [sys.executable, "-c", text]


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(reattaching, "FIRST_PAUSE_S", 0.0)
    return tmp_path / "log"


@pytest.mark.parametrize("status", [0, 2])
def test_it_starts_again_until_it_ends_in_order_or_cannot_use_its_arguments(log: Path, status: int) -> None:
    told: list[str] = []
    assert keep_running([str(status), str(log)], told.append, program=program(DIES)) == status
    assert len(log.read_text().splitlines()) == 8, "more often than a local child would be"
    assert told == [f"`heunboard {status}` was ended by SIGKILL; starting it again"] * 7


def test_a_signal_ends_both(log: Path) -> None:

    def interrupt() -> None:
        until(lambda: log.exists() and log.read_text(), "the process runs")
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=interrupt)
    thread.start()
    keep_running(["x", str(log)], lambda line: None, program=program(WAITS))
    thread.join()
    assert not alive(int(log.read_text()))
