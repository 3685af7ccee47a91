"""The tables for people and the JSON for programs, from the same rows."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.commands.speed.report import aligned, machine
from service.benchmark.cases import Case, Mode
from service.benchmark.ours import Turn
from service.benchmark.phases import NAMES

FORMAT = 1
"""Version of the JSON's layout."""

_HEADINGS = (
    "case",
    "server",
    "ours s",
    "scripts s",
    "ours/h",
    "scripts/h",
    "ratio (min-max)",
    "must",
    "goal",
    "verdict",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A case computed in one way, beside the scripts of the same rounds.

    Attributes:
        case, mode: what and how.
        trials: of the sweep.
        measured: how many of them were run as scripts; ``scripts`` is their time scaled to all.
        ours: a sweep a round.
        scripts: seconds for all trials, a figure a round.
    """

    case: Case
    mode: Mode
    trials: int
    measured: int
    ours: list[Turn] = field(default_factory=list)
    scripts: list[float] = field(default_factory=list)

    @property
    def ratios(self) -> tuple[float, ...]:
        """The scripts' time over ours, a figure a round."""
        return tuple(theirs / ours.seconds for ours, theirs in zip(self.ours, self.scripts, strict=True))

    @property
    def ratio(self) -> float:
        """Median of the ratios."""
        return statistics.median(self.ratios)

    @property
    def seconds(self) -> tuple[float, float]:
        """Of ours and of the scripts, medians over rounds."""
        return statistics.median(turn.seconds for turn in self.ours), statistics.median(self.scripts)

    @property
    def trials_per_hour(self) -> tuple[float, float]:
        """Of ours and of the scripts."""
        ours, scripts = self.seconds
        return 3600 * self.trials / ours, 3600 * self.trials / scripts

    @property
    def verdict(self) -> str:
        """``goal``, ``must`` or ``MISSED``; nothing where nothing is demanded."""
        target = self.case.target(self.mode)
        return "" if target is None else target.verdict(self.ratio)

    @property
    def phases(self) -> dict[str, float]:
        """Seconds by phase, means over rounds."""
        return {name: statistics.fmean(turn.phases[name] for turn in self.ours) for name in NAMES}


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """Everything one call measured.

    Attributes:
        settings: how it was measured.
        rows: with at least one round.
        failures: case -> why it has no result, or not all of them.
        interrupted: whether something is missing because somebody stopped it.
    """

    settings: Mapping[str, Any]
    rows: list[Row] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False

    @property
    def passed(self) -> bool:
        """Whether every case ran and reached its must."""
        reached = all(row.verdict != "MISSED" for row in self.rows)
        return reached and not (self.failures or self.interrupted)


def tables(report: Report) -> str:
    """Text for a terminal: ratios, then where our time goes."""
    lines = aligned([_HEADINGS, *(_cells(row) for row in report.rows)])
    lines += [f"{name}: FAILED, {message}" for name, message in report.failures.items()]
    lines += [""]
    lines += [
        f"{name}: {measured} of {trials} trials were run as scripts, their time scaled to all"
        for name, measured, trials in _scaled(report)
    ]
    lines += [_EXPLANATION, "", "Where our time goes, seconds (each of the slots, mean over rounds):"]
    headings = ("case", "server", "all", *(name.replace("_", " ") for name in NAMES), "steps by")
    lines += aligned([headings, *(_phase_cells(row) for row in report.rows)])
    return "\n".join(lines)


def to_json(report: Report) -> dict[str, Any]:
    """Plain data, nothing rounded."""
    return {
        "format": FORMAT,
        "passed": report.passed,
        "interrupted": report.interrupted,
        "machine": machine(),
        "settings": dict(report.settings),
        "rows": [_row_json(row) for row in report.rows],
        "failures": dict(report.failures),
    }


def write(report: Report, path: Path) -> None:
    """Write the JSON."""
    path.write_text(json.dumps(to_json(report), indent=2) + "\n")


_EXPLANATION = (
    "s: from submission to the last result, and from the first script's start to the last one's end (median);"
    " /h: trials an hour; ratio: the scripts' time over ours."
)


def _cells(row: Row) -> tuple[str, ...]:
    target = row.case.target(row.mode)
    return (
        row.case.name,
        str(row.mode),
        *(f"{seconds:.1f}" for seconds in row.seconds),
        *(f"{rate:.3g}" if rate < 1000 else f"{rate:,.0f}" for rate in row.trials_per_hour),
        f"{row.ratio:.3g} ({min(row.ratios):.3g}-{max(row.ratios):.3g})",
        f"{target.must:g}" if target else "",
        f"{target.goal:g}" if target else "",
        row.verdict,
    )


def _phase_cells(row: Row) -> tuple[str, ...]:
    executors = sorted({executor for turn in row.ours for executor in turn.executors})
    return (
        row.case.name,
        str(row.mode),
        f"{statistics.fmean(turn.seconds for turn in row.ours):.2f}",
        *(f"{row.phases[name]:.2f}" for name in NAMES),
        "; ".join(executors),
    )


def _scaled(report: Report) -> Sequence[tuple[str, int, int]]:
    rows = [row for row in report.rows if row.measured < row.trials]
    return list(dict.fromkeys((row.case.name, row.measured, row.trials) for row in rows))


def _row_json(row: Row) -> dict[str, Any]:
    target = row.case.target(row.mode)
    return {
        "case": row.case.name,
        "launcher": row.mode.launcher,
        "workers": row.mode.workers,
        "cache": row.mode.cache,
        "trials": row.trials,
        "trials_as_scripts": row.measured,
        "ratio": row.ratio,
        "ratios": list(row.ratios),
        "must": target and target.must,
        "goal": target and target.goal,
        "verdict": row.verdict or None,
        "ours_seconds": [turn.seconds for turn in row.ours],
        "scripts_seconds": list(row.scripts),
        "trials_per_hour": dict(zip(("ours", "scripts"), row.trials_per_hour, strict=True)),
        "phases": row.phases,
        "executors": [list(turn.executors) for turn in row.ours],
    }
