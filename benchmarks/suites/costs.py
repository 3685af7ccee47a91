"""Time and memory that a command measured beside what was published. Pure; does not import torch.

Seconds and megabytes depend on the device, so that they are shown but not compared. Compared are ratios to
the estimator :data:`BASE` on the same problem, and the order of the estimators. An epoch of one case is one
measurement of its mean; epochs of different cases have nothing in common, unlike seeds.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import statistics
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from benchmarks.scoring import claims, orders, posterior
from benchmarks.suites import predicates, reading
from benchmarks.suites.checking import Row
from benchmarks.suites.predicates import ClaimReport
from benchmarks.suites.reading import Exhibit
from benchmarks.suites.schema import ClaimSection, PublishedSection, Tier
from benchmarks.sweep import Issue, SpecError

BASE = "reinmax"
"""The estimator whose cost is the unit of the others' on the same problem."""

TITLES = {
    "quadratic": "quadratic programme, p = 2, L = 128, 512 copies",
    "vae": "VAE 10 x 30 on MNIST, batches of 100",
}
"""Problem of the command -> its name in words."""

SECONDS, MEGABYTES = "seconds", "megabytes"
METRICS = (SECONDS, MEGABYTES)
"""Seconds of an epoch and 10^6 bytes that its steps add."""

RESIDENT_SPREAD = 1.4
"""Standard deviation of a case's added megabytes between runs, where they are the process's resident memory.

Pooled over the 14 cases of the command, four runs each, on a machine with two cores.
"""

INTERVAL = (0.025, 0.975)
"""Quantiles of the posterior that end an interval."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """An estimator on a problem, as it was measured.

    Attributes:
        problem: as the command calls it.
        estimator: its id.
        draws: of an estimator whose cost follows from them.
        epochs: seconds of every epoch.
        added_bytes: at most held during the steps, above what was held before them.
        memory_spread: standard deviation of the added megabytes between runs: 0 where an allocator counts
            them, :data:`RESIDENT_SPREAD` where they are resident memory.
    """

    problem: str
    estimator: str
    draws: int | None
    epochs: tuple[float, ...]
    added_bytes: int
    memory_spread: float = 0.0

    @property
    def name(self) -> str:
        """As claims call it: ``st``, ``gumbel_rao-100``."""
        return contender(self.estimator, self.draws)

    def measurements(self, metric: str) -> tuple[float, ...]:
        """Seconds of every epoch, or the one number of megabytes; none where steps added nothing."""
        if metric == SECONDS:
            return self.epochs
        return (self.added_bytes / 1e6,) if self.added_bytes > 0 else ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Printed:
    """A published number, which lies within ``half`` of ``value`` if it was rounded to its last digit.

    ``text`` is the number as it is printed, ``label`` what pages call it, ``source`` where it is from and
    ``note`` what else is said of it.
    """

    value: float
    half: float
    text: str
    label: str
    source: str
    note: str


class Word(StrEnum):
    """How a measured ratio compares with a published one."""

    COMPATIBLE = "compatible"
    """The 95 % interval meets what the printed digits leave open."""
    LOWER = "lower"
    HIGHER = "higher"
    UNDECIDED = "undecided"
    """A single epoch has no interval."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ratio:
    """A cost over that of :data:`BASE` on the same problem.

    Attributes:
        measured: ratio of what tables show; ``None`` where it cannot be formed.
        interval: 95 % of the ratio of means over epochs; ``None`` with a single epoch.
        published: of the printed numbers; ``None`` where one is missing.
        rounding: smallest and largest ratio of numbers that are printed so.
        word: of ratios that both sides have, but not of :data:`BASE` to itself.
    """

    measured: float | None
    interval: tuple[float, float] | None
    published: float | None
    rounding: tuple[float, float] | None
    word: Word | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """One metric of a case: median, smallest and largest, the printed number, and the ratios of both."""

    value: float
    low: float
    high: float
    published: Printed | None
    ratio: Ratio


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A case with its costs by metric."""

    case: Case
    costs: Mapping[str, Cost]


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """Measured order of a problem's estimators beside the published one, by their names.

    Attributes:
        label: what pages call the published numbers.
        published: the cheapest first; what is printed equal stands together.
        measured: the cheapest first.
        tau: Kendall's tau-b; ``None`` where it is undefined, as for fewer than two estimators.
        most: tau-b of a measured order that breaks no published one: ties in print keep it below 1.
        share, error: share of draws in which every pair that differs in print stands so, and its Monte Carlo
            error; ``None`` where an estimator has a single epoch.
        not_separated: neighbours of the measured order that epochs do not tell apart at 95 %.
        missing: published, but not measured.
    """

    label: str
    published: tuple[tuple[str, ...], ...]
    measured: tuple[str, ...]
    tau: float | None
    most: float | None
    share: float | None
    error: float | None
    not_separated: tuple[orders.Pair, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Board:
    """One problem: its cases as they were measured, and the orders by metric."""

    problem: str
    title: str
    lines: tuple[Line, ...]
    orders: Mapping[str, Order]


@dataclass(frozen=True, kw_only=True, slots=True)
class Costs:
    """What one device measured of an exhibit: boards in the order of measuring, claims in the file's."""

    boards: tuple[Board, ...]
    claims: tuple[ClaimReport, ...]


Prints = Mapping[str, Mapping[str, Mapping[str, Printed]]]
"""Problem -> estimator by name -> metric -> printed number."""


def contender(estimator: str, draws: int | str | None) -> str:
    """The name of an estimator with its draws, if it has them: ``gumbel_rao-100``."""
    return f"{estimator}-{draws}" if draws else estimator


def published(exhibit: Exhibit) -> Prints:
    """The printed numbers of an exhibit that a command measures."""
    found: dict[str, dict[str, dict[str, Printed]]] = {}
    for section in exhibit.file.published:
        for row in reading.get(exhibit.suite).table(section.file):
            if all(row[name] == value for name, value in section.where.items()):
                name = contender(row["estimator"], row.get("num_draws"))
                of_problem = found.setdefault(row["problem"], {})
                of_problem.setdefault(name, {})[row["metric"]] = _printed(section, row)
    return found


def _printed(section: PublishedSection, row: Row) -> Printed:
    return Printed(
        value=float(row["mean"]),
        half=half_unit(row["mean"]),
        text=row["mean"],
        label=section.label.format_map(row),
        source=section.source.format_map(row),
        note=row.get("note") or "",
    )


def half_unit(text: str) -> float:
    """Half a unit of the last digit of a number as it is printed: 0.05 of ``5.0``, 0.5 of ``13``.

    Noughts at the end of a whole number may be rounding: 50 of ``300``.
    """
    whole, point, decimals = text.strip().partition(".")
    if point:
        return 0.5 * 10.0 ** -len(decimals)
    return 0.5 * 10.0 ** (len(whole) - len(whole.rstrip("0")) if whole.strip("0") else 0)


def report(exhibit: Exhibit, tier: Tier, measured: Sequence[Case]) -> Costs:
    """Put what one device measured beside what was published.

    Args:
        exhibit: a table that a command measures.
        tier: what it was measured in.
        measured: every case of the device.

    Raises:
        SpecError: a claim cannot be decided as it is written.
    """
    printed = published(exhibit)
    by_problem: dict[str, list[Case]] = {}
    for one in measured:
        by_problem.setdefault(one.problem, []).append(one)
    metrics = [name for name in METRICS if name in exhibit.file.report]
    return Costs(
        boards=tuple(
            _board(problem, cases, printed.get(problem, {}), metrics) for problem, cases in by_problem.items()
        ),
        claims=tuple(
            ClaimReport(
                claim=claim,
                result=_decided(place, claim, exhibit, tier, by_problem, printed),
                boards=len(_spoken_of(claim, by_problem)),
                published_boards=len(_spoken_of(claim, printed or by_problem)),
            )
            for place, claim in enumerate(exhibit.file.claims)
        ),
    )


def title(problem: str) -> str:
    """A problem in words; one that is not known by its name."""
    return TITLES.get(problem, problem)


def _spoken_of(claim: ClaimSection, problems: Mapping[str, object]) -> set[str]:
    return {name for name in problems for test in claim.tests if _named(name, test.boards)}


def _named(problem: str, boards: Sequence[Mapping[str, str | int | float]]) -> bool:
    return predicates.named({"problem": problem}, boards)


def _board(
    problem: str, cases: Sequence[Case], printed: Mapping[str, Mapping[str, Printed]], metrics: Sequence[str]
) -> Board:
    lines: dict[str, dict[str, Cost]] = {one.name: {} for one in cases}
    for metric in metrics:
        own = {name: numbers[metric] for name, numbers in printed.items() if metric in numbers}
        for name, cost in _costs(cases, metric, own):
            lines[name][metric] = cost
    numbers = {
        metric: {name: own[metric] for name, own in printed.items() if metric in own} for metric in metrics
    }
    return Board(
        problem=problem,
        title=title(problem),
        lines=tuple(Line(case=one, costs=lines[one.name]) for one in cases),
        orders={metric: _order(metric, cases, own) for metric, own in numbers.items() if len(own) > 1},
    )


def _costs(cases: Sequence[Case], metric: str, printed: Mapping[str, Printed]) -> Iterator[tuple[str, Cost]]:
    """The cost of every case, beside its printed number."""
    intervals = _intervals(cases, metric, printed)
    base = next((one for one in cases if one.name == BASE), None)
    for one in cases:
        shown = _shown(one, metric)
        own, unit = printed.get(one.name), printed.get(BASE)
        over = None if base is None else statistics.median(_shown(base, metric))
        yield (
            one.name,
            Cost(
                value=statistics.median(shown),
                low=min(shown),
                high=max(shown),
                published=own,
                ratio=_ratio(one.name, statistics.median(shown), over, intervals.get(one.name), own, unit),
            ),
        )


def _shown(case: Case, metric: str) -> tuple[float, ...]:
    """What tables show: also memory that did not grow."""
    return case.epochs if metric == SECONDS else (case.added_bytes / 1e6,)


def _ratio(
    name: str,
    value: float,
    over: float | None,
    interval: tuple[float, float] | None,
    own: Printed | None,
    unit: Printed | None,
) -> Ratio:
    measured = None if over is None or over <= 0 else value / over
    both = None if own is None or unit is None or unit.value <= 0 else (own, unit)
    rounding = None if both is None or name == BASE else _rounding(*both)
    return Ratio(
        measured=measured,
        interval=None if name == BASE else interval,
        published=None if both is None else both[0].value / both[1].value,
        rounding=rounding,
        word=None if measured is None or rounding is None else _word(interval, rounding),
    )


def _rounding(own: Printed, unit: Printed) -> tuple[float, float]:
    """Smallest and largest ratio of numbers that are printed as these."""
    most = (own.value + own.half) / (unit.value - unit.half) if unit.value > unit.half else math.inf
    return max(own.value - own.half, 0.0) / (unit.value + unit.half), most


def _word(interval: tuple[float, float] | None, rounding: tuple[float, float]) -> Word:
    if interval is None:
        return Word.UNDECIDED
    if interval[1] < rounding[0]:
        return Word.LOWER
    return Word.HIGHER if interval[0] > rounding[1] else Word.COMPATIBLE


def _intervals(
    cases: Sequence[Case], metric: str, printed: Mapping[str, Printed]
) -> dict[str, tuple[float, float]]:
    """95 % intervals of the ratios of means, of published estimators with more than one epoch."""
    of = posterior.Metric(metric)
    cells = _cells([one for one in cases if one.name in {BASE, *printed}], metric)
    view = posterior.Posterior(cells, select=of, report=of, rng=np.random.default_rng(0))
    if BASE not in view.estimators:
        return {}
    base = view.costs(BASE)
    found = {}
    for name in view.estimators:
        low, high = np.quantile(view.costs(name) / base, INTERVAL).tolist()
        found[name] = (low, high)
    return found


def _cells(cases: Sequence[Case], metric: str) -> list[posterior.Cell]:
    """Cells of one setting each, whose "seeds" are epochs, no two cells having one in common.

    Megabytes are one number with a known spread.
    """
    count = itertools.count()
    return [
        posterior.Cell(
            estimator=one.name,
            parameters={},
            values={metric: {next(count): value for value in one.measurements(metric)}},
            spread={MEGABYTES: one.memory_spread},
        )
        for one in cases
    ]


def _order(metric: str, cases: Sequence[Case], printed: Mapping[str, Printed]) -> Order:
    of = [one for one in cases if one.name in printed and one.measurements(metric)]
    numbers = {one.name: printed[one.name].value for one in of}
    values = {one.name: statistics.median(one.measurements(metric)) for one in of}
    found = _agreement(metric, of, numbers)
    by_value = tuple(sorted(values, key=values.__getitem__))
    return Order(
        label=next(iter(printed.values())).label,
        published=_groups(numbers),
        measured=by_value if found is None else found.measured,
        tau=orders.kendall_tau_b(list(numbers.values()), list(values.values()))
        if found is None
        else found.tau,
        most=_most(numbers, values),
        share=None if found is None else found.share,
        error=None if found is None else found.error,
        not_separated=() if found is None else tuple(one for one in found.neighbours if not one.separated),
        missing=tuple(name for name in printed if name not in values),
    )


def _agreement(metric: str, cases: Sequence[Case], printed: Mapping[str, float]) -> orders.Agreement | None:
    """``None`` where a case has a single epoch, whose spread is not known."""
    cells, of = _cells(cases, metric), posterior.Metric(metric)
    if not all(cell.judged(metric, posterior.MIN_SEEDS) for cell in cells):
        return None
    return orders.agreement(printed, cells, select=of, report=of)


def _groups(numbers: Mapping[str, float]) -> tuple[tuple[str, ...], ...]:
    """Names by number, the smallest first; those of equal ones together."""
    ranked = sorted(numbers, key=numbers.__getitem__)
    return tuple(tuple(group) for _, group in itertools.groupby(ranked, key=numbers.__getitem__))


def _most(printed: Mapping[str, float], measured: Mapping[str, float]) -> float | None:
    """Tau-b where every pair that differs in print stands so: sqrt(pairs differing in print / measured)."""
    differ = [
        sum(of[a] != of[b] for a, b in itertools.combinations(printed, 2)) for of in (printed, measured)
    ]
    return math.sqrt(min(differ) / max(differ)) if all(differ) else None


def _decided(
    place: int,
    claim: ClaimSection,
    exhibit: Exhibit,
    tier: Tier,
    by_problem: Mapping[str, Sequence[Case]],
    printed: Prints,
) -> claims.ClaimResult:
    if predicates.too_short(tier):
        return claims.not_tried(predicates.SMOKE)
    try:
        return _judge(claim, by_problem, printed)
    except ValueError as error:
        raise SpecError([Issue(f"/claims/{place}", str(error))], source=exhibit.name) from None


def _judge(
    claim: ClaimSection, by_problem: Mapping[str, Sequence[Case]], printed: Prints
) -> claims.ClaimResult:
    """The claim on the problems of one device.

    Raises:
        ValueError: it cannot be decided as it is written.
    """
    parts: list[claims.Claim] = []
    for test in claim.tests:
        on = [problem for problem in by_problem if _named(problem, test.boards)]
        if not on:
            return claims.not_tried("none of the problems that it speaks of was measured")
        parts += predicates.parts(test, on, _level)
    metric = posterior.Metric(predicates.only_metric(claim))
    boards = {
        problem: _cells(_meant(claim, cases, printed.get(problem, {})), metric.name)
        for problem, cases in by_problem.items()
    }
    result = claims.judge(*parts, boards=boards, select=metric, report=metric)
    if result.verdict is claims.ClaimVerdict.UNDECIDED and result.share is None:
        return dataclasses.replace(result, reason="a single epoch has no spread to judge by")
    return result


def _meant(claim: ClaimSection, cases: Sequence[Case], printed: Iterable[str]) -> list[Case]:
    """The cases that a claim speaks of: those it names, and the printed ones where it means all others."""
    names = {name for test in claim.tests for name in (test.estimator, *test.than)}
    if any(test.kind == "best" and not test.than for test in claim.tests):
        names.update(printed)
    return [one for one in cases if one.name in names]


def _level(end: predicates.End, _: Hashable) -> float | None:
    return predicates.number(end)
