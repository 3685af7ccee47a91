"""Words of a report on a claim."""

from __future__ import annotations

from typing import Any

import pytest

from service.resources.report_tables import decision, share
from service.resources.suite_schemas import ReportClaim


def claim(**fields: Any) -> ReportClaim:
    values: dict[str, Any] = {
        "sentence": "ReinMax is best.",
        "where": "page 1",
        "device": None,
        "verdict": "undecided",
        "reason": "holds in some of the draws",
        "share": 0.5,
        "error": 0.0035,
        "decided_by": ["ReinMax has the best mean"],
        "note": "",
        "boards": 1,
        "published_boards": 1,
        "by_board": [],
        "left_out": 0,
    }
    return ReportClaim(**values | fields)


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (None, None, "–"),
        (0.5, 0.00354, "50.0 ± 0.4 %"),
        (0.0, 0.00005, "< 0.1 %"),
        (0.0005, 0.00016, "< 0.1 %"),  # at most 0.066 %
        (0.0009, 0.0002, "0.1 ± 0.1 %"),  # up to 0.11 %
        (0.0, 0.01, "< 1.0 %"),  # few draws
        (1.0, 0.00005, "> 99.9 %"),
        (0.9995, 0.00016, "> 99.9 %"),
        (0.998, 0.0003, "99.8 ± 0.1 %"),
    ],
)
def test_shares_near_an_end_are_bounds(value: float | None, error: float | None, words: str) -> None:
    assert share(claim(share=value, error=error)) == words


def test_a_small_share_that_contradicts_nothing_says_why() -> None:
    reason = "holds in 0.4 % of the draws, the least likely of its 8 comparisons in 49.0 %"
    plain = "ReinMax has the best mean."
    assert decision(claim(share=0.004, reason=reason)) == f"{plain} H{reason[1:]}."
    assert decision(claim(share=0.5)) == plain
    assert decision(claim(share=0.004, verdict="contradicted", reason=reason)) == plain
