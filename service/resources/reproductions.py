"""Suites as the API, the pages and the command line show them: state, plan, submission, report.

A reproduction has no row of its own. Its sweeps follow from the suite's files and from the results there are
(:mod:`benchmarks.suites.rounds`), and carry keys that follow from what they compute: asking again finds them,
whoever asks and however often. So it survives its client, the server and a changed mind.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection, Engine

from benchmarks.spec import CellSpec, digest
from benchmarks.suites import costs, reading
from benchmarks.suites.claim_cells import at_epoch, metrics_of
from benchmarks.suites.reading import Exhibit, Suite
from benchmarks.suites.report import Measured, Report, cells_of, report
from benchmarks.suites.rounds import Rounds, most, rounds
from benchmarks.suites.schema import Tier
from benchmarks.sweep import SpecError, Sweep
from service.errors import BrokenSuite, NotFound
from service.queue import limits, submission
from service.resources import planning, schemas, sweeps
from service.states import ENDED_BADLY
from service.storage.engine import read
from service.storage.queries import curves, reproductions
from service.storage.queries.boards import cell_ids
from service.storage.queries.reproductions import EndedRow

logger = logging.getLogger(__name__)


def suite(id: str) -> Suite:
    """The suite of that id.

    Raises:
        NotFound: there is none.
        BrokenSuite: one of its files is not as it must be.
    """
    with _told():
        return reading.get(id)


def exhibit(name: str) -> Exhibit:
    """The exhibit that ``SUITE/EXHIBIT`` names.

    Raises:
        NotFound: there is none.
        BrokenSuite: a file of its suite is not as it must be.
    """
    with _told():
        return reading.exhibit(name)


@contextmanager
def _told() -> Iterator[None]:
    """Errors of reading a suite in the service's words."""
    try:
        yield
    except KeyError as error:
        raise NotFound(str(error.args[0])) from None
    except SpecError as error:
        raise BrokenSuite(told(error)) from None


def told(error: SpecError) -> str:
    """What is wrong with a file of a suite, in the service's words; the log has it, too."""
    found = " ".join(str(issue) for issue in error.issues)
    logger.error("the suite's file %s cannot be used: %s", error.source, found)
    return f"the server has a suite that it cannot use: {error.source}: {found}"


@contextmanager
def _judging(exhibit: Exhibit) -> Iterator[None]:
    """Whatever goes wrong while an exhibit is judged is the exhibit's fault, and must not hide others."""
    try:
        yield
    except SpecError as error:
        raise BrokenSuite(told(error)) from None
    except Exception as error:
        logger.exception("no report can be made of %s", exhibit.name)
        raise BrokenSuite(f"no report can be made of {exhibit.name}: {error}") from error


def tier_of(exhibit: Exhibit, tier: str) -> Tier:
    """The tier of that name, whose sweeps are valid.

    Raises:
        NotFound: the exhibit has no such tier.
        BrokenSuite: a sweep of the tier is not valid.
    """
    for name in exhibit.file.tiers:
        if name == tier:
            with _told():
                exhibit.sweeps(name)
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
    return {(one.name, tier): _state(engine, one, tier, ended) for one in exhibits for tier in one.file.tiers}


def _state(engine: Engine, exhibit: Exhibit, tier: Tier, ended: Mapping[str, set[int]]) -> schemas.TierState:
    cells = _seeds_by_key(exhibit, tier)
    trials = sum(len(seeds) for _, seeds in cells)
    known = sum(len(ended.get(key, set()).intersection(seeds)) for key, seeds in cells)
    if known and exhibit.tier(tier).halving is not None:  # which cells get more seeds follows from results
        now = rounds(exhibit, tier, measured(engine, exhibit, tier))
        known = sum(len(one.ended(exhibit.file.select)) for one in now.measured)
        trials = sum(len(one.wanted) for one in now.measured) if now.finished else max(trials, known + 1)
    return schemas.TierState(trials=trials, ended=known)


def plan(engine: Engine, exhibits: Sequence[Exhibit], tier: Tier) -> schemas.Plan:
    """What the tier would compute of some exhibits and how long one device takes; stores nothing.

    What two exhibits share counts once.
    """
    wanted: dict[str, tuple[CellSpec, set[int]]] = {}
    for exhibit in exhibits:
        for spec, seeds in most(exhibit, tier):
            wanted.setdefault(spec.cell_key, (spec, set()))[1].update(seeds)
    cells = submission.key_cells((spec, sorted(seeds)) for spec, seeds in wanted.values())
    return planning.plan(engine, submission.plan_cells(engine, cells))


def advance(
    engine: Engine,
    exhibit: Exhibit,
    tier: Tier,
    *,
    owner: str | None = None,
    priority: int = 0,
    retry: bool = False,
    owner_trials: int | None = None,
) -> schemas.Reproduction:
    """Submit what the tier wants by now and was not submitted yet.

    Args:
        engine: the database.
        exhibit: the table or figure.
        tier: one of its tiers.
        owner: whose the new sweeps are.
        priority: of the new sweeps.
        retry: submit sweeps again that have ended with trials that failed or were cancelled.
        owner_trials: trials of the owner that may wait or run; ``None`` for any number.

    Raises:
        TooManyTrials: they would be more. What was submitted before stays; asking again goes on from there.
    """
    now = rounds(exhibit, tier, measured(engine, exhibit, tier))
    shown = [
        _submitted(engine, exhibit, sweep, retry=retry, owner_trials=owner_trials)
        for sweep in (dataclasses.replace(one, owner=owner, priority=priority) for one in now.sweeps)
    ]
    return _reproduction(exhibit, tier, now, shown)


def measured(engine: Engine, exhibit: Exhibit, tier: Tier) -> list[Measured]:
    """Every cell of the tier with what is known of its seeds."""
    return _measured(exhibit, tier, _ended(engine, exhibit, tier))


def make_report(engine: Engine, exhibit: Exhibit, tier: Tier) -> tuple[Report, Rounds]:
    """What was measured beside what was published, and what was given up on the way.

    Raises:
        BrokenSuite: no report can be made of what the exhibit's file has.
    """
    ended = _ended(engine, exhibit, tier)
    with _judging(exhibit):
        return _report(exhibit, tier, ended)


@functools.lru_cache(maxsize=64)  # thousands of cells take seconds; the same results have the same report
def _report(exhibit: Exhibit, tier: Tier, rows: frozenset[EndedRow]) -> tuple[Report, Rounds]:
    now = rounds(exhibit, tier, _measured(exhibit, tier, rows))
    return report(exhibit, tier, now.measured), now


def make_costs(exhibit: Exhibit, tier: Tier, cases: tuple[costs.Case, ...]) -> costs.Costs:
    """What a command measured on one device beside what was published.

    Raises:
        BrokenSuite: no report can be made of what the exhibit's file has.
    """
    with _judging(exhibit):
        return _costs(exhibit, tier, cases)


@functools.lru_cache(maxsize=64)  # pages ask for it again and again
def _costs(exhibit: Exhibit, tier: Tier, cases: tuple[costs.Case, ...]) -> costs.Costs:
    return costs.report(exhibit, tier, cases)


def _ended(engine: Engine, exhibit: Exhibit, tier: Tier) -> frozenset[EndedRow]:
    keys = [spec.cell_key for spec, _ in cells_of(exhibit.sweeps(tier))]
    over_time = {name for one in exhibit.file.claims if one.every_epoch for name in metrics_of(one)}
    with read(engine) as connection:
        rows = reproductions.ended(connection, keys, _names(exhibit))
        return frozenset([*rows, *_at_epochs(connection, keys, sorted(over_time))])


def _at_epochs(connection: Connection, keys: Sequence[str], names: Sequence[str]) -> Iterator[EndedRow]:
    """The values of curves of metrics that claims read at every epoch."""
    if not names:
        return
    cells = {id: key for key, id in cell_ids(connection, keys).items()}
    for curve in curves.of_cells(connection, list(cells), names):
        for epoch, value in zip(curve.epochs.tolist(), curve.values.tolist(), strict=True):
            if math.isfinite(value):  # epochs between those that were measured
                yield EndedRow(cells[curve.cell_id], curve.seed, at_epoch(curve.metric, epoch), value)


def _measured(exhibit: Exhibit, tier: Tier, rows: frozenset[EndedRow]) -> list[Measured]:
    names = _names(exhibit)
    values: dict[str, dict[str, dict[int, float]]] = {}
    for row in rows:
        own = values.setdefault(row.cell_key, {})
        for name in names if row.metric is None else [row.metric]:
            own.setdefault(name, {})[row.seed] = math.nan if row.value is None else row.value
    return [
        Measured(spec=spec, wanted=seeds, values=values.get(spec.cell_key, {}))
        for spec, seeds in cells_of(exhibit.sweeps(tier))
    ]


def _names(exhibit: Exhibit) -> list[str]:
    """Metrics that choose, that are reported, that claims read, and that the figure shows."""
    file = exhibit.file
    drawn = {file.figure.metric} if file.figure else set()
    claimed = {name for claim in file.claims for name in metrics_of(claim)}
    return sorted({file.select, *file.report, *claimed, *drawn})


@functools.cache
def _seeds_by_key(exhibit: Exhibit, tier: Tier) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return tuple((spec.cell_key, seeds) for spec, seeds in most(exhibit, tier))


def _submitted(
    engine: Engine, exhibit: Exhibit, sweep: Sweep, *, retry: bool, owner_trials: int | None
) -> tuple[schemas.SweepDetail, bool]:
    """The stored sweep that computes this, submitted now if there is none; whether it was submitted now."""
    key = f"{exhibit.name}:{_identity(sweep)}"
    newest, times = _newest(engine, key)
    if newest is not None and not (retry and newest.state in ENDED_BADLY):
        return newest, False
    limits.require_room(engine, sweep, owner_trials)
    stored = submission.submit(engine, sweep, idempotency_key=f"{key}:{times}")
    return sweeps.show_sweep(engine, str(stored.sweep_id)), True


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
    exhibit: Exhibit, tier: Tier, now: Rounds, shown: Sequence[tuple[schemas.SweepDetail, bool]]
) -> schemas.Reproduction:
    return schemas.Reproduction(
        exhibit=exhibit.name,
        tier=tier,
        changes=exhibit.tier(tier).changes,
        sweeps=[schemas.SweepLine.model_validate(one) for one, _ in shown],
        added=sum(new for _, new in shown),
        rung=now.rung,
        rungs=now.rungs,
        eliminated=len(now.eliminated),
        finished=now.finished and all(one.finished_at is not None for one, _ in shown),
    )
