"""What is known of metrics by name. Pages, API and command line resolve names nowhere else."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from urllib.parse import urlencode

from benchmarks.sweep_file.issues import nearest
from benchmarks.tasks import registry as tasks
from benchmarks.tasks.info import Metric
from service.errors import InvalidRequest
from service.resources import schemas

SELECTION_LABELS = {"train": "", "valid": "chosen by a validation metric", "test": "chosen on the test set"}
"""Split that the choosing metric is measured on -> what is said of the choice; choosing on training data is
the ordinary case."""


def known_metrics(task: str) -> list[schemas.MetricInfo]:
    """Every metric that trials of a task report, in the task's order; none for a task not installed here."""
    return [_info(metric) for metric in tasks.get(task).metrics] if task in tasks.available() else []


def metric_info(task: str, name: str) -> schemas.MetricInfo:
    """One metric of a task; one that is not known is shown by its name alone."""
    unknown = Metric(name=name, title=name, unit="", goal="minimize", split="train", description="")
    return next((metric for metric in known_metrics(task) if metric.name == name), _info(unknown))


def require_metrics(task: str, names: Iterable[str]) -> None:
    """Refuse names that trials of the task do not report.

    Raises:
        InvalidRequest: naming the metrics there are, and the nearest one.
    """
    known = [metric.name for metric in known_metrics(task)]
    for name in names:
        if name not in known:
            near = nearest(name, known)
            hint = f". Did you mean {near!r}?" if near else ""
            raise InvalidRequest(f"task {task!r} has no metric {name!r}; it has {', '.join(known)}{hint}")


def selection_label(task: str, select: str) -> str:
    """What is said of a choice by this metric: which data it looked at, unless those of training."""
    return SELECTION_LABELS[metric_info(task, select).split]


def default_rule(task: str) -> tuple[str, list[str]]:
    """The metric that chooses on boards of a task unless somebody says otherwise, and those beside it."""
    info = tasks.get(task)
    return info.select, beside(info.select, info.report)


def beside(select: str, report: Iterable[str]) -> list[str]:
    """The reported metrics, each once, without the choosing one, which every board shows first."""
    return [name for name in dict.fromkeys(report) if name != select]


def board_path(board: str, select: str, report: Sequence[str]) -> str:
    """Path of a board with its choices in the query: of its page, and below ``/api/v1`` of its answer.

    A report of nothing besides ``select`` names ``select``; an empty one would mean the task's default.
    """
    query = [("select", select), *(("report", name) for name in report or [select])]
    return f"/boards/{board}?{urlencode(query)}"


def _info(metric: Metric) -> schemas.MetricInfo:
    return schemas.MetricInfo.model_validate(dataclasses.asdict(metric))
