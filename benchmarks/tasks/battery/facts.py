"""What the registry says of a task is true."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from benchmarks.engine.optimizers.fixed import FixedOptimizer
from benchmarks.tasks.battery.subject import Subject
from benchmarks.tasks.battery.training import require, train
from benchmarks.tasks.battery.watching import Call, Record, Watched
from benchmarks.tasks.info import Space
from estimators import registry


def _record(subject: Subject, estimator: str, *, probing: bool = False) -> Record:
    """What the task does in a few steps of a trial."""
    watched = Watched(subject.task(), probing=probing)
    train(watched, subject.trials(estimator, 1), stop_after=1)
    return watched.record


def spaces(subject: Subject, estimator: str) -> None:
    """The variables behind every named call are as declared, and what objectives and choices need."""
    facts = subject.facts
    calls = [call for call in _record(subject, estimator, probing=True).calls if call.learned]
    used = {call.name for call in calls}
    require(
        used == set(facts.spaces),
        f"declared are the calls {_names(facts.spaces)}, those whose logits learn are {_names(used)}",
    )
    for name, space in facts.spaces.items():
        _check_space([call for call in calls if call.name == name], space)
    if not registry.get(estimator).properties.deterministic:  # for which one of equal copies is enough
        _check_rows(subject, calls)
    nested = [call.nested for call in calls]
    require(
        any(nested) == facts.nested,
        f"nested is declared {facts.nested}, {sum(nested)} of {len(nested)} calls are made by objectives",
    )
    sampled = any(call.sampled for call in calls)
    require(
        sampled == facts.sequential,
        f"sequential is declared {facts.sequential}, and logits that learn {'are' if sampled else 'are not'} "
        "given to `sample`",
    )
    looked_at = [call.differentiable for call in calls if call.differentiable is not None]
    require(
        all(smooth == facts.differentiable for smooth in looked_at),
        f"differentiable is declared {facts.differentiable}, {sum(looked_at)} of {len(looked_at)} objectives "
        "have a gradient in their samples",
    )


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _check_space(calls: Sequence[Call], space: Space) -> None:
    """Variables and categories may differ from call to call (ragged sequences); the most count."""
    name, declared = calls[0].name, (space.variables, space.categories)
    most = max(call.shape[-2] for call in calls), max(call.shape[-1] for call in calls)
    require(
        most == declared,
        f"{name}: declared are {declared[0]} variables of {declared[1]} categories, the logits have "
        f"{most[0]} of {most[1]}",
    )
    summed = [call.separable for call in calls if not call.sampled]
    require(
        all(each == space.separable for each in summed),
        f"{name}: separable is declared {space.separable}, {sum(summed)} of {len(summed)} objectives are a "
        "SeparableObjective",
    )


def _check_rows(subject: Subject, calls: Sequence[Call]) -> None:
    """How often the task draws variables in a step; ragged sequences may be shorter than the longest."""
    facts = subject.facts
    for name, space in facts.spaces.items():
        by_step: dict[int, int] = {}
        for call in calls:
            if call.name == name and not call.nested:
                by_step[call.step] = by_step.get(call.step, 0) + math.prod(call.shape[1:-2])
        most = max(by_step.values(), default=space.rows)
        require(
            most == space.rows or (facts.sequential and most < space.rows),
            f"{name}: {space.rows} draws a step are declared, there were {most}",
        )


def evaluations(subject: Subject, estimator: str) -> None:
    """Every estimate evaluates its objective as often as the estimator declares for these variables."""
    info = registry.get(estimator)
    (trial,) = subject.trials(estimator, 1)
    for call in _record(subject, estimator).calls:
        if call.sampled or not call.learned:
            continue
        space = subject.facts.spaces[call.name]
        expected = info.evaluations(
            trial.estimator.values,
            variables=space.variables,
            categories=space.categories,
            separable=space.separable,
        )
        expected *= call.passes if info.properties.kind == "path" else 1
        require(
            call.evaluations == expected,
            f"{call.name}: {estimator} declares {expected} evaluations an estimate on "
            f"{space.variables} variables of {space.categories} categories, there were {call.evaluations}",
        )


def metrics(subject: Subject, estimator: str) -> None:
    """What a trial reports is what the entry declares, and so is what it selects, shows and refers to."""
    info, declared = subject.info, {metric.name for metric in subject.info.metrics}
    outcome = train(subject.task(), subject.trials(estimator, 1))
    reported = set(outcome.ends[0].metrics)
    require(reported == declared, f"declared are {_names(declared)}; a trial reports {_names(reported)}")
    named = {info.select, *info.report, *(r.metric for r in info.references(subject.values))}
    require(
        named <= declared, f"{_names(named - declared)} is selected, reported or referred to, not declared"
    )
    own = {metric.name for metric in info.metrics if metric.reduction is None}
    epochs = range(1, int(subject.values["epochs"]) + 1)
    points = {(metric, epoch) for metric, epoch, _ in outcome.curves[0]}
    missing = {(metric, epoch) for metric in own for epoch in epochs} - points
    require(not missing, f"no value of {', '.join(f'{m} at epoch {e}' for m, e in sorted(missing))}")


def protocol(subject: Subject, estimator: str) -> None:
    """What phases fix of the sweep's optimizer is declared: a sweep that says otherwise is refused."""
    declared = dict(subject.info.fixed)
    for phase in subject.task().phases:
        optimizer = phase.optimizer or FixedOptimizer()
        fixed = dict(optimizer.parameters)
        if optimizer.id is None:
            require(
                fixed == declared,
                f"{phase.name} fixes {fixed} of the sweep's optimizer, declared is {declared}",
            )


def _require_ragged(subject: Subject, found: bool) -> None:
    declared = subject.info.facts(subject.values).ragged
    has = "have lengths" if found else "have no lengths"
    require(declared == found, f"ragged is declared {declared}, the examples trained on {has}")


def splits(subject: Subject, estimator: str) -> None:
    """Examples of every split and steps of an epoch are as declared."""
    info, task = subject.info, subject.task()
    require(
        dict(task.splits) == dict(subject.splits),
        f"the splits should have {dict(subject.splits)} examples, they have {dict(task.splits)}",
    )
    needed = {phase.split for phase in task.phases} | set(task.evaluated) if task.splits else set()
    require(needed <= set(task.splits), f"phases or evaluations use {_names(needed - set(task.splits))}")
    _require_ragged(subject, any(phase.split in task.lengths for phase in task.phases))
    declared = info.steps_per_epoch(subject.values)
    if task.splits:
        first = task.phases[0].split
        for steps, examples in (
            (declared, info.splits(subject.values)[first]),
            (task.steps_per_epoch, task.splits[first]),
        ):
            passes = -(-examples // task.batch_size)
            require(
                steps == passes,
                f"{examples} examples in minibatches of {task.batch_size} are {passes} steps an epoch, not "
                f"{steps}",
            )
    else:
        require(
            task.steps_per_epoch == declared,
            f"declared are {declared} steps an epoch, the task does {task.steps_per_epoch}",
        )
