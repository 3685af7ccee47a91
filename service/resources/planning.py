"""What a sweep is about to cost: trials to compute, and device time with an interval."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Engine

from benchmarks.cost.compiling import worth_compiling
from benchmarks.cost.prediction import DeviceTime, Finished, Load, Predictor
from service.queue.workload import EstimatorWork, Program, Workload
from service.resources import schemas
from service.storage.engine import read
from service.storage.queries import history

DAY = 24 * 3600.0
"""Device time from which a sweep is warned of, seconds."""
REMEMBERED = 1_000
"""Finished attempts that are looked at, newest first."""
ONCE = ("imports", "data", "compiling", "first_step")
"""What an attempt spends time on once, however many steps it has."""


def plan(engine: Engine, work: Workload) -> schemas.Plan:
    """What these cells have to do, all together and by estimator."""
    predictor = Predictor(_finished(engine))
    times = {id: _device_time(one, predictor) for id, one in work.estimators.items()}
    total = sum(times.values(), DeviceTime())
    lines = [_line(id, one, times[id]) for id, one in work.estimators.items()]
    return schemas.Plan(
        trials=sum(line.trials for line in lines),
        known=sum(line.known for line in lines),
        to_compute=sum(line.to_compute for line in lines),
        device_seconds=schemas.DeviceTime.model_validate(total),
        estimators=lines,
        warning=_warning(total),
    )


def _line(id: str, work: EstimatorWork, time: DeviceTime) -> schemas.EstimatorPlan:
    return schemas.EstimatorPlan(
        estimator=id,
        trials=work.trials,
        known=work.trials - work.to_compute,
        to_compute=work.to_compute,
        device_seconds=schemas.DeviceTime.model_validate(time),
    )


def _device_time(work: EstimatorWork, predictor: Predictor) -> DeviceTime:
    """Programs that are not kept are taken to cost a step what the others do."""
    loads = [load for program in work.programs for load in _loads(program)]
    time = sum(map(predictor.device_time, loads), DeviceTime())
    steps = sum(load.steps for load in loads)
    return time if steps == work.steps else time.times(work.steps / steps)


def _loads(program: Program) -> Iterator[Load]:
    """What is to compute of one program; trials too short to be compiled apart from the others."""
    compiled = {steps: worth_compiling(program.task, program.estimator, steps) for steps in program.trials}
    for kind in dict.fromkeys(compiled.values()):
        alike = {steps: trials for steps, trials in program.trials.items() if compiled[steps] is kind}
        yield Load(
            task=program.task,
            estimator=program.estimator,
            signature=program.signature,
            steps=sum(steps * trials for steps, trials in alike.items()),
            trials=sum(alike.values()),
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
