"""The map of temperatures: a row an estimator, a column a temperature, the deeper the better."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from service.resources.board_schemas import HeatMap

SHADES = 8
"""Steps from the best (0) to the worst, ``h0`` to ``h7`` of the style sheet."""

WORST_SHARE = 0.9
"""Quantile of gaps from which on all is called worst: one collapsed cell must not make all others equal."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Square:
    """The best mean of an estimator at one temperature.

    Attributes:
        value: ``None`` where it was not tried there or has no finite result.
        shade: style of its ground.
        best: whether it is the best of its row.
    """

    value: float | None
    shade: str = "untried"
    best: bool = False


def squares(found: HeatMap, *, maximize: bool) -> dict[str, list[Square]]:
    """Estimator -> what stands under each temperature.

    Shades go by the square root of the gap to the best number of the map, so that good ones, which lie close
    together, are told apart.
    """
    gaps = _gaps([mean for row in found.rows for mean in row.means if mean is not None], maximize=maximize)
    worst = float(np.quantile(list(gaps.values()), WORST_SHARE)) if gaps else 0.0
    shades = {value: _shade(gap, worst) for value, gap in gaps.items()}
    return {row.estimator: _row(row.means, shades, maximize=maximize) for row in found.rows}


def _gaps(values: Sequence[float], *, maximize: bool) -> dict[float, float]:
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return {}
    best = max(finite) if maximize else min(finite)
    return {value: math.sqrt(abs(value - best)) for value in finite}


def _shade(gap: float, worst: float) -> str:
    step = 0 if worst == 0 else min(int(gap / worst * (SHADES - 1) + 0.5), SHADES - 1)
    return f"h{step}"


def _row(means: Sequence[float | None], shades: Mapping[float, str], *, maximize: bool) -> list[Square]:
    known = [mean for mean in means if mean is not None and mean in shades]
    best = (max if maximize else min)(known) if known else None
    return [
        Square(value=mean, shade=shades[mean], best=mean == best)
        if mean is not None and mean in shades
        else Square(value=None)
        for mean in means
    ]
