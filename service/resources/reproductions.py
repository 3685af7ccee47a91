"""Suites as the API, the pages and the command line show them: state, plan, submission, report.

A reproduction has no row of its own. Its sweeps follow from the suite's files and from the results there are
(:mod:`benchmarks.suites.rounds`), and carry keys that follow from what they compute: asking again finds them,
whoever asks and however often. So it survives its client, the server and a changed mind.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Sequence

from sqlalchemy import Engine

from benchmarks.spec import digest
from benchmarks.suites import reading
from benchmarks.suites.reading import Exhibit, Suite
from benchmarks.suites.report import Measured, Report, cells_of, report
from benchmarks.suites.rounds import Rounds, most, rounds
from benchmarks.suites.schema import Tier
from benchmarks.sweep import Sweep
from service.errors import NotFound
from service.queue import submission
from service.resources import planning, schemas, sweeps
from service.states import TrialState
from service.storage.engine import read
from service.storage.queries import reproductions

ENDED_BADLY = (TrialState.FAILED, TrialState.CANCELLED)


def suite(id: str) -> Suite:
    """The suite of that id.

    Raises:
        NotFound: there is none.
    """
    try:
        return reading.get(id)
    except KeyError as error:
        raise NotFound(str(error.args[0])) from None


def exhibit(name: str) -> Exhibit:
    """The exhibit that ``SUITE/EXHIBIT`` names.

    Raises:
        NotFound: there is none.
    """
    try:
        return reading.exhibit(name)
    except KeyError as error:
        raise NotFound(str(error.args[0])) from None


def tier_of(exhibit: Exhibit, tier: str) -> Tier:
    """The tier of that name.

    Raises:
        NotFound: the exhibit has no such tier.
    """
    for name in exhibit.file.tiers:
        if name == tier:
            return name
    raise NotFound(f"{exhibit.name} has no tier {tier!r}; it has {', '.join(exhibit.file.tiers)}")


def states(engine: Engine, exhibits: Sequence[Exhibit]) -> dict[tuple[str, Tier], schemas.TierState]:
    """How far every tier of some exhibits is."""
    wanted = {(one.name, tier): _seeds_by_key(one, tier) for one in exhibits for tier in one.file.tiers}
    keys = {key for cells in wanted.values() for key, _ in cells}
    with read(engine) as connection:
        rows = reproductions.ended(connection, sorted(keys), [])
    ended: dict[str, set[int]] = {}
    for row in rows:
        ended.setdefault(row.cell_key, set()).add(row.seed)
    return {
        name: schemas.TierState(
            trials=sum(len(seeds) for _, seeds in cells),
            ended=sum(len(ended.get(key, set()).intersection(seeds)) for key, seeds in cells),
        )
        for name, cells in wanted.items()
    }


def plan(engine: Engine, exhibit: Exhibit, tier: Tier) -> schemas.Plan:
    """What the tier would compute and how long one device takes; stores nothing."""
    return planning.plan(
        engine,
        submission.plan_cells(engine, [submission.CellTrials.of(*cell) for cell in most(exhibit, tier)]),
    )


def advance(
    engine: Engine,
    exhibit: Exhibit,
    tier: Tier,
    *,
    owner: str | None = None,
    priority: int = 0,
    retry: bool = False,
) -> schemas.Reproduction:
    """Submit what the tier wants by now and was not submitted yet.

    Args:
        engine: the database.
        exhibit: the table or figure.
        tier: one of its tiers.
        owner: whose the new sweeps are.
        priority: of the new sweeps.
        retry: submit sweeps again that have ended with trials that failed or were cancelled.
    """
    now = rounds(exhibit, tier, measured(engine, exhibit, tier))
    shown = [
        _submitted(engine, exhibit, dataclasses.replace(sweep, owner=owner, priority=priority), retry=retry)
        for sweep in now.sweeps
    ]
    return _reproduction(exhibit, tier, now, shown)


def measured(engine: Engine, exhibit: Exhibit, tier: Tier) -> list[Measured]:
    """Every cell of the tier with what is known of its seeds."""
    cells = list(cells_of(exhibit.sweeps(tier)))
    names = sorted({exhibit.file.select, *exhibit.file.report, *_claimed(exhibit)})
    with read(engine) as connection:
        rows = reproductions.ended(connection, [spec.cell_key for spec, _ in cells], names)
    values: dict[str, dict[str, dict[int, float]]] = {}
    for row in rows:
        own = values.setdefault(row.cell_key, {})
        for name in names if row.metric is None else [row.metric]:
            own.setdefault(name, {})[row.seed] = math.nan if row.value is None else row.value
    return [Measured(spec=spec, wanted=seeds, values=values.get(spec.cell_key, {})) for spec, seeds in cells]


def make_report(engine: Engine, exhibit: Exhibit, tier: Tier) -> tuple[Report, Rounds]:
    """What was measured beside what was published, and what was given up on the way."""
    now = rounds(exhibit, tier, measured(engine, exhibit, tier))
    return report(exhibit, tier, now.measured), now


@functools.cache
def _seeds_by_key(exhibit: Exhibit, tier: Tier) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return tuple((spec.cell_key, seeds) for spec, seeds in most(exhibit, tier))


def _claimed(exhibit: Exhibit) -> set[str]:
    return {test.metric for claim in exhibit.file.claims for test in claim.tests}


def _submitted(engine: Engine, exhibit: Exhibit, sweep: Sweep, *, retry: bool) -> schemas.SweepDetail:
    """The stored sweep that computes this, submitted now if there is none."""
    key = f"{exhibit.name}:{_identity(sweep)}"
    newest, times = _newest(engine, key)
    if newest is not None and not (retry and newest.state in ENDED_BADLY):
        return newest
    stored = submission.submit(engine, sweep, idempotency_key=f"{key}:{times}")
    return sweeps.show_sweep(engine, str(stored.sweep_id))


def _newest(engine: Engine, key: str) -> tuple[schemas.SweepDetail | None, int]:
    """The sweep that was last submitted with a key, and how often it was."""
    newest = None
    for times in itertools.count():
        with read(engine) as connection:
            known = reproductions.sweeps_with_keys(connection, [f"{key}:{times}"])
        if not known:
            break
        (newest,) = known.values()
    return (None if newest is None else sweeps.show_sweep(engine, str(newest))), times


def _identity(sweep: Sweep) -> str:
    """What a sweep computes, whatever it is called and whoever asks."""
    return digest(dataclasses.replace(sweep, owner=None, priority=0, description="").to_json())


def _reproduction(
    exhibit: Exhibit, tier: Tier, now: Rounds, shown: Sequence[schemas.SweepDetail]
) -> schemas.Reproduction:
    return schemas.Reproduction(
        exhibit=exhibit.name,
        tier=tier,
        changes=exhibit.tier(tier).changes,
        sweeps=[schemas.SweepLine.model_validate(one) for one in shown],
        rung=now.rung,
        rungs=now.rungs,
        eliminated=len(now.eliminated),
        finished=now.finished and all(one.finished_at is not None for one in shown),
    )
