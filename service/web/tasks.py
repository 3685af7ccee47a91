"""The pages of tasks: all of them, and one with its parameters, metrics, known levels and boards."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import HTMLResponse

from benchmarks.spec import Component
from benchmarks.suites import published
from benchmarks.tasks import registry as tasks
from benchmarks.tasks.info import Reference, TaskInfo
from service.dependencies import AddressDep, EngineDep
from service.resources import board_lists, catalogue, metrics, numbers
from service.web.board_lists import grouped
from service.web.render import page

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

SHOWN_BOARDS = 20


@router.get("/tasks")
def tasks_page() -> HTMLResponse:
    """All tasks."""
    entries = [catalogue.task_entry(tasks.get(id)) for id in tasks.available()]
    return page("tasks.html", section="tasks", tasks=entries, broken=tasks.broken())


@router.get("/tasks/{id}")
def task_page(engine: EngineDep, address: AddressDep, id: str) -> HTMLResponse:
    """One task."""
    info = catalogue.task(id)
    found = board_lists.list_boards(engine, limit=SHOWN_BOARDS, task=id)
    groups = grouped(found.boards)
    return page(
        "task.html",
        section="tasks",
        task=catalogue.task_entry(info),
        default_title=info.describe(info.values({})),
        facts=_facts(info),
        levels=levels(info),
        rows=groups[0]["rows"] if groups else [],
        more=found.next_page_token is not None,
        address=address,
    )


def _facts(info: TaskInfo) -> list[tuple[str, str]]:
    values = info.values({})
    splits = ", ".join(f"{n:,} {split}" for split, n in info.splits(values).items())
    data = ", ".join(f"{one.id}" for one in info.data(values))
    facts = [
        ("Id, version", f"{info.id}, version {info.version}"),
        ("Chosen by", metrics.metric_info(info.id, info.select).title),
        ("Optimizers", ", ".join(info.optimizers)),
        ("Learning rate", f"{numbers.rate(info.default_lr)} unless a sweep says otherwise"),
        ("Updates of a trial", f"{info.total_steps(values):,} at the defaults"),
    ]
    if data:
        facts.append(("Data", f"{data}: {splits} examples" if splits else data))
    return facts


def levels(info: TaskInfo) -> list[dict[str, Any]]:
    """Known and published numbers at the default parameters."""
    values = info.values({})
    component = Component(id=info.id, version=info.version, parameters=tuple(sorted(values.items())))
    found = (*info.references(values), *published.references(component, info.select))
    return [_level(info, one) for one in found]


def _level(info: TaskInfo, reference: Reference) -> dict[str, Any]:
    decimals = numbers.reference_decimals(reference.mean, reference.sd)
    spread = "" if reference.sd is None else f" ± {numbers.text(reference.sd, decimals)}"
    return {
        "metric": metrics.metric_info(info.id, reference.metric).title,
        "estimator": reference.estimator,
        "label": reference.label,
        "value": numbers.text(reference.mean, decimals) + spread,
        "source": numbers.origin(reference.source, n=reference.n, slip=reference.slip),
        "comparable": reference.comparable,
    }
