"""Counts golden records as tests check them, and prints the counts at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from tests.estimators.goldens import unregistered

CHECKED = pytest.StashKey[Counter[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[CHECKED] = Counter()


@pytest.fixture
def count_golden(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Call with an estimator id after a golden record has been checked."""
    checked = request.config.stash[CHECKED]

    def count(id: str) -> None:
        checked[id] += 1

    return count


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    checked = config.stash[CHECKED]
    if not checked:
        return
    terminalreporter.section("golden cases checked per estimator")
    for id, count in sorted(checked.items()):
        terminalreporter.line(f"{id:32} {count:4}")
    terminalreporter.line(f"in the files, not in the registry: {', '.join(sorted(unregistered()))}")
