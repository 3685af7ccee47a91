"""Figures as a table for a terminal and as JSON, with ratios to ReinMax beside the published ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.commands.efficiency.cases import BASE, Contender, Problem, published
from benchmarks.commands.efficiency.measure import Figures, Plan
from benchmarks.commands.speed.report import aligned, machine

FORMAT = 1
"""Version of the JSON's layout."""

Pair = tuple[Problem, Contender]

_HEADINGS = (
    "",
    "s/epoch",
    "(min-max)",
    "steps",
    "ratio",
    "A6000 s",
    "ratio",
    "peak MB",
    "added MB",
    "ratio",
    "A6000 MB",
    "ratio",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What one call measured.

    Attributes:
        plan: how.
        rows: in the order in which they were measured.
        failures: what could not be measured, and why.
    """

    plan: Plan
    rows: dict[tuple[str, str], tuple[Pair, Figures]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def add(self, pair: Pair, figures: Figures) -> None:
        """Note what a pair costs."""
        problem, contender = pair
        self.rows[problem.name, contender.name] = pair, figures

    def base(self, problem: Problem) -> Figures | None:
        """What ReinMax costs on the problem, if it was measured."""
        found = self.rows.get((problem.name, BASE.name))
        return None if found is None else found[1]


def table(report: Report) -> str:
    """Text for a terminal: a block a problem."""
    problems = dict.fromkeys(problem.name for (problem, _), _ in report.rows.values())
    lines = [_protocol(report.plan), ""]
    for name in problems:
        rows = [(pair, figures) for (of, _), (pair, figures) in report.rows.items() if of == name]
        lines += [rows[0][0][0].title, *aligned([_HEADINGS, *(_cells(report, *row) for row in rows)]), ""]
    lines += [f"{name}: FAILED, {message}" for name, message in report.failures.items()]
    return "\n".join([*lines, _legend(report.plan)])


def to_json(report: Report) -> dict[str, Any]:
    """Plain data: seconds, bytes and ratios, nothing rounded."""
    device = torch.device(report.plan.device)
    return {
        "format": FORMAT,
        "machine": machine(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "plan": asdict(report.plan),
        "cases": [_row_json(report, pair, figures) for pair, figures in report.rows.values()],
        "failures": dict(report.failures),
    }


def write(report: Report, path: Path) -> None:
    """Write the JSON."""
    path.write_text(json.dumps(to_json(report), indent=2) + "\n")


def ratios(report: Report, pair: Pair, figures: Figures) -> Mapping[str, float | None]:
    """To ReinMax on the same problem: seconds and added bytes, measured and published.

    ``None`` where ReinMax was not measured, or its steps added nothing that could be seen.
    """
    problem, contender = pair
    base, theirs, theirs_base = (
        report.base(problem),
        published(problem, contender),
        published(problem, BASE),
    )
    return {
        "seconds": figures.seconds / base.seconds if base else None,
        "added_bytes": figures.added_bytes / base.added_bytes if base and base.added_bytes > 0 else None,
        "published_seconds": theirs.seconds / theirs_base.seconds if theirs and theirs_base else None,
        "published_megabytes": theirs.megabytes / theirs_base.megabytes if theirs and theirs_base else None,
    }


def _cells(report: Report, pair: Pair, figures: Figures) -> tuple[str, ...]:
    theirs, ratio = published(*pair), ratios(report, pair, figures)
    return (
        pair[1].name,
        _shown(figures.seconds),
        f"({_shown(min(figures.epochs))}-{_shown(max(figures.epochs))})",
        f"{figures.steps}" if figures.steps == figures.of else f"{figures.steps} of {figures.of}",
        _shown(ratio["seconds"]),
        _shown(theirs.seconds if theirs else None),
        _shown(ratio["published_seconds"]),
        f"{figures.peak_bytes / 1e6:.1f}",
        f"{figures.added_bytes / 1e6:.1f}",
        _shown(ratio["added_bytes"]),
        _shown(theirs.megabytes if theirs else None),
        _shown(ratio["published_megabytes"]),
    )


def _shown(value: float | None) -> str:
    """Three digits, and no powers of ten; nothing for what is not known."""
    if value is None:
        return ""
    return f"{value:.3g}" if abs(value) < 999.5 else f"{value:,.0f}"


def _protocol(plan: Plan) -> str:
    cut = (
        "whole epochs"
        if plan.seconds is None
        else f"an epoch of more than {plan.seconds:g} s is cut, and its time scaled to all its steps"
    )
    return (
        f"Forward and backward passes without updates, not compiled, on {plan.device}, threads: "
        f"{plan.threads}; at most {plan.warm_up} steps to warm up, median of {plan.epochs} epochs; {cut}."
    )


def _legend(plan: Plan) -> str:
    what = (
        "tensors, by torch's allocator"
        if torch.device(plan.device).type == "cuda"
        else "resident bytes of a process of its own, which holds Python and torch, too"
    )
    return (
        "ratio: to reinmax, of the figures before it; A6000: Table 3 of the ReinMax paper, another machine.\n"
        f"peak MB: most memory ({what}); added: above what was held before the first step (weights, data)."
    )


def _row_json(report: Report, pair: Pair, figures: Figures) -> dict[str, Any]:
    problem, contender = pair
    theirs = published(problem, contender)
    return {
        "problem": problem.name,
        "estimator": contender.estimator,
        "draws": contender.draws,
        **asdict(figures),
        "seconds": figures.seconds,
        "added_bytes": figures.added_bytes,
        "ratios": dict(ratios(report, pair, figures)),
        "published": None if theirs is None else asdict(theirs),
    }
