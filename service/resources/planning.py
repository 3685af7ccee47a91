"""What a sweep is about to cost: trials to compute, and device time with an interval."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from sqlalchemy import Engine

from benchmarks.cost.compiling import worth_compiling
from benchmarks.cost.prediction import DeviceTime, Finished, Load, Predictor
from service.queue.submission import PlannedCell
from service.resources import schemas
from service.storage.engine import read
from service.storage.queries import history

DAY = 24 * 3600.0
"""Device time from which a sweep is warned of, seconds."""
REMEMBERED = 1_000
"""Finished attempts that are looked at, newest first."""
ONCE = ("imports", "data", "compiling", "first_step")
"""What an attempt spends time on once, however many steps it has."""


def plan(engine: Engine, planned: Sequence[PlannedCell]) -> schemas.Plan:
    """What these cells have to do, all together and by estimator."""
    predictor = Predictor(_finished(engine))
    by_estimator: dict[str, list[PlannedCell]] = defaultdict(list)
    for one in planned:
        by_estimator[one.cell.spec.estimator.id].append(one)
    times = {id: _device_time(cells, predictor) for id, cells in by_estimator.items()}
    total = sum(times.values(), DeviceTime())
    lines = [_line(id, cells, times[id]) for id, cells in by_estimator.items()]
    return schemas.Plan(
        trials=sum(line.trials for line in lines),
        known=sum(line.known for line in lines),
        to_compute=sum(line.to_compute for line in lines),
        device_seconds=schemas.DeviceTime.model_validate(total),
        estimators=lines,
        warning=_warning(total),
    )


def _line(id: str, cells: Sequence[PlannedCell], time: DeviceTime) -> schemas.EstimatorPlan:
    trials, to_compute = sum(len(one.cell.seeds) for one in cells), sum(one.to_compute for one in cells)
    return schemas.EstimatorPlan(
        estimator=id,
        trials=trials,
        known=trials - to_compute,
        to_compute=to_compute,
        device_seconds=schemas.DeviceTime.model_validate(time),
    )


def _device_time(cells: Iterable[PlannedCell], predictor: Predictor) -> DeviceTime:
    return sum((predictor.device_time(load) for load in _loads(cells)), DeviceTime())


def _loads(cells: Iterable[PlannedCell]) -> Iterator[Load]:
    """What is to compute, by program; trials too short to be compiled apart from the others."""
    groups: dict[tuple[str, bool], list[PlannedCell]] = defaultdict(list)
    for one in cells:
        if one.to_compute:
            spec = one.cell.spec
            compiled = worth_compiling(spec.task, spec.estimator, one.cell.steps)
            groups[one.cell.signature, compiled].append(one)
    for (signature, _), members in groups.items():
        first = members[0].cell
        yield Load(
            task=first.spec.task,
            estimator=first.spec.estimator,
            signature=signature,
            steps=sum(one.to_compute * one.cell.steps for one in members),
            trials=sum(one.to_compute for one in members),
        )


def _finished(engine: Engine) -> Iterator[Finished]:
    with read(engine) as connection:
        rows = history.finished_attempts(connection, limit=REMEMBERED)
    for row in rows:
        load = Load(
            task=row.spec.task,
            estimator=row.spec.estimator,
            signature=row.signature,
            steps=row.steps,
            trials=row.trials,
        )
        start = sum(row.phases.get(name, 0.0) for name in ONCE)
        yield Finished(load=load, seconds=row.seconds, start_seconds=start)


def _warning(time: DeviceTime) -> str | None:
    """What to say of a sweep that takes more than a day; ``None`` of others."""
    if time.expected <= DAY:
        return None
    days = [f"{seconds / DAY:,.1f}" for seconds in (time.expected, time.low, time.high)]
    return (
        f"the sweep takes about {days[0]} days of one device ({days[1]} to {days[2]}); more devices share "
        "them, fewer seeds or settings take less"
    )
