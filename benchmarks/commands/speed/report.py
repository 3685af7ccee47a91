"""The table for people and the JSON for programs, from the same rows."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.commands.speed.contest import Contest, SideResult
from benchmarks.commands.speed.rates import Rates
from benchmarks.commands.speed.reinmax_package import Comparison

FORMAT = 1
"""Version of the JSON's layout."""

_HEADINGS = (
    "case",
    "ours ms",
    "ref ms",
    "ours/h",
    "ref/h",
    "ratio (min-max)",
    "must",
    "goal",
    "verdict",
    "ours MB",
    "ref MB",
    "ours 1st s",
    "ref 1st s",
    "floor ms",
    "of floor",
    "limit",
)
_WIDER_HEADINGS = (
    "case",
    "lanes",
    "steps",
    "ours ms",
    "ref ms",
    "ratio (min-max)",
    "ours MB",
    "ref MB",
    "ours 1st s",
    "ref 1st s",
    "floor ms",
    "of floor",
    "limit",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A contest beside the floor of its step.

    Attributes:
        contest: what was measured.
        floor: seconds of the parts of a step.
    """

    contest: Contest
    floor: Mapping[str, float]

    @property
    def floor_ms(self) -> float:
        """The least time of a step."""
        return 1e3 * sum(self.floor.values())

    @property
    def fraction_of_floor(self) -> float:
        """Floor over measured time: 1 is the limit."""
        return self.floor_ms / self.contest.milliseconds(self.contest.ours)

    @property
    def limit(self) -> float:
        """The ratio of a program that takes the least time: the reference's time over the floor."""
        return self.contest.milliseconds(self.contest.reference) / self.floor_ms


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """Everything one call measured.

    Attributes:
        settings: how it was measured.
        rates: of this machine.
        rows: finished contests.
        failures: case -> why its contest has no result.
        package: comparisons with the package ``reinmax``; empty when they were not made.
        interrupted: whether cases are missing because somebody stopped it.
    """

    settings: Mapping[str, Any]
    rates: Rates
    rows: list[Row] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    package: list[Comparison] = field(default_factory=list)
    interrupted: bool = False

    @property
    def passed(self) -> bool:
        """Whether every case ran and reached its must, and the gradients are those of the package."""
        reached = all(row.contest.verdict != "MISSED" for row in self.rows)
        return reached and not (self.failures or self.interrupted) and all(one.agrees for one in self.package)


def table(report: Report) -> str:
    """Text for a terminal."""
    lines = []
    demanded = [_cells(row) for row in report.rows if row.contest.case.must is not None]
    wider = [_wider_cells(row) for row in report.rows if row.contest.case.must is None]
    if demanded:
        lines += aligned([_HEADINGS, *demanded])
    if wider:
        lines += [*([""] if lines else []), "The wider field (no must)", *aligned([_WIDER_HEADINGS, *wider])]
    lines += [f"{name}: FAILED, {message}" for name, message in report.failures.items()]
    lines += ["", _explanation(report), *(_package_line(one) for one in report.package)]
    return "\n".join(lines)


def to_json(report: Report) -> dict[str, Any]:
    """Plain data: seconds, bytes and ratios, nothing rounded."""
    return {
        "format": FORMAT,
        "passed": report.passed,
        "interrupted": report.interrupted,
        "machine": machine(),
        "settings": dict(report.settings),
        "rates_ns": {name: 1e9 * seconds for name, seconds in asdict(report.rates).items()},
        "cases": [_case_json(row) for row in report.rows],
        "failures": dict(report.failures),
        "reinmax_package": [_package_json(one) for one in report.package],
    }


def write(report: Report, path: Path) -> None:
    """Write the JSON."""
    path.write_text(json.dumps(to_json(report), indent=2) + "\n")


def machine() -> dict[str, str]:
    """What the figures depend on besides the program."""
    return {
        "processor": platform.processor() or platform.machine(),
        "vector_instructions": torch.backends.cpu.get_cpu_capability(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _cells(row: Row) -> tuple[str, ...]:
    contest, case = row.contest, row.contest.case
    return (
        case.name,
        *_milliseconds(contest),
        *(f"{contest.trials_per_hour(side):.3g}" for side in (contest.ours, contest.reference)),
        _ratio(contest),
        *("" if level is None else f"{level:g}" for level in (case.must, case.goal)),
        contest.verdict or "",
        *_cost(row),
    )


def _wider_cells(row: Row) -> tuple[str, ...]:
    """Without what only a case of published length, with a must, has."""
    contest, case = row.contest, row.contest.case
    steps = " ".join(contest.ours.forms)
    return (case.name, str(case.lanes), steps, *_milliseconds(contest), _ratio(contest), *_cost(row))


def _milliseconds(contest: Contest) -> tuple[str, ...]:
    return tuple(f"{contest.milliseconds(side):.3g}" for side in (contest.ours, contest.reference))


def _ratio(contest: Contest) -> str:
    return f"{contest.ratio:.3g} ({min(contest.ratios):.3g}-{max(contest.ratios):.3g})"


def _cost(row: Row) -> tuple[str, ...]:
    """Memory, start and floor."""
    sides = (row.contest.ours, row.contest.reference)
    return (
        *(f"{side.peak_bytes / 1e6:.0f}" for side in sides),
        *(f"{side.first_step_seconds:.1f}" for side in sides),
        f"{row.floor_ms:.3g}",
        f"{row.fraction_of_floor:.0%}",
        f"{row.limit:.3g}",
    )


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns two blanks apart, the first flush left, the others flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def _explanation(report: Report) -> str:
    rates = {name: 1e9 * value for name, value in asdict(report.rates).items()}
    return (
        "ms: one step of one trial on one core, all cores busy; /h: whole trials an hour, all cores;"
        " steps: how ours were done, compiled (loop, steps) or eager;"
        " MB: largest process; 1st s: from starting a process to its first steps;"
        " of floor: floor over ours; limit: ratio of a program as fast as the floor.\n"
        "This machine, ns a number on one thread: "
        + ", ".join(f"{name} {value:.3g}" for name, value in rates.items())
    )


def _package_line(one: Comparison) -> str:
    ratio = one.time_ratio
    return (
        f"package reinmax on {one.shape}: gradients differ by {one.gradient_difference:.1e}"
        f" ({'equal' if one.agrees else 'NOT EQUAL'}); it takes {ratio.value:.2f} times our time"
        f" ({ratio.low:.2f}-{ratio.high:.2f}; {one.theirs_ms:.3g} and {one.ours_ms:.3g} ms) and"
        f" {one.memory_ratio:.2f} times our memory"
    )


def _case_json(row: Row) -> dict[str, Any]:
    contest = row.contest
    return {
        "name": contest.case.name,
        "lanes": contest.case.lanes,
        "processes": contest.processes,
        "ratio": contest.ratio,
        "ratios": list(contest.ratios),
        "must": contest.case.must,
        "goal": contest.case.goal,
        "verdict": contest.verdict,
        "ours": _side_json(contest, contest.ours),
        "reference": _side_json(contest, contest.reference),
        "floor_ms": {name: 1e3 * seconds for name, seconds in row.floor.items()},
        "fraction_of_floor": row.fraction_of_floor,
        "limit": row.limit,
    }


def _side_json(contest: Contest, side: SideResult) -> dict[str, Any]:
    return {
        "steps_per_second": list(side.rates),
        "ms_per_step": contest.milliseconds(side),
        "trials_per_hour": None if contest.case.must is None else contest.trials_per_hour(side),
        "first_step_seconds": side.first_step_seconds,
        "peak_bytes": side.peak_bytes,
        "matmul": list(side.matmul),
        "forms": list(side.forms),
    }


def _package_json(one: Comparison) -> dict[str, Any]:
    return asdict(one) | {"memory_ratio": one.memory_ratio, "agrees": one.agrees}
