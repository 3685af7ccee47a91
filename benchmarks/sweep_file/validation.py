"""A sweep file held against the registries of tasks, estimators and optimizers. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from benchmarks.spec import PRECISIONS, Diagnostics, Precision
from benchmarks.sweep_file.compatibility import check_compatibility
from benchmarks.sweep_file.components import look_up, look_up_estimator, read_grid
from benchmarks.sweep_file.diagnostics import read_diagnostics
from benchmarks.sweep_file.document import plain
from benchmarks.sweep_file.grid import ComponentGrid, EstimatorGrid, Sweep
from benchmarks.sweep_file.issues import Issue, Issues, SpecError, at, listed, shown
from benchmarks.sweep_file.limits import MAX_PRIORITY, MAX_SEED, MAX_SEEDS, MAX_TRIALS, MIN_PRIORITY
from benchmarks.sweep_file.optimizers import TRAINING, Training
from benchmarks.sweep_file.parameters import axes_of, check_names, read_axis, read_value
from benchmarks.sweep_file.schema import GridSection, SelectSection, read_fields
from benchmarks.sweep_file.texts import check_texts
from benchmarks.tasks import registry as tasks
from benchmarks.tasks.diagnostic_metrics import diagnostic_metric, diagnostic_metrics
from benchmarks.tasks.info import Goal, Metric, TaskInfo
from estimators.info import EstimatorInfo, Parameter

_SEED = Parameter(name="seed", type=int, default=None, minimum=0, maximum=MAX_SEED, description="One seed.")
_SEED_COUNT = Parameter(
    name="seeds", type=int, default=None, minimum=1, maximum=MAX_SEEDS, description="Number of seeds from 0."
)
_PRIORITY = Parameter(
    name="priority", type=int, default=0, minimum=MIN_PRIORITY, maximum=MAX_PRIORITY, description="Urgency."
)
_PRECISION = Parameter(
    name="precision", type=str, default="float32", choices=PRECISIONS, description="Of matmul on a GPU."
)
_UNKNOWN = ComponentGrid(id="", version=0, axes=())  # stands where an issue was noted


def validate(raw: Any, *, source: str) -> Sweep:
    """The sweep that parsed or plain Python data describes.

    Raises:
        SpecError: with everything that is wrong, each with its JSON pointer.
    """
    issues = Issues()
    document = plain(raw, issues, source=source)
    if not isinstance(document, dict):
        came = f"expected a mapping, got {shown(document)}"
        raise SpecError([Issue("", f"{came}; start with `name: ...`.")], source=source)
    sweep = _read(read_fields(document, issues), issues)
    issues.raise_if_any(source)
    _check_size(sweep, source)
    _check_contradictions(sweep, tasks.get(sweep.task.id), issues)
    issues.raise_if_any(source)
    check_compatibility(sweep, tasks.get(sweep.task.id), issues)
    issues.raise_if_any(source)
    return sweep


def _read(fields: Mapping[str, Any], issues: Issues) -> Sweep:
    """A sweep from the fields of right shape; incomplete where an issue was noted."""
    info = _task_info(fields, issues)
    check_texts(fields, issues)
    task = read_grid(fields["task"], info, "/task", issues) if info else _UNKNOWN
    diagnostics = read_diagnostics(fields.get("diagnostics"), task, issues)
    metric, goal, report = _rule(fields, info, task, diagnostics, issues)
    return Sweep(
        name=fields.get("name", ""),
        description=fields.get("description", ""),
        owner=fields.get("owner"),
        tags=tuple(fields.get("tags", ())),
        task=task,
        estimators=_estimators(fields, info, issues),
        seeds=_seeds(fields["seeds"], issues) if "seeds" in fields else (),
        metric=metric,
        goal=goal,
        report=report,
        priority=int(read_value(fields.get("priority", 0), _PRIORITY, "/priority", issues) or 0),
        precision=_precision(fields, issues),
        diagnostics=diagnostics,
    )


def _precision(fields: Mapping[str, Any], issues: Issues) -> Precision:
    value = read_value(fields.get("precision", "float32"), _PRECISION, "/precision", issues)
    return cast(Precision, value or "float32")


def _task_info(fields: Mapping[str, Any], issues: Issues) -> TaskInfo | None:
    if "task" not in fields:
        return None
    return look_up(fields["task"], "/task", "task", tasks.get, tasks.available(), issues, tasks.absence)


def _estimators(
    fields: Mapping[str, Any], info: TaskInfo | None, issues: Issues
) -> tuple[EstimatorGrid, ...]:
    section: GridSection = fields.get("grid", GridSection())
    shared = section.model_dump(exclude_unset=True)
    check_names(shared, TRAINING, "/grid", issues, of="grid")
    training = Training.of_task(info).replaced(shared, "/grid", issues)
    entries: list[EstimatorGrid] = []
    settings = 0
    for i, entry in enumerate(fields.get("estimators", [])):
        entries.append(_estimator(entry, training, at("/estimators", i), issues))
        settings += sum(map(len, entries[-1].optimizers))
        if settings > MAX_TRIALS:  # before more of them are looked at one by one
            return _too_many_optimizers(settings, i, issues)
    _check_overlaps(entries, issues)
    return tuple(entries)


def _too_many_optimizers(settings: int, last: int, issues: Issues) -> tuple[EstimatorGrid, ...]:
    """Note that the entries up to the last have more settings of optimizers than a sweep may have trials."""
    issues.add(
        "/estimators",
        f"the first {last + 1:,} entries have {settings:,} settings of optimizers, and a sweep at most "
        f"{MAX_TRIALS:,} trials; split the sweep.",
    )
    return ()


def _estimator(entry: Any, training: Training, path: str, issues: Issues) -> EstimatorGrid:
    found = look_up_estimator(entry, path, issues)
    if found is None:
        return EstimatorGrid(estimator=_UNKNOWN, optimizers=(), lrs=())
    return _estimator_grid(*found, training, path, issues)


def _estimator_grid(
    block: Mapping[str, Any], info: EstimatorInfo, training: Training, path: str, issues: Issues
) -> EstimatorGrid:
    check_names(block, [*(p.name for p in info.parameters), *TRAINING], path, issues, of=info.id)
    own = training.replaced(block, path, issues)
    return EstimatorGrid(
        estimator=ComponentGrid(
            id=info.id, version=info.version, axes=axes_of(block, info.parameters, path, issues)
        ),
        optimizers=own.optimizers,
        lrs=own.lrs,
    )


def _check_overlaps(entries: Sequence[EstimatorGrid], issues: Issues) -> None:
    """Note entries that share a cell with an earlier one."""
    if sum(map(len, entries)) > MAX_TRIALS:
        return  # refused for its size, and too large to look at every cell
    first: dict[object, int] = {}
    for i, entry in enumerate(entries):
        twin = min(first.setdefault(cell, i) for cell in entry) if len(entry) else i
        if twin < i:
            issues.add(
                at("/estimators", i),
                f"{entry.estimator.id} repeats settings of /estimators/{twin}; leave them out of one.",
            )


def _check_contradictions(sweep: Sweep, info: TaskInfo, issues: Issues) -> None:
    """Note why parameters of a board cannot go together, each reason once."""
    texts = (info.contradiction(values) for values in sweep.task.settings())
    for text in dict.fromkeys(text for text in texts if text):
        issues.add("/task", f"{info.id}: {text}; change one of them.")


def _seeds(raw: Any, issues: Issues) -> tuple[int, ...]:
    if isinstance(raw, list):
        return cast(tuple[int, ...], read_axis(raw, _SEED, "/seeds", issues, most=MAX_SEEDS))
    count = read_value(raw, _SEED_COUNT, "/seeds", issues)
    return tuple(range(int(count or 0)))


def _rule(
    fields: Mapping[str, Any],
    info: TaskInfo | None,
    task: ComponentGrid,
    diagnostics: Diagnostics | None,
    issues: Issues,
) -> tuple[str, Goal, tuple[str, ...]]:
    """The metric that chooses with its goal, and those that are reported."""
    if info is None or len(task) > MAX_TRIALS:  # which is refused for its size
        return "", "minimize", ()
    metrics = {metric.name: metric for metric in info.metrics}
    if fields.get("diagnostics") is not None and all(values for _, values in task.axes):
        metrics |= _of_diagnostics(info, task, diagnostics)
    metric, goal = _select(fields.get("select", SelectSection()), info, metrics, issues)
    return metric, goal, _report(fields.get("report"), info, metrics, issues)


def _of_diagnostics(
    info: TaskInfo, task: ComponentGrid, diagnostics: Diagnostics | None
) -> dict[str, Metric]:
    """What trials report of gradients; those of the estimator that trains where the section has a mistake."""
    calls = sorted({call for board in task for call in info.facts(board.values).spaces})
    others = [other.id for other in diagnostics.estimators] if diagnostics else []
    return {metric.name: metric for metric in diagnostic_metrics(calls, others)}


def _select(
    section: SelectSection, info: TaskInfo, metrics: Mapping[str, Metric], issues: Issues
) -> tuple[str, Goal]:
    """Metric and goal; the task's own where the file names none."""
    name = section.metric if section.metric is not None else info.select
    if name not in metrics:
        _note_metric(name, info, metrics, "/select/metric", issues)
        return "", "minimize"
    goal = metrics[name].goal
    if section.goal not in (None, goal):
        message = f"expected {goal}, got {shown(section.goal)}; {name} is better that way."
        issues.add("/select/goal", message, given=section.goal, names=[goal])
    return name, goal


def _report(
    names: list[str] | None, info: TaskInfo, metrics: Mapping[str, Metric], issues: Issues
) -> tuple[str, ...]:
    seen: set[str] = set()
    for i, name in enumerate(names or ()):
        if name not in metrics:
            _note_metric(name, info, metrics, at("/report", i), issues)
        elif name in seen:
            issues.add(at("/report", i), f"{name} stands in the list twice; leave one out.")
        seen.add(name)
    return tuple(names) if names else info.report


def _note_metric(name: str, info: TaskInfo, metrics: Mapping[str, Metric], path: str, issues: Issues) -> None:
    measured = [other for other in metrics if diagnostic_metric(other)]
    there_are = listed(other for other in metrics if other not in measured)
    if measured:
        there_are += f" and {len(measured)} of diagnostics, from {measured[0]} to {measured[-1]}"
    elif diagnostic_metric(name):
        there_are += "; those of `diagnostics` need that section"
    issues.add(
        path,
        f"{info.id} reports no metric {shown(name)}; there are {there_are}.",
        given=name,
        names=list(metrics),
    )


def _check_size(sweep: Sweep, source: str) -> None:
    if sweep.count() <= MAX_TRIALS:
        return
    boards, cells, seeds = len(sweep.task), sum(map(len, sweep.estimators)), len(sweep.seeds)
    message = (
        f"the grid has {sweep.count():,} trials ({boards:,} boards x {cells:,} cells x {seeds:,} seeds), "
        f"at most {MAX_TRIALS:,} are allowed; split the sweep."
    )
    raise SpecError([Issue("", message)], source=source)
