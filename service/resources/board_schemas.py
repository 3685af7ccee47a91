"""What is answered of boards: who is best and how sure that is, at what cost, after how much tuning.

Values, means, intervals and differences are in the unit of their metric; times are seconds of one device.
"""

from __future__ import annotations

from typing import Literal

from estimators.info import Value
from service.resources.schemas import Answer, Fallback, MetricInfo, Setting, TaskSetting


class SeedValue(Answer):
    """The final value of one seed; ``outlier`` marks one that is far from the median of its cell.

    ``absurd_from`` is the epoch from which its curve is finite but absurd, see
    :mod:`benchmarks.scoring.absurd`.
    """

    seed: int
    value: float
    outlier: bool
    absurd_from: int | None = None


class Spread(Answer):
    """Mean of one metric of one cell over its seeds.

    ``sd`` is the standard deviation with n - 1, ``low`` and ``high`` end the 95 % interval of the mean
    (Student's t, or bootstrap where a board says so); all three are null below two seeds.
    """

    n: int
    mean: float
    sd: float | None
    low: float | None
    high: float | None


class Summary(Spread):
    """The spread of a metric with its seeds: the median, and the mean of the middle half of the seeds, which
    collapsed ones move little or not at all.
    """

    median: float
    interquartile_mean: float
    seeds: list[SeedValue]


class ReferenceNumber(Answer):
    """A published or closed-form number; ``difference`` is measured mean minus this one.

    ``n`` are the seeds behind it where known, ``slip`` what is wrong with it as it was printed, ``exhibit``
    the table or figure of a suite that quotes it. ``verdict`` is ``reproduced``, ``within noise``, ``not
    reproduced`` or ``not comparable``, ``reason`` why, ``low`` and ``high`` end the 95 % interval of the
    difference, and ``margin`` is the largest difference that does not matter. All five are null where
    nothing was measured of its metric, and for a level that is no published measurement.
    """

    metric: str
    estimator: str | None
    label: str
    mean: float
    sd: float | None
    source: str
    comparable: str
    n: int | None = None
    slip: str = ""
    exhibit: str = ""
    difference: float | None
    verdict: str | None = None
    reason: str | None = None
    low: float | None = None
    high: float | None = None
    margin: float | None = None


class DifferenceToBest(Answer):
    """A row against the best one, over the seeds that both have.

    ``mean`` is the row's value less that of the best, from ``low`` to ``high`` (95 %, Student's t over
    pairs); null below one pair, the ends below two. ``seeds`` pairs are compared, ``left_out`` had a value
    that is not finite. ``p`` is the two-sided p-value of ``test``, ``p_adjusted`` by Holm over all rows;
    ``separable``: the latter is at most 5 %. ``detectable`` is the smallest difference that so many seeds
    find in 80 % of cases. ``more_seeds`` is about how many more of each would separate the two as often: 0
    where they are told apart, null where not even a thousand would, or the seeds are too few to tell.
    """

    seeds: int
    left_out: int
    mean: float | None
    low: float | None
    high: float | None
    test: Literal["permutation", "t", "none"]
    p: float
    p_adjusted: float
    separable: bool
    detectable: float | None
    more_seeds: int | None


class Standing(Answer):
    """Where a row stands among the ranked ones.

    ``position`` counts from 1 by the mean; the rank lies between ``rank_low``, one more than the rows that
    are significantly better, and ``rank_high``, all less those that are significantly worse.
    ``tied_with_best``: not to be told from the row with the best mean, which is tied with itself and has no
    ``to_best``.
    """

    position: int
    rank_low: int
    rank_high: int
    tied_with_best: bool
    to_best: DifferenceToBest | None


class SeedCounts(Answer):
    """What became of the seeds of one or several cells.

    ``wanted`` are all; ``succeeded``, ``failed`` (``diverged`` of them because their numbers were no longer
    finite), ``cancelled`` and ``waiting`` add up to them. ``collapsed`` of those that succeeded are far
    from the median of their cell on the bad side of the choosing metric, or have an absurd loss at their end.
    """

    wanted: int
    succeeded: int
    failed: int
    diverged: int
    collapsed: int
    cancelled: int
    waiting: int


class RowCost(Answer):
    """What a step at the shown setting takes.

    ``seconds_per_step`` is the median over the shown seeds, each its share of the time of the cohort in
    which it was trained, with compiling and evaluation; ``relative`` is it over that of the board's
    ``cost_baseline``. ``evaluations_per_step`` counts evaluations of the objective for each example;
    ``evaluations`` is their number in a whole trial. ``peak_memory_bytes`` is the largest of the attempts,
    each of all its lanes. Null where the results do not say.
    """

    seconds_per_step: float | None
    relative: float | None
    evaluations_per_step: int | None
    evaluations: int | None
    peak_memory_bytes: int | None


class BoardRow(Answer):
    """One estimator at its chosen setting.

    ``settings_tried`` settings of it have ended trials, ``trials_spent`` trials of it have ended on this
    board, whatever their outcome, and took about ``device_seconds``: each what a shown one took on average.
    ``source`` is ``imported`` where a shown result has no attempt here that computed it.
    """

    estimator: str
    title: str
    version: int
    cell: str
    setting: Setting
    n: int
    seeds_wanted: int
    settings_tried: int
    trials_spent: int
    device_seconds: float
    standing: Standing
    seeds: SeedCounts
    cost: RowCost
    source: Literal["computed here", "imported"]
    metrics: dict[str, Summary]
    references: list[ReferenceNumber]


class UnrankedRow(Answer):
    """An estimator that somebody asked for and that has no place among the ranked.

    ``cause`` is ``failed``, ``diverged``, ``cancelled``, ``waiting`` (queued or running), ``few_seeds`` (no
    setting has half of the results that the fullest of the board has) or ``no_value`` (its results lack the
    choosing metric); ``reason`` says so in a sentence. ``settings`` were asked for, ``settings_tried`` of
    them have ended trials. ``seeds`` are those of all settings. ``trial`` is the key of an example, of one
    that failed where there is one, ``error`` how its error begins, and ``cell`` its setting's key.
    """

    estimator: str
    title: str
    version: int
    cause: Literal["failed", "diverged", "cancelled", "waiting", "few_seeds", "no_value"]
    reason: str
    settings: int
    settings_tried: int
    trials_spent: int
    seeds: SeedCounts
    cell: str
    trial: str | None
    error: str | None


class BoardCurve(Answer):
    """Mean and standard deviation over seeds of one metric of a chosen cell, by epoch."""

    estimator: str
    metric: str
    epochs: list[int]
    mean: list[float | None]
    sd: list[float | None]
    n: list[int]


class BestOfK(Answer):
    """What tuning an estimator is worth: the best of ``settings[i]`` settings, drawn from those that were
    tried and chosen by the choosing metric, has ``expected[metric][i]``, on average over all draws.

    Of many settings some numbers are left out, at equal ratios. Null where a failed setting may be the best.
    """

    estimator: str
    settings: list[int]
    expected: dict[str, list[float | None]]


class ResponsePoint(Answer):
    """The best mean of the choosing metric among the ``settings`` settings with this value, with its 95 %
    interval and number of seeds.
    """

    value: Value
    mean: float
    low: float | None
    high: float | None
    n: int
    settings: int


class Response(Answer):
    """How an estimator answers to one hyper-parameter, all others at their best for each of its values.

    ``parameter`` is one of the estimator's or the optimizer's, ``optimizer`` or ``lr``; only those with two
    values or more are here. ``chosen`` is the value of the shown setting. ``scale`` is that of the axis:
    ``log`` where all values are positive and span a factor of ten or more. ``area`` is the mean shortfall
    from the best value over the axis (trapezoid): 0 where the parameter does not matter; null for words. Of
    many values some are left out.
    """

    estimator: str
    parameter: str
    scale: Literal["linear", "log", "words"]
    points: list[ResponsePoint]
    chosen: Value | None
    area: float | None


class HeatRow(Answer):
    """Best mean at each value of the heat map's axis; null where it was not tried."""

    estimator: str
    means: list[float | None]


class HeatMap(Answer):
    """Estimators against temperatures, everything else at its best: the rows of the board that have one."""

    parameter: str
    values: list[float]
    rows: list[HeatRow]


class Tuning(Answer):
    """What every setting says, not only the chosen ones; ``cells`` settings of the board have a result.

    ``heat_map`` is null where fewer than two temperatures were tried.
    """

    cells: int
    best_of: list[BestOfK]
    responses: list[Response]
    heat_map: HeatMap | None


class ParetoFronts(Answer):
    """Estimators that no other beats in quality at no more cost: by seconds a step, by evaluations a step.

    Cheapest first; rows whose cost is not known are on neither.
    """

    seconds: list[str]
    evaluations: list[str]


class Lead(Answer):
    """From the first to the last of these epochs this estimator had the best mean curve."""

    first_epoch: int
    last_epoch: int
    estimator: str


class Anytime(Answer):
    """Who led at which epoch, by the mean curves of ``metric`` at the shown settings.

    ``metric`` is the choosing one, or the first shown one that has curves.
    """

    metric: str
    leads: list[Lead]


class EqualLine(Answer):
    """A row after as many evaluations as the others: its last epoch within them, and its mean there; epoch
    0 and null where not one epoch fits.
    """

    estimator: str
    position: int
    epoch: int
    mean: float | None


class EqualEvaluations(Answer):
    """The rows after equally many evaluations of the objective for each example, best first.

    ``evaluations`` is what the row that evaluates least takes for a whole trial, ``metric`` as for
    :class:`Anytime`. Settings stay those that were chosen at equal steps.
    """

    metric: str
    evaluations: int
    rows: list[EqualLine]


class AskingSweep(Answer):
    """A sweep that asked for cells of the board; ``page`` is the path of its page here."""

    id: str
    name: str
    owner: str | None
    page: str


class DataDigest(Answer):
    """A data set that the board's trials read; ``digest`` is the checksum of its content."""

    name: str
    digest: str


class Repeat(Answer):
    """How to compute the shown settings again.

    ``sweep_file`` is the text of a sweep file (YAML) of the shown settings with their ``seeds``, ``command``
    submits it. ``revisions`` are those of the code that computed what is shown, where known.
    ``device_seconds`` is what the shown trials took, ``device_seconds_spent`` about what all trials of the
    rows did.
    """

    sweep_file: str
    command: str
    seeds: list[int]
    data: list[DataDigest]
    revisions: list[str]
    trials: int
    device_seconds: float
    device_seconds_spent: float


class Interval(Answer):
    """What the intervals on a board are: of which method, at which level, over what."""

    method: str
    level: float
    over: str


class Board(Answer):
    """A leaderboard: every estimator at the setting chosen by ``select``, reported in ``report``.

    ``select_label`` says so when the choosing metric is measured on validation or test data, and is empty
    otherwise; ``selected_on_test`` when it is test data. ``default_select`` and ``default_report`` are the
    task's own rule.

    ``rows`` are ranked, best mean first; ``unranked`` are all other estimators that somebody asked for.
    ``fragile_seeds`` are seeds without any one of which another row would have the best mean.
    ``scoring_version`` counts changes of the statistics. ``enough_seeds`` is how many results a setting
    needs to be chosen. ``cost_baseline`` is the estimator that costs are relative to: straight-through where
    it is ranked, else the cheapest; null where no cost is known. ``steps_per_epoch`` and ``steps`` of a
    trial are null for a task that this version cannot describe.

    ``sweeps`` are the newest of ``sweeps_total`` that asked for cells of the board. ``mixed_code`` has a
    sentence for each version of a plug-in's estimator or task whose shown results different code computed.
    """

    id: str
    title: str
    task: TaskSetting
    metrics: list[MetricInfo]
    select: str
    select_label: str
    selected_on_test: bool
    goal: str
    report: list[str]
    default_select: str
    default_report: list[str]
    interval: Interval
    scoring_version: int
    enough_seeds: int
    rows: list[BoardRow]
    unranked: list[UnrankedRow]
    fragile_seeds: list[int]
    references: list[ReferenceNumber]
    curves: list[BoardCurve]
    tuning: Tuning
    cost_baseline: str | None
    steps: int | None
    steps_per_epoch: int | None
    pareto: ParetoFronts
    anytime: Anytime | None
    equal_evaluations: EqualEvaluations | None
    sweeps: list[AskingSweep]
    sweeps_total: int
    repeat: Repeat | None
    trials: int
    counts: dict[str, int]
    versions: dict[str, list[str]]
    fallbacks: list[Fallback]
    mixed_code: list[str]


class BoardCell(Answer):
    """One setting on a board.

    ``chosen`` is the one that the board shows of its estimator; ``eligible``: it has results of enough
    seeds, and no newer version of the estimator is on the board. ``metrics`` are those of its seeds that
    succeeded, without those that it has no result of.
    """

    cell: str
    estimator: str
    title: str
    version: int
    setting: Setting
    trials: int
    succeeded: int
    failed: int
    cancelled: int
    eligible: bool
    chosen: bool
    metrics: dict[str, Spread]


class BoardCellList(Answer):
    """One page of a board's cells, estimator by estimator; ``total`` are on all pages."""

    select: str
    report: list[str]
    total: int
    cells: list[BoardCell]
    next_page_token: str | None = None
