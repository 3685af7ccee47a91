"""The page on parameters, metrics and optimizers: what the registries of tasks and optimizers declare."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.engine.optimizers import registry as optimizers
from benchmarks.tasks import registry as tasks
from benchmarks.tasks.info import TaskInfo
from documentation import markdown
from estimators.info import Parameter

_INTRODUCTION = """\
# Parameters of tasks and optimizers

What the registries declare, for the tasks and optimizers that come with Heunboard. [The tasks](tasks.md)
says what they compute and which experiments they stand for. Parameters go into a [sweep
file](sweep-file.md) under `task` or with the optimizer's `id`; metrics are what `select` and `report`
name."""


def page() -> str:
    """The whole page."""
    infos = [tasks.get(id) for id in tasks.available() if tasks.get(id).target.startswith("benchmarks.")]
    return markdown.page(
        _INTRODUCTION,
        *(_task(info) for info in infos),
        "## Optimizers\n\nThe learning rate is `lr` for all of them.",
        *(
            f"### {optimizers.get(id).id}\n\n{_parameters(optimizers.get(id).parameters)}"
            for id in optimizers.available()
        ),
    )


def _task(info: TaskInfo) -> str:
    metrics = (
        (markdown.code(m.name), m.title, m.unit, m.goal, m.split, markdown.sentence(m.description))
        for m in info.metrics
    )
    return markdown.page(
        f"## {info.id}\n\n{info.title}. Version {info.version}. Chosen by `{info.select}`, optimizers "
        f"{', '.join(map(markdown.code, info.optimizers))}, learning rate {info.default_lr:g} by default.",
        _parameters(info.parameters),
        markdown.table(("Metric", "Title", "Unit", "Goal", "Data", "How it is computed"), metrics),
    ).strip()


def _parameters(parameters: Iterable[Parameter]) -> str:
    rows = [
        (
            markdown.code(p.name),
            markdown.sentence(p.description),
            p.range_text(),
            "required" if p.default is None else markdown.code(p.default),
        )
        for p in parameters
    ]
    return markdown.table(("Parameter", "Meaning", "Allowed", "Default"), rows) if rows else "No parameters."
