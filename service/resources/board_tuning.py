"""What all settings of a board say: the best of k, responses to hyper-parameters, the heat map."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Engine

from benchmarks.scoring import sensitivity
from benchmarks.scoring.goals import Goal
from benchmarks.scoring.seeds import Moments
from benchmarks.scoring.tuning import expected_best, sizes
from benchmarks.spec import neutral_values, optimizer_from_json
from estimators.info import Value
from service.resources.board_choice import Choice, Contender, is_eligible
from service.resources.board_schemas import BestOfK, HeatMap, HeatRow, Response, ResponsePoint, Tuning
from service.storage.queries import boards
from service.storage.queries.boards import BoardRow, CellRow

TEMPERATURE = "temperature"
"""The hyper-parameter on the axis of the heat map."""

MOST_POINTS = 50
"""Values of one hyper-parameter that are answered."""

KEPT_BOARDS = 8

Settings = dict[str, dict[str, Value]]
"""Cell key -> its hyper-parameters by name."""


@functools.lru_cache(maxsize=KEPT_BOARDS)
def _kept_settings(engine: Engine, task_key: str) -> Settings:
    """What was read of the settings of one board on one database."""
    return {}


def tuning(
    engine: Engine,
    connection: Connection,
    board: BoardRow,
    choice: Choice,
    *,
    goal: Goal,
    shown: Sequence[str],
) -> Tuning:
    """The section of a board that speaks of all its settings.

    Args:
        engine: whose answers are kept.
        connection: where what is not kept is read.
        board: the board.
        choice: what it shows.
        goal: of the choosing metric.
        shown: the choosing metric, then those that are reported.
    """
    judged = {one.estimator: _judged(one, choice.enough) for one in choice.ranked}
    settings = settings_of(engine, connection, board, [cell for cells in judged.values() for cell in cells])
    others = {metric: boards.means(connection, board.id, metric=metric) for metric in shown[1:]}
    responses = [
        response
        for one in choice.ranked
        for response in _responses(one, judged[one.estimator], settings, goal)
    ]
    return Tuning(
        cells=sum(bool(cell.n) for one in (*choice.ranked, *choice.unranked) for cell in one.cells),
        best_of=[
            _best_of(one.estimator, judged[one.estimator], goal, shown[0], others) for one in choice.ranked
        ],
        responses=[one for one in responses if len(one.points) > 1],
        heat_map=_heat_map([one.estimator for one in choice.ranked], responses),
    )


def settings_of(
    engine: Engine, connection: Connection, board: BoardRow, cells: Sequence[CellRow]
) -> Settings:
    """The hyper-parameters of some cells of a board. A cell never changes, so what was read is kept."""
    kept = _kept_settings(engine, board.task_key)
    missing = [cell.id for cell in cells if cell.cell_key not in kept]
    kept.update((key, _values(one)) for key, one in boards.spec_documents(connection, missing))
    return kept


def _values(document: Mapping[str, Any]) -> dict[str, Value]:
    """Hyper-parameters of a stored specification; those of the estimator go before the optimizer's."""
    optimizer, estimator = optimizer_from_json(document["optimizer"]), document["estimator"]
    return {
        **optimizer.values,
        **neutral_values("estimator", estimator["id"]),
        **estimator["parameters"],
        "optimizer": optimizer.id,
        "lr": document["lr"],
        "precision": document.get("precision", "float32"),
    }


def _judged(contender: Contender, enough: int) -> list[CellRow]:
    """Settings that could have been chosen, and those that failed altogether."""
    return [cell for cell in contender.cells if is_eligible(cell, enough) or (cell.failed and not cell.n)]


def _best_of(
    estimator: str,
    cells: Sequence[CellRow],
    goal: Goal,
    select: str,
    others: Mapping[str, Mapping[int, float]],
) -> BestOfK:
    selecting = [math.nan if cell.mean is None else cell.mean for cell in cells]
    reporting = {select: selecting} | {
        metric: [means.get(cell.id, math.nan) for cell in cells] for metric, means in others.items()
    }
    of = sizes(len(cells))
    expected = {
        metric: expected_best(selecting, values, goal, of=of).tolist() for metric, values in reporting.items()
    }
    return BestOfK(
        estimator=estimator,
        settings=of,
        expected={
            metric: [x if math.isfinite(x) else None for x in line] for metric, line in expected.items()
        },
    )


def _responses(
    contender: Contender, cells: Sequence[CellRow], settings: Settings, goal: Goal
) -> Iterable[Response]:
    """One for each hyper-parameter of two values or more, and for a temperature, in the order of names."""
    ended = [cell for cell in cells if cell.n and cell.cell_key in settings]
    mine = [settings[cell.cell_key] for cell in ended]
    for name in sorted(set().union(*mine)):
        if name != TEMPERATURE and len({one.get(name) for one in mine}) == 1:  # most never vary
            continue
        there = [(one[name], cell) for one, cell in zip(mine, ended, strict=True) if name in one]
        yield _response(contender, name, there, settings, goal)


def _response(
    contender: Contender,
    name: str,
    there: Sequence[tuple[Value, CellRow]],
    settings: Settings,
    goal: Goal,
) -> Response:
    means = [math.nan if cell.mean is None else cell.mean for _, cell in there]
    profile = sensitivity.profile([value for value, _ in there], means, goal)
    chosen = None if contender.chosen is None else settings.get(contender.chosen.cell_key, {}).get(name)
    return Response(
        estimator=contender.estimator,
        parameter=name,
        scale=sensitivity.scale_of([one.value for one in profile]),
        points=[_point(one, there[one.setting][1]) for one in _thinned(profile, chosen)],
        chosen=chosen,
        area=sensitivity.area({one.value: means[one.setting] for one in profile}, goal),
    )


def _point(best: sensitivity.Best, cell: CellRow) -> ResponsePoint:
    found = Moments(cell.n or 0, cell.mean or 0.0, cell.m2 or 0.0).summary()
    return ResponsePoint(
        value=best.value,
        mean=found.mean,
        low=found.low,
        high=found.high,
        n=found.n,
        settings=best.settings,
    )


def _thinned(profile: Sequence[sensitivity.Best], chosen: Value | None) -> list[sensitivity.Best]:
    """At most ``MOST_POINTS`` values, evenly over their order, the chosen one and the ends among them."""
    if len(profile) <= MOST_POINTS:
        return list(profile)
    last = len(profile) - 1
    kept = {round(i * last / (MOST_POINTS - 2)) for i in range(MOST_POINTS - 1)}
    kept |= {i for i, one in enumerate(profile) if one.value == chosen}
    return [profile[i] for i in sorted(kept)]


def _heat_map(estimators: Sequence[str], responses: Iterable[Response]) -> HeatMap | None:
    """Of all temperatures that responses name."""
    found = {
        one.estimator: {float(point.value): point.mean for point in one.points}
        for one in responses
        if one.parameter == TEMPERATURE and one.scale != "words"
    }
    values = sorted({value for means in found.values() for value in means})
    if len(values) < 2:
        return None
    rows = [
        HeatRow(estimator=name, means=[found[name].get(value) for value in values])
        for name in estimators
        if name in found
    ]
    return HeatMap(parameter=TEMPERATURE, values=values, rows=rows)
