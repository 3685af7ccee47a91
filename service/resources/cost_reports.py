"""What commands measured of an exhibit, as it is answered: :mod:`benchmarks.suites.costs` with titles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.suites import costs
from benchmarks.suites.costs import Case, Costs
from benchmarks.suites.predicates import ClaimReport
from benchmarks.suites.reading import Exhibit
from benchmarks.suites.schema import ClaimSection, Tier
from estimators import registry as estimators
from service.resources import describe, measurements, reproductions
from service.resources.claim_words import decided_by, judged
from service.resources.cost_schemas import (
    CostBoard,
    CostOrder,
    CostRatio,
    CostRow,
    DeviceCosts,
    MeasuredCost,
    PrintedCost,
    SeparatedPair,
)
from service.resources.suite_schemas import ReportClaim

WORDS = {costs.SECONDS: "seconds of an epoch", costs.MEGABYTES: "added megabytes"}
"""Metric -> what sentences call it."""
NOT_COMPARABLE = "not comparable"
ANOTHER_DEVICE = "measured on another device"

Document = dict[str, Any]


def show(exhibit: Exhibit, tier: Tier, folder: Path) -> tuple[list[DeviceCosts], list[ReportClaim]]:
    """Every device by name with what it measured, and the claims for each; both empty of other exhibits.

    Before anything is measured the claims are there, not tried.

    Raises:
        BrokenSuite: a claim cannot be decided as the exhibit's file has it.
    """
    if exhibit.file.command is None:
        return [], []
    devices: list[DeviceCosts] = []
    claims: list[ReportClaim] = []
    for document in measurements.stored(exhibit, tier, folder):
        found = reproductions.make_costs(exhibit, tier, _cases(document))
        devices.append(_device(document, found))
        claims += [_claim(one, document["device"]) for one in found.claims]
    if not devices:
        claims = [_claim(one, None) for one in reproductions.make_costs(exhibit, tier, ()).claims]
    return devices, claims


def title(name: str) -> str:
    """An estimator as claims of such exhibits call it, in words: ``gumbel_rao-100`` has 100 draws."""
    id, _, draws = name.rpartition("-")
    if name in estimators.available() or id not in estimators.available():
        return describe.title_of_estimator(name)
    return f"{describe.title_of_estimator(id)}, {draws} draws"


def _cases(document: Document) -> tuple[Case, ...]:
    counted = document["plan"]["device"].startswith("cuda")
    return tuple(
        Case(
            problem=one["problem"],
            estimator=one["estimator"],
            draws=one["draws"],
            epochs=tuple(one["epochs"]),
            added_bytes=one["added_bytes"],
            memory_spread=0.0 if counted else costs.RESIDENT_SPREAD,
        )
        for one in document["cases"]
    )


def _device(document: Document, found: Costs) -> DeviceCosts:
    plan = document["plan"]
    cases = {
        (one["problem"], costs.contender(one["estimator"], one["draws"])): one for one in document["cases"]
    }
    return DeviceCosts(
        device=document["device"],
        machine=document["machine"],
        epochs=plan["epochs"],
        warm_up=plan["warm_up"],
        seconds=plan["seconds"],
        threads=plan["threads"],
        boards=[
            CostBoard(
                problem=board.problem,
                title=board.title,
                rows=[_row(line, cases[board.problem, line.case.name]) for line in board.lines],
                orders=[_order(metric, order) for metric, order in board.orders.items()],
            )
            for board in found.boards
        ],
        failures=document["failures"],
    )


def _row(line: costs.Line, case: Document) -> CostRow:
    return CostRow(
        estimator=line.case.estimator,
        draws=line.case.draws,
        title=title(line.case.name),
        epochs=len(line.case.epochs),
        steps=case["steps"],
        of=case["of"],
        costs={metric: _cost(one) for metric, one in line.costs.items()},
    )


def _cost(one: costs.Cost) -> MeasuredCost:
    ratio, printed = one.ratio, one.published
    low, high = ratio.interval or (None, None)
    published_low, published_high = ratio.rounding or (None, None)
    return MeasuredCost(
        value=one.value,
        low=one.low,
        high=one.high,
        published=None
        if printed is None
        else PrintedCost(
            value=printed.value,
            text=printed.text,
            label=printed.label,
            source=printed.source,
            note=printed.note,
            verdict=NOT_COMPARABLE,
            reason=ANOTHER_DEVICE,
        ),
        ratio=CostRatio(
            measured=ratio.measured,
            low=low,
            high=high,
            published=ratio.published,
            published_low=published_low,
            published_high=None if published_high == math.inf else published_high,
            word=ratio.word,
        ),
    )


def _order(metric: str, order: costs.Order) -> CostOrder:
    return CostOrder(
        metric=metric,
        label=order.label,
        published=[_titles(group) for group in order.published],
        measured=_titles(order.measured),
        tau=order.tau,
        most=order.most,
        share=order.share,
        error=order.error,
        not_separated=[
            SeparatedPair(cheaper=title(pair.better), dearer=title(pair.worse), share=pair.share)
            for pair in order.not_separated
        ],
        missing=_titles(order.missing),
    )


def _titles(names: Sequence[str]) -> list[str]:
    return [title(name) for name in names]


def _claim(one: ClaimReport, device: str | None) -> ReportClaim:
    return judged(
        one,
        device=device,
        decided_by=_decided_by(one.claim),
        board=lambda problem: (str(problem), costs.title(str(problem))),
    )


def _decided_by(claim: ClaimSection) -> list[str]:
    return decided_by(claim, lambda metric: WORDS.get(metric, metric), title)
