"""Measured time and memory as tables and sentences, before anything is escaped."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.suites.costs import MEGABYTES, RESIDENT_SPREAD, SECONDS
from service.resources import numbers
from service.resources.claim_words import listed
from service.resources.cost_schemas import CostBoard, CostOrder, CostRow, DeviceCosts, MeasuredCost
from service.resources.suite_schemas import SuiteReport

HEADERS = {SECONDS: "Seconds of an epoch", MEGABYTES: "Added megabytes"}
FIRST = {SECONDS: "fastest first", MEGABYTES: "least first"}

RULE = (
    "Seconds and megabytes depend on the device, so that published ones are not comparable. Compared are "
    "ratios to ReinMax on the same problem: a measured ratio is compatible with the published one where its "
    "95 % interval meets the range that the printed digits leave open, lower or higher where it does not, "
    "and undecided with a single epoch, which has no interval. Memory is measured once: exactly on a GPU, "
    "where an allocator counts it; on a CPU it is what the process holds, which differs between runs by a "
    f"standard deviation of about {RESIDENT_SPREAD:g} MB. What adds no memory has no ratio. The sentences of "
    "the paper are judged by means over epochs."
)
"""How measured and published costs are compared."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """An estimator: what was measured and printed, and the ratios of both to ReinMax. ``name`` is its id."""

    name: str
    title: str
    value: str
    extent: str
    published: str
    ratio: str
    interval: str
    published_ratio: str
    rounding: str
    word: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CostTable:
    """One metric of one problem on one device, with what is said below it."""

    title: str
    device: str
    header: str
    rows: tuple[Row, ...]
    sentences: tuple[str, ...]


def cost_tables(report: SuiteReport) -> list[CostTable]:
    """A table for each device, problem and metric."""
    return [
        _table(device, board, metric)
        for device in report.devices
        for board in device.boards
        for metric in HEADERS
        if metric in report.report
    ]


def not_measured(report: SuiteReport) -> list[str]:
    """What a device could not measure, and why, a sentence each."""
    return [
        f"Not measured on {device.device}: {name}: {why.rstrip('.')}."
        for device in report.devices
        for name, why in device.failures.items()
    ]


def measured_on(report: SuiteReport) -> str:
    """The devices, in words."""
    return listed([device.device for device in report.devices])


def provenance(device: DeviceCosts) -> str:
    """How a device measured, and what it is."""
    epochs = "one epoch" if device.epochs == 1 else f"{device.epochs:,} epochs"
    cut = "whole" if device.seconds is None else f"cut to {device.seconds:g} s and scaled"
    warm_up = f"at most {device.warm_up:,} steps to warm up"
    plan = f"{epochs} of each case, {cut}, {warm_up}, threads: {device.threads}"
    machine = "; ".join(f"{name.replace('_', ' ')} {value}" for name, value in device.machine.items())
    return f"{plan}; {machine}" if machine else plan


def three_digits(value: float | None) -> str:
    """A cost or a ratio in three significant digits without powers of ten; an en dash for none."""
    if value is None or not math.isfinite(value):
        return "–"
    size = 0 if value == 0 else math.floor(math.log10(abs(value)))
    decimals = min(max(2 - size, 0), numbers.MAX_DECIMALS)
    return f"{round(value, 2 - size) or 0.0:,.{decimals}f}".replace("-", "−")


def order_text(order: CostOrder) -> str:
    """Measured and published order, and how far they agree, in words."""
    if len(order.measured) < 2:
        return f"Order against {order.label}: fewer than two estimators were measured."
    printed = "; ".join(" = ".join(group) for group in order.published)
    parts = [
        f"Measured order, {FIRST[order.metric]}: {'; '.join(order.measured)}.",
        f"Published in {order.label}: {printed}.",
        *_agreement(order),
    ]
    if order.missing:
        parts.append(f"Published, but not measured: {listed(order.missing)}.")
    return " ".join(parts)


def _agreement(order: CostOrder) -> Iterator[str]:
    if order.tau is not None:
        ties = order.most is not None and order.most < 1
        most = f", at most {numbers.text(order.most, 2)} for ties" if ties else ""
        yield f"Kendall’s tau-b is {numbers.text(order.tau, 2)}{most}."
    if order.share is None:
        yield "A single epoch has no spread, so that no two of them are separated."
        return
    yield f"What differs in print stands so with probability {100 * order.share:.1f} %."
    if order.not_separated:
        pairs = [f"{one.cheaper} and {one.dearer} ({100 * one.share:.0f} %)" for one in order.not_separated]
        yield f"Not separated at 95 %: {listed(pairs)}."


def _table(device: DeviceCosts, board: CostBoard, metric: str) -> CostTable:
    return CostTable(
        title=f"{board.title[:1].upper()}{board.title[1:]}",
        device=device.device,
        header=HEADERS[metric],
        rows=tuple(_row(row, row.costs[metric]) for row in board.rows),
        sentences=(
            *_sources(board.rows, metric),
            *(order_text(one) for one in board.orders if one.metric == metric),
        ),
    )


def _row(row: CostRow, cost: MeasuredCost) -> Row:
    ratio = cost.ratio
    return Row(
        name=row.estimator,
        title=row.title,
        value=three_digits(cost.value),
        extent=_range(cost.low, cost.high) if cost.low < cost.high else "",
        published="–" if cost.published is None else cost.published.text,
        ratio=three_digits(ratio.measured),
        interval="" if ratio.low is None or ratio.low == ratio.high else _range(ratio.low, ratio.high),
        published_ratio=three_digits(ratio.published),
        rounding="" if ratio.published_low is None else _range(ratio.published_low, ratio.published_high),
        word=ratio.word or "",
    )


def _range(low: float | None, high: float | None) -> str:
    if high is None:
        return f"from {three_digits(low)}"
    return f"{three_digits(low)} to {three_digits(high)}"


def _sources(rows: Sequence[CostRow], metric: str) -> Iterator[str]:
    """Where the printed numbers are from, why they are not comparable, and what is said of some of them."""
    printed = [(row.title, one) for row in rows if (one := row.costs[metric].published) is not None]
    for source, reason in dict.fromkeys((one.source, one.reason) for _, one in printed):
        yield f"Published: {source}. Not comparable: {reason}."
    for note in dict.fromkeys(one.note for _, one in printed if one.note):
        said_of = [title for title, one in printed if one.note == note]
        yield f"{note[:1].upper()}{note[1:]}: {listed(said_of)}."
