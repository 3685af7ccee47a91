"""A report as tables and sentences: what page, Markdown and LaTeX all show, before anything is escaped."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.scoring.claims import CONTRADICTED_TO
from service.resources import cost_tables, numbers
from service.resources.claim_words import listed
from service.resources.labels import metric_header
from service.resources.schemas import MetricInfo
from service.resources.suite_schemas import (
    ComparedNumber,
    EliminatedSetting,
    MeasuredNumber,
    OrderAgreement,
    PublishedNumber,
    ReportBoard,
    ReportClaim,
    ReportRow,
    SuiteReport,
)

SIGNS = {
    "supported": "✓",
    "contradicted": "✗",
    "undecided": "?",
    "not tried": "–",
    "reproduced": "✓",
    "not reproduced": "✗",
    "within noise": "?",
    "not comparable": "–",
    "compatible": "≈",
    "lower": "↓",
    "higher": "↑",
}
"""Every verdict and every word on a ratio with a sign of its own, so that colour is not needed to tell them
apart."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedCell:
    """A published number in a row; ``marks`` point at notes below the table."""

    label: str
    value: str
    marks: tuple[int, ...]
    difference: str
    interval: str
    verdict: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """An estimator; ``best`` has the best mean of its table. ``name`` is its id."""

    name: str
    title: str
    setting: str
    seeds: str
    value: str
    sd: str
    interval: str
    median: str
    best: bool
    published: tuple[PublishedCell, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """One metric of one board, with what is said below it."""

    title: str
    page: str | None
    header: str
    goal: str
    rows: tuple[Row, ...]
    has_published: bool
    has_median: bool
    notes: tuple[str, ...]
    sentences: tuple[str, ...]


def tables(report: SuiteReport) -> list[Table]:
    """A table for each board and reported metric."""
    return [
        _table(report, board, metric)
        for board in report.boards
        for metric in board.metrics
        if metric.name in report.report
    ]


def share(claim: ReportClaim) -> str:
    """The probability that a claim holds, with its Monte Carlo error, in per cent; a bound near 0 and 1."""
    if claim.share is None or claim.error is None:
        return "–"
    error = math.ceil(1000 * claim.error) / 10
    if 100 * (claim.share + claim.error) <= error:
        return f"< {error:.1f} %"
    if 100 * (1 - claim.share + claim.error) <= error:
        return f"> {100 - error:.1f} %"
    return f"{100 * claim.share:.1f} ± {error:.1f} %"


def decision(claim: ReportClaim) -> str:
    """What was tested, why nothing follows where that is not plain, and what the test leaves out."""
    tests = "; ".join(claim.decided_by)
    parts = [tests[:1].upper() + tests[1:]]
    if claim.share is None or (claim.verdict == "undecided" and claim.share <= CONTRADICTED_TO):
        parts.append(claim.reason[:1].upper() + claim.reason[1:])
    if claim.share is not None and claim.left_out:
        parts.append(f"{claim.left_out:,} settings with too few seeds are left out")
    parts += [claim.note] if claim.note else []
    return " ".join(f"{part.rstrip('.')}." for part in parts)


def extent(claim: ReportClaim) -> str:
    """On how many boards a claim was tested, and by which device, if a command measured it."""
    boards = "board" if claim.published_boards == 1 else "boards"
    on = f"{claim.boards} of {claim.published_boards} {boards}"
    return on if claim.device is None else f"{on}, {claim.device}"


def state(report: SuiteReport) -> str:
    """How far the tier is, in a sentence."""
    if not report.trials:
        if report.devices:
            return f"Measured on {cost_tables.measured_on(report)}."
        by_command = "Measured by a command on the device at hand, not by trials: not tried yet."
        return by_command if report.command else "The tier has no trials."
    failed = f", {report.failed:,} of them failed" if report.failed else ""
    return f"{report.ended:,} of {report.trials:,} trials have ended{failed}."


def changes(report: SuiteReport) -> str:
    """What the tier changes, in a sentence."""
    return report.changes or "Nothing is changed: the protocol is the published one."


def margins(report: SuiteReport) -> list[str]:
    """Every margin with its reason."""
    found: dict[str, None] = {}
    for board in report.boards:
        titles = {metric.name: metric.title for metric in board.metrics}
        for one in _compared(board):
            if one.margin is not None:
                found[f"{titles[one.metric]}: {one.margin:g}. {one.margin_why}"] = None
    return list(found)


def provenance(report: SuiteReport) -> list[tuple[str, str]]:
    """What the shown results were computed with, over all boards."""
    pairs = [(one.device, cost_tables.provenance(one)) for one in report.devices]
    for name in dict.fromkeys(name for board in report.boards for name in board.versions):
        values = dict.fromkeys(value for board in report.boards for value in board.versions.get(name, []))
        if values:
            pairs.append((name.capitalize(), "; ".join(values)))
    data = {one.id: one for board in report.boards for one in board.data}
    for one in data.values():
        stand_in = f", a stand-in: {one.stand_in}" if one.stand_in else ""
        pairs.append(("Data", f"{one.title}, SHA-256 {one.sha256[:16]}…{stand_in}"))
    return pairs


def eliminated(one: EliminatedSetting) -> dict[str, str]:
    """A row of the table of what halving gave up."""
    return {
        "board": one.board,
        "title": one.title,
        "setting": numbers.setting(**dict(one.setting)),
        "rung": str(one.rung),
        "seeds": f"{one.seeds}" + (f", {one.failed} failed" if one.failed else ""),
        "mean": numbers.five_digits(one.mean),
        "rank": f"{one.rank} of {one.of}",
        "threshold": numbers.five_digits(one.threshold),
    }


def _table(report: SuiteReport, board: ReportBoard, metric: MetricInfo) -> Table:
    notes: dict[str, int] = {}
    best = _best(board, metric)
    rows = tuple(_row(row, metric.name, best, report.median, notes) for row in board.rows)
    return Table(
        title=board.title,
        page=board.page,
        header=metric_header(metric),
        goal="lower is better" if metric.goal == "minimize" else "higher is better",
        rows=rows,
        has_published=any(row.published for row in rows),
        has_median=any(row.median for row in rows),
        notes=tuple(notes),
        sentences=tuple(_sentences(board, metric.name)),
    )


def _best(board: ReportBoard, metric: MetricInfo) -> float | None:
    means = [row.metrics[metric.name].mean for row in board.rows if metric.name in row.metrics]
    return (max if metric.goal == "maximize" else min)(means, default=None)


def _row(
    row: ReportRow, metric: str, best: float | None, by_median: Sequence[str], notes: dict[str, int]
) -> Row:
    measured = row.metrics.get(metric)
    failed = f", {row.failed} failed" if row.failed else ""
    return Row(
        name=row.estimator,
        title=row.title,
        setting="" if row.setting is None else numbers.setting(**dict(row.setting)),
        seeds=f"{row.ended} of {row.wanted}{failed}",
        value=_mean(measured),
        sd="" if measured is None or measured.sd is None else f"± {numbers.compact(measured.sd)}",
        interval="" if measured is None else _interval(measured.low, measured.high, _half(measured)),
        median="" if measured is None or row.title not in by_median else numbers.five_digits(measured.median),
        best=measured is not None and measured.mean == best,
        published=tuple(_published(one, notes) for one in row.published if one.metric == metric),
    )


def _half(measured: MeasuredNumber) -> float | None:
    return None if measured.low is None or measured.high is None else (measured.high - measured.low) / 2


def _mean(measured: MeasuredNumber | None) -> str:
    return "–" if measured is None else "".join(numbers.split_digits(measured.mean, _half(measured)))


def _interval(low: float | None, high: float | None, half: float | None, *, signed: bool = False) -> str:
    if low is None or high is None:
        return ""
    decimals = numbers.decimals_for(half, low)
    ends = (numbers.text(end, decimals, signed=signed) for end in (low, high))
    return " to ".join(ends)


def _published(one: ComparedNumber, notes: dict[str, int]) -> PublishedCell:
    marks = tuple(notes.setdefault(text, len(notes) + 1) for text in _remarks(one))
    half = None if one.low is None or one.high is None else (one.high - one.low) / 2
    decimals = numbers.reference_decimals(one.mean, one.sd)
    if half is not None:
        decimals = min(decimals, numbers.decimals_for(half, one.mean))
    interval = _interval(one.low, one.high, half, signed=True)
    return PublishedCell(
        label=one.label,
        value=_value(one),
        marks=marks,
        difference=numbers.text(one.difference, decimals, signed=True),
        interval=interval,
        verdict=one.verdict,
        reason=one.reason,
    )


def _remarks(one: ComparedNumber) -> Iterator[str]:
    """What must be said of a published number: its source, slips, differences of protocol, a missing
    spread.
    """
    yield f"{one.label}: {one.source}."
    if one.slip:
        yield f"Slip in print: {one.slip}."
    if one.protocol:
        yield f"Not comparable: {one.protocol}."
    elif one.verdict == "not comparable":
        yield f"Not comparable: {one.reason}."
    elif one.published_exact:
        yield "No spread or number of runs is published, so the interval is too narrow."
    if one.centre == "median":
        yield "The median of the seeds is compared, for some of them collapse."


def _value(one: PublishedNumber) -> str:
    value = numbers.text(one.mean, numbers.reference_decimals(one.mean, one.sd))
    spread = "" if one.sd is None else f" ± {numbers.compact(one.sd)}"
    return value + spread + ("" if one.n is None else f" (n = {one.n})")


def _sentences(board: ReportBoard, metric: str) -> Iterator[str]:
    for one in board.levels:
        if one.metric == metric:
            yield f"Level {one.label}: {_value(one)} ({one.source})."
    missing = [one for one in board.not_computed if one.metric == metric]
    if missing:
        found = "; ".join(f"{one.title} {_value(one)}, {one.label}" for one in missing)
        yield f"Published, but not computed in this tier: {found}."
    for order in board.orders:
        if order.metric == metric:
            yield order_text(order)


def order_text(order: OrderAgreement) -> str:
    """Whether estimators stand in the published order, in words."""
    if len(order.measured) < 2:
        return f"Order against {order.label}: fewer than two estimators have enough seeds."
    same = "is the published one" if order.measured == order.published else "is not the published one"
    text = f"The measured order, best first, {same} of {order.label}: {', '.join(order.measured)}"
    if order.measured != order.published:
        text += f"; published: {', '.join(order.published)}"
    tau = "" if order.tau is None else f" Kendall’s tau is {numbers.text(order.tau, 2)}."
    sure = "" if order.share is None else f" The published order holds with probability {order.share:.1%}."
    pairs = [f"{one.better} and {one.worse} ({one.share:.0%})" for one in order.not_separated]
    near = f" Not separated at 95 %: {listed(pairs)}." if pairs else ""
    return f"{text}.{tau}{sure}{near}".replace("%)", " %)").replace("%.", " %.").replace("  %", " %")


def _compared(board: ReportBoard) -> Iterable[ComparedNumber]:
    return (one for row in board.rows for one in row.published)
