"""Which sweeps of a tier are to be submitted now. Pure: results in, sweeps out. No torch.

A tier without halving is submitted as a whole. One with halving goes rung by rung: every setting gets the
seeds of the first rung, the best settings of every estimator on every board those of the next, and so on.
What is eliminated follows from the results alone, so that asking again gives the same answer.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.scoring import halving
from benchmarks.scoring.halving import Elimination, GridCell, HalvingPlan
from benchmarks.spec import CellSpec, Component
from benchmarks.suites.reading import Exhibit
from benchmarks.suites.report import Measured, cells_of, goal_of
from benchmarks.suites.schema import HalvingSection, Tier
from benchmarks.sweep import ComponentGrid, EstimatorGrid, Sweep, read_sweep


@dataclass(frozen=True, kw_only=True, slots=True)
class Rounds:
    """What a tier has to submit, and what it has given up.

    Attributes:
        sweeps: all that are to be submitted by now, in order; those that are done stand first.
        measured: the cells of the tier with the seeds that each was given by now.
        eliminated: settings that get no more seeds; empty without halving.
        rung: the present one, counted from 1; ``rungs`` there are. Both 1 without halving.
        finished: nothing will be added to ``sweeps``.
    """

    sweeps: tuple[Sweep, ...]
    measured: tuple[Measured, ...]
    eliminated: tuple[Elimination, ...] = ()
    rung: int = 1
    rungs: int = 1
    finished: bool = True


def rounds(exhibit: Exhibit, tier: Tier, measured: Sequence[Measured]) -> Rounds:
    """What follows from the results so far.

    Args:
        exhibit: the table or figure.
        tier: one of its tiers.
        measured: its cells with all their seeds, in the order of :func:`benchmarks.suites.report.cells_of`.
    """
    sweeps = exhibit.sweeps(tier)
    section = exhibit.tier(tier).halving
    if section is None or not sweeps:
        return Rounds(sweeps=sweeps, measured=tuple(measured))
    plan = _plan(section, sweeps, exhibit.file.select)
    grid = [_grid_cell(place, one, exhibit.file.select) for place, one in enumerate(measured)]
    progress = halving.advance(grid, plan)
    rung = _rung(plan, progress.wanted)
    gone = {one.cell: one.rung for one in progress.eliminated}
    reached = [min(rung, gone.get(place, rung)) for place in range(len(measured))]
    return Rounds(
        sweeps=tuple(_submitted(sweeps, measured, reached, plan, exhibit.name, rung)),
        measured=tuple(
            dataclasses.replace(one, wanted=plan.seeds[: plan.rungs[last]])
            for one, last in zip(measured, reached, strict=True)
        ),
        eliminated=tuple(one for one in progress.eliminated if one.rung < rung or progress.finished),
        rung=rung + 1,
        rungs=len(plan.rungs),
        finished=progress.finished,
    )


def most(exhibit: Exhibit, tier: Tier) -> Iterator[tuple[CellSpec, tuple[int, ...]]]:
    """The cells of a tier with as many seeds as they will have been given in the end.

    Which settings survive is not known before; the first ones of every estimator stand for them, whose cost
    is like that of the others.
    """
    sweeps = exhibit.sweeps(tier)
    section = exhibit.tier(tier).halving
    if section is None:
        yield from cells_of(sweeps)
        return
    plan = _plan(section, sweeps, exhibit.file.select)
    for members in _groups([spec for spec, _ in cells_of(sweeps)]).values():
        for place, spec in enumerate(members):
            yield spec, plan.seeds[: plan.rungs[_last_rung(place, len(members), plan)]]


def _last_rung(place: int, members: int, plan: HalvingPlan) -> int:
    """The last rung of the cell that is ``place``-th best, counted from 0."""
    last, left = 0, members
    for rung in range(1, len(plan.rungs)):
        left = math.ceil(left / plan.eta)
        if place < left:
            last = rung
    return last


def _groups(specs: Sequence[CellSpec]) -> dict[Hashable, list[CellSpec]]:
    found: dict[Hashable, list[CellSpec]] = {}
    for spec in specs:
        found.setdefault(_group(spec), []).append(spec)
    return found


def _group(spec: CellSpec) -> tuple[Component, str]:
    return spec.task, spec.estimator.id


def _plan(section: HalvingSection, sweeps: Sequence[Sweep], metric: str) -> HalvingPlan:
    goal = goal_of(sweeps[0].task.id, metric)
    return HalvingPlan(seeds=sweeps[0].seeds, rungs=tuple(section.seeds), eta=1 / section.keep, goal=goal)


def _grid_cell(place: int, one: Measured, metric: str) -> GridCell:
    return GridCell(id=place, group=_group(one.spec), values=one.ended(metric))


def _rung(plan: HalvingPlan, wanted: Sequence[tuple[Hashable, int]]) -> int:
    """The lowest rung of which something is missing; the last one where nothing is."""
    if not wanted:
        return len(plan.rungs) - 1
    least = min(plan.seeds.index(seed) for _, seed in wanted)
    return next(rung for rung, seeds in enumerate(plan.rungs) if seeds > least)


def _submitted(
    sweeps: Sequence[Sweep],
    measured: Sequence[Measured],
    reached: Sequence[int],
    plan: HalvingPlan,
    name: str,
    rung: int,
) -> Iterator[Sweep]:
    """The grids with the seeds of the first rung, then for each later rung the settings that reached it."""
    for sweep in sweeps:
        yield dataclasses.replace(sweep, name=f"{name} rung 1", seeds=plan.seeds[: plan.rungs[0]])
    for later in range(1, rung + 1):
        alive = [one.spec for one, last in zip(measured, reached, strict=True) if last >= later]
        for task in dict.fromkeys(spec.task for spec in alive):
            survivors = dataclasses.replace(
                sweeps[0],
                name=f"{name} rung {later + 1}",
                task=ComponentGrid.of(task),
                estimators=tuple(_alone(spec) for spec in alive if spec.task == task),
                seeds=plan.seeds[: plan.rungs[later]],
            )
            yield read_sweep(survivors.to_json(), source=survivors.name)  # as it will be read again


def _alone(spec: CellSpec) -> EstimatorGrid:
    """An entry of a sweep that is one cell."""
    return EstimatorGrid(
        estimator=ComponentGrid.of(spec.estimator),
        optimizers=(ComponentGrid.of(spec.optimizer),),
        lrs=(spec.lr,),
    )
