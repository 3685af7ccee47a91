"""What is answered of suites: the report of a table or figure."""

from __future__ import annotations

from service.resources.cost_schemas import DeviceCosts
from service.resources.schemas import Answer, MetricInfo, Setting, TaskSetting


class PublishedNumber(Answer):
    """A number of the paper, or a level that is known.

    ``n`` is the number of runs behind ``mean`` and ``sd``. ``slip`` says what is wrong with it as it was
    printed, ``protocol`` how it was computed otherwise than here; both are empty where there is nothing to
    say. ``exhibit`` is the suite and exhibit that quote it; empty for a level that follows from a formula.
    """

    metric: str
    estimator: str | None
    title: str
    label: str
    mean: float
    sd: float | None
    n: int | None
    source: str
    slip: str
    protocol: str
    exhibit: str


class ComparedNumber(PublishedNumber):
    """A published number beside the measured one.

    ``centre`` is what of the seeds is compared, mean or median, and ``difference`` that less the published
    mean, with its 95 % interval from ``low`` to ``high``. ``published_exact``: the paper prints no spread or
    no number of runs, so that the interval is too narrow. ``margin`` is the largest difference that counts as
    none, ``margin_why`` its reason; null where none is stated.
    """

    centre: str
    measured: float | None
    difference: float | None
    low: float | None
    high: float | None
    published_exact: bool
    verdict: str
    reason: str
    margin: float | None
    margin_why: str


class MeasuredNumber(Answer):
    """One metric of a chosen cell over its finite seeds; ``low`` and ``high`` end the mean's 95 %
    interval.
    """

    n: int
    mean: float
    sd: float | None
    low: float | None
    high: float | None
    median: float


class ReportRow(Answer):
    """One estimator at its chosen setting; ``setting`` and ``cell`` are null before the first result.

    ``settings`` has the tier of it, ``settings_tried`` have a result. ``wanted``, ``ended`` and ``failed``
    count seeds of the chosen cell, or of all its cells before one is chosen.
    """

    estimator: str
    title: str
    setting: Setting | None
    cell: str | None
    settings: int
    settings_tried: int
    wanted: int
    ended: int
    failed: int
    metrics: dict[str, MeasuredNumber]
    published: list[ComparedNumber]


class OrderedPair(Answer):
    """Neighbours of the measured order; ``share`` of the posterior's draws in which they stand so."""

    better: str
    worse: str
    share: float


class OrderAgreement(Answer):
    """Whether estimators stand in the published order, best first, all by their titles.

    ``tau`` is Kendall's tau-b, ``share`` the probability that every pair stands as published, with the Monte
    Carlo error ``error``. ``not_separated`` are neighbours that the seeds do not tell apart at 95 %.
    """

    metric: str
    label: str
    published: list[str]
    measured: list[str]
    tau: float | None
    share: float | None
    error: float | None
    not_separated: list[OrderedPair]
    missing: list[str]


class DataUsed(Answer):
    """A data set that trials of a board read; ``stand_in`` says what it stands for and how it differs."""

    id: str
    title: str
    sha256: str
    stand_in: str


class ReportBoard(Answer):
    """One board of an exhibit: ``page`` and ``href`` are null before its first trial was submitted.

    ``rows`` are the estimators, best first. ``levels`` hold for the whole board, ``not_computed`` are
    published numbers of estimators that the tier does not have. ``versions`` are those of the chosen cells'
    results.
    """

    id: str
    title: str
    page: str | None
    href: str | None
    task: TaskSetting
    metrics: list[MetricInfo]
    rows: list[ReportRow]
    levels: list[PublishedNumber]
    not_computed: list[PublishedNumber]
    orders: list[OrderAgreement]
    data: list[DataUsed]
    versions: dict[str, list[str]]


class BoardShare(Answer):
    """Share of the posterior's draws in which a claim holds on one board."""

    board: str
    title: str
    share: float


class ReportClaim(Answer):
    """A sentence of the paper and what was measured of it.

    ``share`` is the probability that it holds on all its boards, ``error`` the Monte Carlo error of that;
    null where it is not tried or the seeds are too few. A small share alone does not make it contradicted:
    one of its comparisons must fail at a level for all of them. ``decided_by`` says in words what was tested,
    all of which must hold. It was tested on ``boards`` of ``published_boards`` boards; ``left_out`` cells of
    these have too few seeds to be judged. ``device`` measured it where a command does, null before that.
    """

    sentence: str
    where: str
    device: str | None
    verdict: str
    reason: str
    share: float | None
    error: float | None
    decided_by: list[str]
    note: str
    boards: int
    published_boards: int
    by_board: list[BoardShare]
    left_out: int


class EliminatedSetting(Answer):
    """A setting that got no more seeds after ``rung``, counted from 1.

    Its ``mean`` over the ``seeds - failed`` finite seeds had ``rank`` of ``of`` on that rung; ``threshold``
    is the mean of the last one that was kept.
    """

    board: str
    estimator: str
    title: str
    setting: Setting
    rung: int
    seeds: int
    failed: int
    mean: float | None
    rank: int
    of: int
    threshold: float | None


class HalvingReport(Answer):
    """How the grid was halved: settings by number, every elimination, and the same in a ``sentence``."""

    sentence: str
    rung: int
    rungs: int
    finished: bool
    settings: int
    eliminated: list[EliminatedSetting]


class ReportFigure(Answer):
    """The picture of a figure's report; ``metric`` is what it shows."""

    kind: str
    metric: str
    svg: str
    png: str


class SuiteReport(Answer):
    """A table or figure of a paper in one tier: what was measured beside what was published.

    ``name`` is the exhibit as commands call it, ``changes`` what the tier changes of the published protocol,
    empty for nothing. ``failed`` of the ``ended`` of ``trials`` failed. ``select`` is the metric that
    chooses, ``median`` are the estimators compared by their median. ``commands`` repeat it. ``command``
    measures it where it has no trials: then ``devices`` are those that it ran on, by name, and every claim is
    listed for each.
    """

    suite: str
    exhibit: str
    name: str
    paper: str
    authors: str
    venue: str
    url: str
    title: str
    where: str
    about: str
    tier: str
    tiers: list[str]
    changes: str
    select: str
    report: list[str]
    median: list[str]
    trials: int
    ended: int
    failed: int
    claims: list[ReportClaim]
    boards: list[ReportBoard]
    devices: list[DeviceCosts]
    slips: list[str]
    halving: HalvingReport | None
    figure: ReportFigure | None
    command: str | None
    commands: list[str]
    page: str
    href: str
