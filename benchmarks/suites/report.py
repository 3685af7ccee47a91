"""What was measured of an exhibit beside what was published. Pure: results in, a report out. No torch.

Every estimator of a board is shown at the setting with the best mean of the exhibit's ``select`` metric over
the seeds of the tier; of settings with failed seeds, those with the fewest. A result counts only if the tier
asked for it: whoever computes more seeds later does not change a report of fewer.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.scoring import claims, orders, posterior, seeds, verdicts
from benchmarks.spec import CellSpec, Component
from benchmarks.suites import claim_cells, predicates, published, reading
from benchmarks.suites.claim_cells import Scene
from benchmarks.suites.predicates import ClaimReport
from benchmarks.suites.reading import Exhibit
from benchmarks.suites.schema import ClaimSection, TestSection, Tier
from benchmarks.sweep import Issue, SpecError, Sweep
from benchmarks.tasks import registry as tasks
from benchmarks.tasks.diagnostic_metrics import diagnostic_metric
from benchmarks.tasks.info import Goal, Reference

PUBLISHED_TIER: Tier = "full"
"""The tier whose boards are the published ones."""


class UnknownLevel(ValueError):
    """A claim speaks of a level that is not known on a board, such as one of made-up data."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What is known of a cell that a tier wants.

    Attributes:
        spec: the cell.
        wanted: its seeds in this tier.
        values: metric -> seed -> final value, of the seeds that ended; NaN for one that failed. Values at an
            epoch stand beside them, see :func:`benchmarks.suites.claim_cells.at_epoch`.
    """

    spec: CellSpec
    wanted: tuple[int, ...]
    values: Mapping[str, Mapping[int, float]] = field(default_factory=dict)

    def ended(self, metric: str) -> dict[int, float]:
        """Values of the wanted seeds that ended."""
        known = self.values.get(metric, {})
        return {seed: known[seed] for seed in self.wanted if seed in known}


@dataclass(frozen=True, kw_only=True, slots=True)
class Beside:
    """A measured number beside a published one."""

    reference: Reference
    comparison: verdicts.Comparison


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """An estimator on a board.

    Attributes:
        estimator: its id.
        spec: the chosen cell; ``None`` before the first result.
        settings: cells that the tier has of it; ``tried`` of them have a result.
        wanted, ended, failed: seeds of the chosen cell, or of all its cells before one is chosen.
        summaries: of the chosen cell's finite seeds, by metric.
        medians: likewise; a failed seed stands at the bad end.
        beside: published numbers of the reported metrics.
    """

    estimator: str
    spec: CellSpec | None
    settings: int
    tried: int
    wanted: int
    ended: int
    failed: int
    summaries: Mapping[str, seeds.Summary]
    medians: Mapping[str, float]
    beside: tuple[Beside, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class BoardReport:
    """One board of an exhibit.

    Attributes:
        task: the board.
        title: its name, by which claims call it.
        lines: estimators, best first, those without a result last.
        levels: numbers that hold for the whole board, such as an optimum.
        unmatched: published numbers of estimators that the tier does not compute.
        agreement: metric and label of published numbers -> whether estimators stand in the published order.
    """

    task: Component
    title: str
    lines: tuple[Line, ...]
    levels: tuple[Reference, ...]
    unmatched: tuple[Reference, ...]
    agreement: Mapping[tuple[str, str], orders.Agreement]


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """An exhibit in one tier.

    Attributes:
        exhibit, tier: which.
        trials, ended, failed: of the tier; ``failed`` of those that ended.
        boards: in the order of the file.
        claims: likewise.
    """

    exhibit: Exhibit
    tier: Tier
    trials: int
    ended: int
    failed: int
    boards: tuple[BoardReport, ...]
    claims: tuple[ClaimReport, ...]


def goal_of(task: str, metric: str) -> Goal:
    """Which direction of a metric is better.

    Raises:
        KeyError: the task has no such metric.
    """
    declared = tasks.get(task).metric(metric) or diagnostic_metric(metric)
    if declared is None:
        raise KeyError(f"the task {task!r} has no metric {metric!r}")
    return declared.goal


def cells_of(sweeps: Iterable[Sweep]) -> Iterator[tuple[CellSpec, tuple[int, ...]]]:
    """The cells of a tier with their seeds, board by board."""
    for sweep in sweeps:
        for spec in sweep.cells():
            yield spec, sweep.seeds


def report(exhibit: Exhibit, tier: Tier, measured: Sequence[Measured]) -> Report:
    """Put what was measured beside what was published.

    Args:
        exhibit: the table or figure.
        tier: what it was computed in.
        measured: every cell of the tier, in the order of :func:`cells_of`.

    Raises:
        SpecError: a claim that cannot be decided as it is written, wherever its boards are measured.
    """
    by_board: dict[Component, list[Measured]] = {}
    for one in measured:
        by_board.setdefault(one.spec.task, []).append(one)
    ended = [one.ended(exhibit.file.select) for one in measured]
    return Report(
        exhibit=exhibit,
        tier=tier,
        trials=sum(len(one.wanted) for one in measured),
        ended=sum(map(len, ended)),
        failed=sum(not math.isfinite(value) for values in ended for value in values.values()),
        boards=tuple(
            _board(exhibit, tier, task, title, by_board[task]) for task, title in _titles(by_board).items()
        ),
        claims=tuple(
            ClaimReport(
                claim=claim,
                result=_decided(place, claim, exhibit, tier, by_board),
                boards=len(_spoken_of(claim, by_board)),
                published_boards=len(_spoken_of(claim, _published_boards(exhibit) or by_board)),
            )
            for place, claim in enumerate(exhibit.file.claims)
        ),
    )


def _titles(boards: Iterable[Component]) -> dict[Component, str]:
    """Titles of boards; the second of two with the same one is counted."""
    found: dict[Component, str] = {}
    times: dict[str, int] = {}
    for task in boards:
        title = tasks.get(task.id).describe(task.values)
        times[title] = times.get(title, 0) + 1
        found[task] = title if times[title] == 1 else f"{title} ({times[title]})"
    return found


def _published_boards(exhibit: Exhibit) -> list[Component]:
    if PUBLISHED_TIER not in exhibit.file.tiers:
        return []
    return [task for sweep in exhibit.sweeps(PUBLISHED_TIER) for task in sweep.boards()]


def _spoken_of(claim: ClaimSection, boards: Iterable[Component]) -> set[Component]:
    return {task for task in boards for test in claim.tests if predicates.named(task.values, test.boards)}


def _board(
    exhibit: Exhibit, tier: Tier, task: Component, title: str, cells: Sequence[Measured]
) -> BoardReport:
    shown = set(exhibit.file.report)
    references = [one for one in _references(exhibit, task) if one.metric in shown]
    by_estimator: dict[str, list[Measured]] = {}
    for one in cells:
        by_estimator.setdefault(one.spec.estimator.id, []).append(one)
    lines = [
        _line(exhibit, tier, id, own, [one for one in references if one.estimator == id])
        for id, own in by_estimator.items()
    ]
    sign = -1.0 if goal_of(task.id, exhibit.file.select) == "maximize" else 1.0
    return BoardReport(
        task=task,
        title=title,
        lines=tuple(sorted(lines, key=lambda line: _rank(line, exhibit.file.select, sign))),
        levels=tuple(one for one in references if one.estimator is None),
        unmatched=tuple(one for one in references if one.estimator not in {None, *by_estimator}),
        agreement=_agreement(exhibit, tier, task, cells, references),
    )


def _references(exhibit: Exhibit, task: Component) -> list[Reference]:
    """Levels that are known of the board, and the means over seeds that this exhibit quotes."""
    known = [one for one in tasks.get(task.id).references(task.values) if one.sd is None]
    quoted = list(published.of(reading.get(exhibit.suite), exhibit, task))
    names = {(one.metric, one.estimator, one.label) for one in quoted}
    return [one for one in known if (one.metric, one.estimator, one.label) not in names] + quoted


def _rank(line: Line, metric: str, sign: float) -> tuple[bool, float]:
    summary = line.summaries.get(metric)
    return summary is None, 0.0 if summary is None else sign * summary.mean


def _line(
    exhibit: Exhibit, tier: Tier, id: str, cells: Sequence[Measured], references: Sequence[Reference]
) -> Line:
    chosen = _chosen(cells, exhibit.file.select)
    of = [chosen] if chosen else list(cells)
    ended = [one.ended(exhibit.file.select) for one in of]
    values = {name: chosen.ended(name) for name in exhibit.file.report} if chosen else {}
    finite = {name: [v for v in own.values() if math.isfinite(v)] for name, own in values.items()}
    return Line(
        estimator=id,
        spec=chosen.spec if chosen else None,
        settings=len(cells),
        tried=sum(bool(one.ended(exhibit.file.select)) for one in cells),
        wanted=sum(len(one.wanted) for one in of),
        ended=sum(map(len, ended)),
        failed=sum(not math.isfinite(value) for own in ended for value in own.values()),
        summaries={name: seeds.summary(own) for name, own in finite.items() if own},
        medians={name: seeds.median(own) for name, own in finite.items() if own},
        beside=tuple(_beside(exhibit, tier, chosen, one) for one in references if values.get(one.metric))
        if chosen
        else (),
    )


def _chosen(cells: Sequence[Measured], metric: str) -> Measured | None:
    """The cell with the best mean, among those with at least half as many seeds as the fullest has."""
    ended = {id(one): one.ended(metric) for one in cells}
    enough = math.ceil(max(map(len, ended.values())) / 2)
    able = [one for one in cells if ended[id(one)] and len(ended[id(one)]) >= enough]
    if not able:
        return None
    sign = -1.0 if goal_of(able[0].spec.task.id, metric) == "maximize" else 1.0

    def cost(one: Measured) -> tuple[int, float]:
        values = ended[id(one)].values()
        finite = [value for value in values if math.isfinite(value)]
        mean = math.fsum(finite) / len(finite) if finite else math.inf
        return len(values) - len(finite), sign * mean

    return min(able, key=cost)


def _beside(exhibit: Exhibit, tier: Tier, cell: Measured, reference: Reference) -> Beside:
    metric, estimator = reference.metric, cell.spec.estimator.id
    margin = exhibit.margin(tier, metric)
    comparison = verdicts.compare(
        list(cell.ended(metric).values()),
        verdicts.Published(mean=reference.mean, sd=reference.sd, n=reference.n),
        margin=1.0 if margin is None else margin.value,
        goal=goal_of(cell.spec.task.id, metric),
        centre=verdicts.Centre.MEDIAN if estimator in exhibit.file.median else verdicts.Centre.MEAN,
        not_comparable=objection(reference, has_margin=margin is not None),
    )
    return Beside(reference=reference, comparison=comparison)


def objection(reference: Reference, *, has_margin: bool) -> str | None:
    """Why a number cannot be held against a measured one; ``None`` where it can."""
    if reference.comparable:
        return reference.comparable
    if not reference.exhibit:
        return "a known level, nothing that was measured"
    if reference.slip:
        return f"slip in print: {reference.slip}"
    return None if has_margin else "no margin is stated for this metric"


def _agreement(
    exhibit: Exhibit,
    tier: Tier,
    task: Component,
    cells: Sequence[Measured],
    references: Sequence[Reference],
) -> dict[tuple[str, str], orders.Agreement]:
    """Of every set of comparable published numbers without slips, if at least two estimators are measured."""
    least = _least_seeds(exhibit, tier)
    found: dict[tuple[str, str], dict[str, float]] = {}
    for one in references:
        if one.estimator is not None and one.exhibit and not one.comparable and not one.slip:
            found.setdefault((one.metric, one.label), {})[one.estimator] = one.mean
    measured = {one.spec.estimator.id for one in cells if len(one.ended(exhibit.file.select)) >= least}
    return {
        (metric, label): orders.agreement(
            numbers,
            [_scored(one) for one in cells],
            select=_metric(task.id, exhibit.file.select),
            report=_metric(task.id, metric),
            min_seeds=least,
        )
        for (metric, label), numbers in found.items()
        if len(measured & numbers.keys()) > 1
    }


def _least_seeds(exhibit: Exhibit, tier: Tier) -> int:
    """Seeds from which a cell is judged; after halving, all that a survivor has, so that none is judged by
    the few that kept it on.
    """
    halving = exhibit.tier(tier).halving
    return posterior.MIN_SEEDS if halving is None else halving.seeds[-1]


def _scored(one: Measured) -> posterior.Cell:
    return claim_cells.scored(one.spec, {name: one.ended(name) for name in one.values})


def _metric(task: str, name: str) -> posterior.Metric:
    return posterior.Metric(name, goal_of(task, name))


def _decided(
    place: int,
    claim: ClaimSection,
    exhibit: Exhibit,
    tier: Tier,
    by_board: Mapping[Component, Sequence[Measured]],
) -> claims.ClaimResult:
    if predicates.too_short(tier):
        return claims.not_tried(predicates.SMOKE)
    try:
        return _judge(claim, exhibit, tier, by_board)
    except UnknownLevel as unknown:
        return claims.not_tried(str(unknown))
    except ValueError as error:
        raise SpecError([Issue(f"/claims/{place}", str(error))], source=exhibit.name) from None


def _judge(
    claim: ClaimSection, exhibit: Exhibit, tier: Tier, by_board: Mapping[Component, Sequence[Measured]]
) -> claims.ClaimResult:
    """The claim on the boards of this tier.

    Raises:
        ValueError: it cannot be decided as it is written.
    """
    titles = _titles(by_board)
    scenes = {
        scene: cells
        for task, own in by_board.items()
        for scene, cells in claim_cells.scenes(claim, titles[task], [_scored(one) for one in own])
    }
    parts: list[claims.Claim] = []
    for test in claim.tests:
        boards = {title: task for task, title in titles.items() if predicates.named(task.values, test.boards)}
        if not boards:
            return claims.not_tried("none of the boards that it speaks of is in this tier")
        named = [scene for scene in scenes if scene.board in boards]
        if not named:
            return claims.not_tried(f"not measured at any epoch: {predicates.only_metric(claim)}")
        parts += predicates.parts(test, named, functools.partial(_level, boards, test, exhibit))
    task, metric = next(iter(by_board)), predicates.only_metric(claim)
    return claims.judge(
        *parts,
        boards=scenes,
        select=_metric(task.id, metric if claim.on else exhibit.file.select),
        report=_metric(task.id, metric),
        min_seeds=_least_seeds(exhibit, tier),
    )


def _level(
    boards: Mapping[str, Component], test: TestSection, exhibit: Exhibit, end: predicates.End, scene: Hashable
) -> float | None:
    """A number, or the known level of that label on a board."""
    if not isinstance(end, str):
        return end
    assert isinstance(scene, Scene)
    for reference in _references(exhibit, boards[scene.board]):
        if (reference.label, reference.metric) == (end, test.metric):
            return reference.mean
    raise UnknownLevel(f"no level {end!r} of {test.metric} is known on {scene.board}")
