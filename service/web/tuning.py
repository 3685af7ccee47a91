"""Which setting: what every setting says, not only the chosen ones; as maps, curves and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from estimators.info import Value
from service.resources import numbers
from service.resources.board_schemas import BestOfK, Board, Response
from service.resources.labels import metric_header
from service.web import heat_map
from service.web.names import Name

NAMES = {
    "temperature": "Temperature τ",
    "lr": "Learning rate",
    "optimizer": "Optimizer",
    "num_samples": "Samples K",
}


Names = Mapping[str, Name]


def tuning(board: Board, named: Names) -> dict[str, Any]:
    """Everything that the section on settings shows."""
    parameters = dict.fromkeys(one.parameter for one in board.tuning.responses)
    return {
        "heat": _heat(board, named),
        "responses": [_parameter(name, board, named) for name in sorted(parameters, key=_order)],
        "best_of": _best_of(board, named),
        "unequal": unequal(board),
    }


def unequal(board: Board) -> str:
    """A warning where estimators were tuned unequally; empty where none is due."""
    tried = sorted({row.settings_tried for row in board.rows})
    if len(tried) < 2:
        return ""
    least = sum(row.settings_tried == tried[0] for row in board.rows)
    return (
        f"Tuning was unequal: {tried[0]} {_settings(tried[0])} of {least} of {len(board.rows)} estimators, "
        f"up to {tried[-1]} of others. The best of many settings looks better than the best of few."
    )


def series(name: Name, x: Sequence[Any], y: Sequence[float | None]) -> dict[str, Any]:
    """One estimator in a picture: full and labelled where it is one of the best, else pale."""
    shown = {"title": name.title, "short": name.id, "colour": name.colour, "strong": name.strong}
    return {**shown, "x": list(x), "y": list(y)}


def _heat(board: Board, named: Names) -> dict[str, Any] | None:
    found = board.tuning.heat_map
    if found is None:
        return None
    rows = heat_map.squares(found, maximize=board.goal == "maximize")
    return {
        "values": [f"{value:g}" for value in found.values],
        "rows": [
            {
                "estimator": id,
                "squares": [
                    {"text": numbers.five_digits(one.value), "shade": one.shade, "best": one.best}
                    for one in squares
                ],
            }
            for id, squares in rows.items()
        ],
        "without": [named[row.estimator].title for row in board.rows if row.estimator not in rows],
    }


def _parameter(name: str, board: Board, named: Names) -> dict[str, Any]:
    """One hyper-parameter: a picture where its values are numbers, and a table."""
    responses = [one for one in board.tuning.responses if one.parameter == name]
    values = _sorted({point.value for one in responses for point in one.points})
    words = any(one.scale == "words" for one in responses)
    title = NAMES.get(name, name.replace("_", " ").capitalize())
    return {
        "id": name,
        "title": title,
        "values": [_value(name, value) for value in values],
        "rows": [_response(one, values) for one in responses],
        "figure": None if words else _response_figure(title, responses, board, named),
    }


def _response(response: Response, values: Sequence[Value]) -> dict[str, Any]:
    means: Mapping[Value, float] = {point.value: point.mean for point in response.points}
    return {
        "estimator": response.estimator,
        "means": [
            {"text": numbers.five_digits(means.get(v)), "chosen": v == response.chosen} for v in values
        ],
        "area": "–" if response.area is None else numbers.compact(response.area),
    }


def _response_figure(title: str, responses: Sequence[Response], board: Board, named: Names) -> dict[str, Any]:
    return {
        "mode": "lines+markers",
        "x": {"title": title, "short": title.lower(), "log": any(one.scale == "log" for one in responses)},
        "y": {"title": metric_header(board.metrics[0]), "log": False},
        "series": [
            series(named[one.estimator], [p.value for p in one.points], [p.mean for p in one.points])
            for one in responses
        ],
    }


def _best_of(board: Board, named: Names) -> dict[str, Any] | None:
    """Expected best of k settings; nothing where no estimator has two."""
    found = [one for one in board.tuning.best_of if len(one.settings) > 1]
    if not found:
        return None
    counts = sorted({count for one in found for count in one.settings})
    figure = {
        "mode": "lines+markers",
        "x": {"title": "Settings tried, k", "short": "best of", "log": counts[-1] >= 10},
        "y": {"title": metric_header(board.metrics[0]), "log": False},
        "series": [series(named[one.estimator], one.settings, one.expected[board.select]) for one in found],
    }
    return {
        "counts": counts,
        "rows": [_expected(one, counts, board.select) for one in found],
        "figure": figure,
    }


def _expected(one: BestOfK, counts: Sequence[int], metric: str) -> dict[str, Any]:
    means = dict(zip(one.settings, one.expected[metric], strict=True))
    return {"estimator": one.estimator, "means": [numbers.five_digits(means.get(count)) for count in counts]}


def _order(parameter: str) -> tuple[int, str]:
    """Temperature first, then the learning rate."""
    first = ("temperature", "lr")
    return (first.index(parameter) if parameter in first else len(first), parameter)


def _sorted(values: set[Value]) -> list[Value]:
    numeric = sorted(value for value in values if not isinstance(value, str))
    return [*numeric, *sorted(value for value in values if isinstance(value, str))]


def _value(parameter: str, value: Value) -> str:
    if isinstance(value, str):
        return value
    return numbers.rate(value) if parameter == "lr" else f"{value:g}"


def _settings(count: int) -> str:
    return "setting" if count == 1 else "settings"
