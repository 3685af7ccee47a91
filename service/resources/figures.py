"""What the picture of an exhibit shows: panels of curves or of numbers, in the paper's layout."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Engine

from benchmarks.scoring import seeds
from benchmarks.suites.claim_cells import probe
from benchmarks.suites.reading import Exhibit
from benchmarks.suites.report import BoardReport, Measured, goal_of
from benchmarks.suites.schema import FigureSection, Tier
from estimators.info import Value
from service.errors import NotFound
from service.resources import describe, metrics, reproductions
from service.resources.board_curves import curve_over_seeds
from service.resources.board_schemas import BoardCurve
from service.resources.labels import metric_header
from service.resources.suite_reports import chosen_cells
from service.storage.engine import read
from service.storage.queries import curves
from service.storage.queries.boards import cell_ids


@dataclass(frozen=True, kw_only=True, slots=True)
class Level:
    """A known or published number that is drawn as a line; of an estimator, or of the whole board."""

    label: str
    value: float
    estimator: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """An estimator's mean at what it costs, with the interval of the mean; none is better for less on the
    ``front``."""

    estimator: str
    cost: float
    mean: float
    low: float | None
    high: float | None
    front: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Trace:
    """An estimator's means at rising values of a number, with half of their intervals."""

    estimator: str
    at: tuple[float, ...]
    means: tuple[float, ...]
    halves: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """One board of a picture, or one kind of cost of a board.

    Attributes:
        title: what distinguishes it from the other panels.
        curves: of the chosen cells, by epoch.
        levels: horizontal lines.
        numbers: estimator -> value of the hyper-parameter across -> best mean, of a picture of numbers.
        points: quality against cost.
        traces: answers to a hyper-parameter, whose axis is logarithmic or not.
    """

    title: str
    curves: tuple[BoardCurve, ...] = ()
    levels: tuple[Level, ...] = ()
    numbers: dict[str, dict[float, float]]
    points: tuple[Point, ...] = ()
    traces: tuple[Trace, ...] = ()
    log_across: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """A whole picture.

    Attributes:
        title: in a sentence, for those who do not see it.
        kind: ``curves``, ``heatmap``, ``cost`` or ``sensitivity``.
        axis: title of the metric with its unit.
        across: title of the horizontal axis; epochs of ``curves`` where it is empty.
        log: whether the metric's axis is logarithmic.
        maximize: whether large numbers are good.
        panels: in the order of the exhibit's boards.
    """

    title: str
    kind: str
    axis: str
    across: str
    log: bool
    maximize: bool
    panels: tuple[Panel, ...]

    @property
    def estimators(self) -> tuple[str, ...]:
        """All that are drawn, in order of appearance."""
        found = [curve.estimator for panel in self.panels for curve in panel.curves]
        found += [id for panel in self.panels for id in panel.numbers]
        found += [point.estimator for panel in self.panels for point in panel.points]
        found += [trace.estimator for panel in self.panels for trace in panel.traces]
        return tuple(dict.fromkeys(found))


def picture(engine: Engine, exhibit: Exhibit, tier: Tier) -> Picture:
    """What to draw of the results so far.

    Raises:
        NotFound: the exhibit is a table, or has no boards.
    """
    section = exhibit.file.figure
    report, now = reproductions.make_report(engine, exhibit, tier)
    if section is None or not report.boards:
        raise NotFound(f"{exhibit.name} has no figure")
    task = report.boards[0].task.id
    return Picture(
        title=f"{exhibit.file.where}: {exhibit.file.title}",
        kind=section.kind,
        axis=metric_header(metrics.metric_info(task, section.metric)),
        across=(section.across or "").replace("_", " "),
        log=section.y == "log",
        maximize=goal_of(task, section.metric) == "maximize",
        panels=tuple(_panels(engine, section, report.boards, now.measured)),
    )


def _panels(
    engine: Engine, section: FigureSection, shown: Sequence[BoardReport], measured: Sequence[Measured]
) -> Iterator[Panel]:
    for board in shown:
        yield _panel(engine, section, board, measured)
        if section.on is not None:
            title = f"At the parameters that {describe.title_of_estimator(section.on)} trains"
            yield Panel(title=title, curves=_common(engine, section, section.on, board), numbers={})


def _panel(engine: Engine, section: FigureSection, board: BoardReport, measured: Sequence[Measured]) -> Panel:
    title = _title(section, board)
    if section.kind == "heatmap":
        return Panel(title=title, numbers=_numbers(section, board, measured))
    return Panel(
        title=title, curves=_curves(engine, section, board), levels=tuple(_levels(section, board)), numbers={}
    )


def _title(section: FigureSection, board: BoardReport) -> str:
    values = board.task.values
    if section.on is not None:
        return "Each at the parameters that it trains"
    named = [f"{name.replace('_', ' ')} {_text(values[name])}" for name in section.panels if name in values]
    return ", ".join(named) or board.title


def _text(value: Value) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _curves(engine: Engine, section: FigureSection, board: BoardReport) -> tuple[BoardCurve, ...]:
    chosen = {spec.cell_key: spec.estimator.id for spec in chosen_cells(board)}
    with read(engine) as connection:
        ids = cell_ids(connection, list(chosen))
        rows = curves.of_cells(connection, list(ids.values()), [section.metric])
    grouped = {key: [row for row in rows if row.cell_id == id] for key, id in ids.items()}
    return tuple(
        curve_over_seeds(estimator, section.metric, grouped[key])
        for key, estimator in chosen.items()
        if grouped.get(key)
    )


def _common(engine: Engine, section: FigureSection, on: str, board: BoardReport) -> tuple[BoardCurve, ...]:
    """Of every estimator of the board, what was measured at the parameters that one of them trains."""
    keys = [spec.cell_key for spec in chosen_cells(board) if spec.estimator.id == on]
    names = {probe(section.metric, line.estimator): line.estimator for line in board.lines}
    names = {section.metric: on} | {name: id for name, id in names.items() if id != on}
    with read(engine) as connection:
        rows = curves.of_cells(connection, list(cell_ids(connection, keys).values()), list(names))
    grouped = {id: [row for row in rows if row.metric == name] for name, id in names.items()}
    return tuple(curve_over_seeds(id, section.metric, own) for id, own in grouped.items() if own)


def _levels(section: FigureSection, board: BoardReport) -> Iterator[Level]:
    beside = (one.reference for line in board.lines for one in line.beside)
    for one in (*board.levels, *beside):
        if one.label in section.levels:
            yield Level(label=one.label, value=one.mean, estimator=one.estimator)


def _numbers(
    section: FigureSection, board: BoardReport, measured: Sequence[Measured]
) -> dict[str, dict[float, float]]:
    """The best mean over seeds at every value of the hyper-parameter, whatever the others are; else NaN."""
    maximize = goal_of(board.task.id, section.metric) == "maximize"
    found: dict[str, dict[float, float]] = {}
    for one in (one for one in measured if one.spec.task == board.task):
        at = _across(one, section)
        if at is not None:
            own, mean = found.setdefault(one.spec.estimator.id, {}), _mean(one, section.metric)
            known = [value for value in (own.get(at, math.nan), mean) if math.isfinite(value)]
            own[at] = (max if maximize else min)(known, default=math.nan)
    return found


def _across(one: Measured, section: FigureSection) -> float | None:
    value = {**one.spec.estimator.values, "lr": one.spec.lr}.get(section.across or "")
    return None if value is None or isinstance(value, str) else float(value)


def _mean(one: Measured, metric: str) -> float:
    values = list(one.ended(metric).values())
    return seeds.summary(values).mean if values and all(map(math.isfinite, values)) else math.nan


def summary(picture: Picture) -> str:
    """The picture in words, for those who do not see it."""
    names = ", ".join(describe.title_of_estimator(id) for id in picture.estimators) or "nothing yet"
    return f"{picture.title}. {len(picture.panels)} panels, {picture.axis} of {names}."
