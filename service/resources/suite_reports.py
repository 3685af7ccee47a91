"""The report of an exhibit as it is answered: :mod:`benchmarks.suites.report` with titles, links,
provenance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast
from urllib.parse import urlencode

from sqlalchemy import Engine

from benchmarks.scoring.halving import Elimination
from benchmarks.scoring.orders import Agreement
from benchmarks.spec import CellSpec, Component, digest
from benchmarks.suites.claim_cells import Scene
from benchmarks.suites.predicates import ClaimReport
from benchmarks.suites.reading import Exhibit
from benchmarks.suites.report import Beside, BoardReport, Line, Report
from benchmarks.suites.rounds import Rounds
from benchmarks.suites.schema import Tier
from benchmarks.tasks.info import Reference
from service.resources import boards, cost_reports, describe, metrics, reproductions
from service.resources.claim_words import decided_by, judged, of_task
from service.resources.cost_schemas import DeviceCosts
from service.resources.schemas import PREFIX
from service.resources.suite_schemas import (
    ComparedNumber,
    DataUsed,
    EliminatedSetting,
    HalvingReport,
    MeasuredNumber,
    OrderAgreement,
    OrderedPair,
    PublishedNumber,
    ReportBoard,
    ReportClaim,
    ReportFigure,
    ReportRow,
    SuiteReport,
)
from service.storage.engine import read
from service.storage.queries.boards import cell_ids, provenances


def show_report(engine: Engine, exhibit: Exhibit, tier: Tier, measured: Path) -> SuiteReport:
    """What was measured of an exhibit in one tier beside what was published.

    Args:
        engine: the database.
        exhibit: the table or figure.
        tier: one of its tiers.
        measured: folder of measurements that were published to this server.

    Raises:
        BrokenSuite: a claim cannot be decided as the exhibit's file has it.
    """
    found, now = reproductions.make_report(engine, exhibit, tier)
    paper = reproductions.suite(exhibit.suite).file
    shown = [_board(engine, found, board) for board in found.boards]
    devices, by_device = cost_reports.show(exhibit, tier, measured)
    return SuiteReport(
        suite=exhibit.suite,
        exhibit=exhibit.id,
        name=exhibit.name,
        paper=paper.title,
        authors=paper.authors,
        venue=paper.venue,
        url=paper.url,
        title=exhibit.file.title,
        where=exhibit.file.where,
        about=exhibit.file.about,
        tier=tier,
        tiers=list(exhibit.file.tiers),
        changes=exhibit.tier(tier).changes,
        select=exhibit.file.select,
        report=list(exhibit.file.report),
        median=[describe.title_of_estimator(id) for id in exhibit.file.median],
        trials=found.trials,
        ended=found.ended,
        failed=found.failed,
        claims=by_device or [_claim(one, found, shown) for one in found.claims],
        boards=shown,
        devices=devices,
        slips=list(exhibit.file.slips),
        halving=_halving(found, now),
        figure=_figure(exhibit, tier),
        command=exhibit.file.command,
        commands=[f"heunboard reproduce {exhibit.name} --tier {tier}"],
        page=report_path(exhibit, tier),
        href=f"{PREFIX}/suites/{exhibit.name}/report?{urlencode({'tier': tier})}",
    )


def verdicts(
    engine: Engine, exhibit: Exhibit, tier: Tier, measured: Path
) -> tuple[Counter[str], Counter[str]]:
    """How many claims, and how many published numbers, or ratios of them, have which verdict.

    Raises:
        BrokenSuite: a claim cannot be decided as the exhibit's file has it.
    """
    if exhibit.file.command is not None:
        devices, claims = cost_reports.show(exhibit, tier, measured)
        return Counter(one.verdict for one in claims), Counter(words(devices))
    found, _ = reproductions.make_report(engine, exhibit, tier)
    beside = (one for board in found.boards for line in board.lines for one in line.beside)
    return (
        Counter(str(one.result.verdict) for one in found.claims),
        Counter(str(one.comparison.verdict) for one in beside if one.reference.exhibit),
    )


def words(devices: Sequence[DeviceCosts]) -> Iterator[str]:
    """How measured ratios compare with published ones, a word each."""
    rows = (row for device in devices for board in device.boards for row in board.rows)
    return (cost.ratio.word for row in rows for cost in row.costs.values() if cost.ratio.word is not None)


def report_path(exhibit: Exhibit, tier: Tier) -> str:
    """Path of the report's page."""
    return f"/suites/{exhibit.name}?{urlencode({'tier': tier})}"


def figure_path(exhibit: Exhibit, tier: Tier, format: str) -> str:
    """Path of the exhibit's picture in the API."""
    return f"{PREFIX}/suites/{exhibit.name}/figure?{urlencode({'tier': tier, 'format': format})}"


def chosen_cells(board: BoardReport) -> list[CellSpec]:
    """The cells that its estimators are shown at, best first."""
    return [line.spec for line in board.lines if line.spec is not None]


def _board(engine: Engine, report: Report, board: BoardReport) -> ReportBoard:
    file, task = report.exhibit.file, board.task
    key = digest(task.to_json("task"))
    with read(engine) as connection:
        known = cell_ids(connection, [spec.cell_key for spec in chosen_cells(board)])
        versions = boards.versions(list(provenances(connection, list(known.values())).values()))
    path = metrics.board_path(key, file.select, file.report) if known else None
    return ReportBoard(
        id=key,
        title=board.title,
        page=path,
        href=None if path is None else PREFIX + path,
        task=describe.component(task),
        metrics=[metrics.metric_info(task.id, name) for name in dict.fromkeys([file.select, *file.report])],
        rows=[_row(report, line) for line in board.lines],
        levels=[PublishedNumber(**_published(one)) for one in board.levels],
        not_computed=[PublishedNumber(**_published(one)) for one in board.unmatched],
        orders=[_order(metric, label, one) for (metric, label), one in board.agreement.items()],
        data=[
            DataUsed(id=one.id, title=one.title, sha256=one.digest, stand_in=one.stand_in)
            for one in task.data()
        ],
        versions=versions,
    )


def _row(report: Report, line: Line) -> ReportRow:
    return ReportRow(
        estimator=line.estimator,
        title=describe.title_of_estimator(line.estimator),
        setting=None if line.spec is None else describe.setting(line.spec),
        cell=None if line.spec is None else line.spec.cell_key,
        settings=line.settings,
        settings_tried=line.tried,
        wanted=line.wanted,
        ended=line.ended,
        failed=line.failed,
        metrics={
            name: MeasuredNumber(
                n=one.n, mean=one.mean, sd=one.sd, low=one.low, high=one.high, median=line.medians[name]
            )
            for name, one in line.summaries.items()
        },
        published=[_compared(report, one) for one in line.beside],
    )


def _published(reference: Reference) -> dict[str, str | float | int | None]:
    return {
        "metric": reference.metric,
        "estimator": reference.estimator,
        "title": describe.title_of_estimator(reference.estimator or ""),
        "label": reference.label,
        "mean": reference.mean,
        "sd": reference.sd,
        "n": reference.n,
        "source": reference.source,
        "slip": reference.slip,
        "protocol": reference.comparable,
        "exhibit": reference.exhibit,
    }


def _compared(report: Report, beside: Beside) -> ComparedNumber:
    one = beside.comparison
    margin = report.exhibit.margin(report.tier, beside.reference.metric)
    return ComparedNumber(
        **_published(beside.reference),
        centre=one.centre,
        measured=one.measured,
        difference=one.difference,
        low=None if one.interval is None else one.interval.low,
        high=None if one.interval is None else one.interval.high,
        published_exact=one.published_exact,
        verdict=one.verdict,
        reason=one.reason,
        margin=None if margin is None else margin.value,
        margin_why="" if margin is None else margin.why,
    )


def _order(metric: str, label: str, agreement: Agreement) -> OrderAgreement:
    def titles(ids: Sequence[str]) -> list[str]:
        return [describe.title_of_estimator(id) for id in ids]

    return OrderAgreement(
        metric=metric,
        label=label,
        published=titles(agreement.published),
        measured=titles(agreement.measured),
        tau=agreement.tau,
        share=agreement.share,
        error=agreement.error,
        not_separated=[
            OrderedPair(
                better=describe.title_of_estimator(pair.better),
                worse=describe.title_of_estimator(pair.worse),
                share=pair.share,
            )
            for pair in agreement.neighbours
            if not pair.separated
        ],
        missing=titles(agreement.missing),
    )


def _claim(one: ClaimReport, report: Report, shown: Sequence[ReportBoard]) -> ReportClaim:
    ids = {board.title: board.id for board in shown}
    task = report.boards[0].task.id if report.boards else ""
    return judged(
        one,
        device=None,
        decided_by=decided_by(one.claim, of_task(task)),
        board=lambda scene: (ids[cast(Scene, scene).board], str(scene)),
    )


def _halving(report: Report, now: Rounds) -> HalvingReport | None:
    section = report.exhibit.tier(report.tier).halving
    if section is None:
        return None
    settings, gone = len(now.measured), len(now.eliminated)
    steps = ", then ".join(str(seeds) for seeds in section.seeds[1:])
    how = (
        f"This tier halves its grid: each of {settings:,} settings is given "
        f"{_seeds(section.seeds[0])}, and the best {100 * section.keep:g} % of an estimator’s settings on a "
        f"board go on to {steps}."
    )
    rest = "" if now.finished else f" It is on rung {now.rung} of {now.rungs}."
    given_up = f" {gone:,} settings were given up by now, every one of them below."
    titles = {board.task: board.title for board in report.boards}
    return HalvingReport(
        sentence=how + given_up + rest,
        rung=now.rung,
        rungs=now.rungs,
        finished=now.finished,
        settings=settings,
        eliminated=[_eliminated(one, now, titles) for one in now.eliminated],
    )


def _seeds(count: int) -> str:
    return "one seed" if count == 1 else f"{count} seeds"


def _eliminated(one: Elimination, now: Rounds, titles: Mapping[Component, str]) -> EliminatedSetting:
    assert isinstance(one.cell, int)  # rounds names cells by their places
    spec = now.measured[one.cell].spec
    return EliminatedSetting(
        board=titles[spec.task],
        estimator=spec.estimator.id,
        title=describe.title_of_estimator(spec.estimator.id),
        setting=describe.setting(spec),
        rung=one.rung + 1,
        seeds=one.seeds,
        failed=one.failed,
        mean=one.mean,
        rank=one.rank,
        of=one.of,
        threshold=one.threshold,
    )


def _figure(exhibit: Exhibit, tier: Tier) -> ReportFigure | None:
    section = exhibit.file.figure
    if section is None:
        return None
    return ReportFigure(
        kind=section.kind,
        metric=section.metric,
        svg=figure_path(exhibit, tier, "svg"),
        png=figure_path(exhibit, tier, "png"),
    )
