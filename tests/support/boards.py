"""Rows of boards as the API answers them, with next to nothing in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from service.resources.board_schemas import BoardRow, RowCost, SeedCounts, Standing, Summary
from service.resources.schemas import Setting

FIRST = Standing(position=1, rank_low=1, rank_high=1, tied_with_best=True, to_best=None)
NO_COST = RowCost(
    seconds_per_step=None,
    relative=None,
    evaluations_per_step=None,
    evaluations=None,
    peak_memory_bytes=None,
)


def board_row(metrics: Mapping[str, Summary], **changes: Any) -> BoardRow:
    """A row of straight-through with these summaries, unless told otherwise."""
    n = max(summary.n for summary in metrics.values())
    counts = SeedCounts(wanted=n, succeeded=n, failed=0, diverged=0, collapsed=0, cancelled=0, waiting=0)
    fields: dict[str, Any] = {
        "estimator": "st",
        "title": "",
        "version": 1,
        "cell": "",
        "setting": Setting(parameters={}, optimizer="adam", lr=1.0, precision="float32"),
        "n": n,
        "seeds_wanted": n,
        "settings_tried": 1,
        "trials_spent": n,
        "device_seconds": 1.0,
        "standing": FIRST,
        "seeds": counts,
        "cost": NO_COST,
        "source": "computed here",
        "metrics": dict(metrics),
        "references": [],
    }
    return BoardRow(**{**fields, **changes})
