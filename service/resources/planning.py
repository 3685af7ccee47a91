"""What a sweep is about to cost: trials to compute, and device time with an interval."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from sqlalchemy import Engine

from benchmarks.cost.compiling import worth_compiling
from benchmarks.cost.prediction import DeviceTime, Finished, Load, Predictor
from service.queue.storing import PlannedCell
from service.resources import schemas
from service.storage.engine import read
from service.storage.queries import history

DAY = 24 * 3600.0
"""Device time from which a sweep is warned of, seconds."""
MOST_PROGRAMS = 300
"""Of an estimator, that are thought about: a tenth of a second."""
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
    """Of many programs every so manieth is thought about, and stands for those after it by its steps."""
    programs: dict[str, list[PlannedCell]] = defaultdict(list)
    for one in cells:
        if one.to_compute:
            programs[one.cell.signature].append(one)
    every = max(1, math.ceil(len(programs) / MOST_PROGRAMS))
    some = list(programs.values())[::every]
    time = sum((predictor.device_time(load) for members in some for load in _loads(members)), DeviceTime())
    if every == 1:
        return time
    return time.times(sum(map(_steps, programs.values())) / sum(map(_steps, some)))


def _loads(members: Sequence[PlannedCell]) -> Iterator[Load]:
    """What is to compute of one program; trials too short to be compiled apart from the others.

    What differs inside a cohort changes how many steps there are, not what one of them takes.
    """
    first = members[0].cell
    compiled = {
        steps: worth_compiling(first.spec.task, first.spec.estimator, steps)
        for steps in {one.cell.steps for one in members}
    }
    for kind in dict.fromkeys(compiled[one.cell.steps] for one in members):
        alike = [one for one in members if compiled[one.cell.steps] is kind]
        yield Load(
            task=alike[0].cell.spec.task,
            estimator=alike[0].cell.spec.estimator,
            signature=first.signature,
            steps=_steps(alike),
            trials=sum(one.to_compute for one in alike),
        )


def _steps(cells: Iterable[PlannedCell]) -> int:
    return sum(one.to_compute * one.cell.steps for one in cells)


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
