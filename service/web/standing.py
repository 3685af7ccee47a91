"""Where an estimator stands over boards: a part of its page."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from service.resources import metrics, numbers
from service.resources.board_list_schemas import BoardStanding, Standing
from service.resources.colours import colours


def standing_context(found: Standing) -> dict[str, Any]:
    """Where the estimator stands, in words and as a picture."""
    ids = [line.best.estimator for line in found.boards if line.best]
    styles = colours([found.estimator, *ids])
    asked = {(line.task, line.metric) for line in found.boards if line.metric}
    titles = {one: metrics.metric_info(*one).title for one in asked}
    return {
        "standing": found,
        "colour": styles[found.estimator],
        "boards": [
            _board(line, found.estimator, styles) | {"metric": titles.get((line.task, line.metric), "")}
            for line in found.boards
        ],
        "profile": _profile(found),
    }


def _board(line: BoardStanding, estimator: str, styles: Mapping[str, str]) -> dict[str, Any]:
    """A row of the table of boards."""
    best = line.best
    return {
        "of": line,
        "rank": "–" if line.rank is None else f"{line.rank:g}",
        "mean": numbers.five_digits(line.mean),
        "shortfall": "–" if line.shortfall is None else f"{100 * line.shortfall:.0f} %",
        "best": best and {"colour": styles[best.estimator], "mean": numbers.five_digits(best.mean)},
        "is_best": best is not None and best.estimator == estimator,
    }


def _profile(found: Standing) -> dict[str, Any] | None:
    """The performance profile as a line in a square of 100 by 100, and its middle in words."""
    if not found.profile:
        return None
    points = [(100 * one.shortfall, 100 * (1 - one.share)) for one in found.profile]
    steps = [
        f"{x:.1f},{before:.1f} {x:.1f},{y:.1f}" for (_, before), (x, y) in pairwise([points[0], *points])
    ]
    near = {one.shortfall: one.share for one in found.profile}
    return {
        "points": " ".join(steps),
        "best": f"{100 * near[0.0]:.0f} %",
        "tenth": f"{100 * near[0.1]:.0f} %",
    }
