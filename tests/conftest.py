"""A clean environment for every test, and the real data for those marked ``data``."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from workers import logs

REAL_DATA = os.environ.get("HEUNBOARD_DATA_DIR") or None


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the settings of the person who runs it."""
    for name in [name for name in os.environ if name.startswith("HEUNBOARD_")]:
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """However a test lets this process log, others do not see it."""
    root = logging.getLogger()
    level, hooks = root.level, (sys.excepthook, threading.excepthook)
    yield
    for handler in [one for one in root.handlers if isinstance(one, logs.Handler)]:
        root.removeHandler(handler)
    root.setLevel(level)
    sys.excepthook, threading.excepthook = hooks
    logging.captureWarnings(False)


@pytest.fixture
def real_data_dir(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder with the real data sets; skips, with the reason, where there is none."""
    if REAL_DATA is None or not Path(REAL_DATA).is_dir():
        pytest.skip("needs the real data sets: set HEUNBOARD_DATA_DIR to the folder that holds mnist/")
    monkeypatch.setenv("HEUNBOARD_DATA_DIR", REAL_DATA)
    return Path(REAL_DATA)
