"""Prints how many tasks passed how many checks of the battery."""

from __future__ import annotations

import pytest

TEST = "test_task_battery.py::test_every_task_passes["


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    passed = [report.nodeid for report in terminalreporter.stats.get("passed", ()) if TEST in report.nodeid]
    if not passed:
        return
    tasks = {nodeid.partition(TEST)[2].rpartition("-")[0] for nodeid in passed}
    terminalreporter.section("battery of tasks")
    terminalreporter.line(f"{len(tasks)} tasks, {len(passed)} checks passed: {', '.join(sorted(tasks))}")
