"""The tests of a claim, as an exhibit's file states them, turned into predicates that can be judged."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.scoring import claims
from benchmarks.suites.schema import ClaimSection, Scalar, TestSection, Tier

SMOKE = "the tier smoke shows that everything runs; it is too short to judge the paper"
"""Why claims are not tried in that tier: after a hundredth of the training, means say little of the end."""

End = float | str | None
"""One end of the interval of a test: a number, the label of a level, or none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimReport:
    """A sentence of the paper and what the measurements say of it.

    Attributes:
        claim: the sentence with its tests.
        result: the verdict; boards by their titles or problems.
        boards: how many boards of this tier, or problems that were measured, it speaks of.
        published_boards: of how many it speaks in the paper, as far as the tier ``full`` has them.
    """

    claim: ClaimSection
    result: claims.ClaimResult
    boards: int
    published_boards: int


def too_short(tier: Tier) -> bool:
    """Whether a tier computes too little for any claim to be judged by it."""
    return tier == "smoke"


def only_metric(claim: ClaimSection) -> str:
    """The one metric that all tests of a claim read: shares of several would not be joint.

    Raises:
        ValueError: they read several.
    """
    first, *others = {test.metric: None for test in claim.tests}
    if others:
        raise ValueError(f"all tests of a claim read one metric, got {', '.join((first, *others))}")
    return first


def named(values: Mapping[str, Scalar], boards: Sequence[Mapping[str, Scalar]]) -> bool:
    """Whether a board with these values is one of those a test speaks of; a test without boards means all."""
    return not boards or any(
        all(values.get(name) == value for name, value in board.items()) for board in boards
    )


def parts(
    test: TestSection, boards: Sequence[Hashable], level: Callable[[End, Hashable], float | None]
) -> Iterator[claims.Claim]:
    """The predicates that a test stands for.

    Args:
        test: the test.
        boards: those that it speaks of, by the names that results have.
        level: an end of its interval on a board -> the number; only `bound` asks.

    Raises:
        ValueError: a label where a number is needed.
    """
    one, every = test.estimator or "", tuple(boards)
    if test.kind == "best":
        yield claims.Best(one, every, rivals=tuple(test.than), at_most_behind=test.slack)
    elif test.kind == "better":
        yield from (claims.Better(one, other, every) for other in test.than)
    elif test.kind == "order":
        yield claims.Order(tuple(test.than), every)
    elif test.kind == "ratio":
        low, high = number(test.low), number(test.high)
        yield from (claims.Ratio(one, other, every, low, high) for other in test.than)
    elif test.kind == "setting":
        low, high = number(test.low), number(test.high)
        yield claims.BestSetting(one, test.parameter or "", every, low, high)
    else:
        for board in every:
            low, high = (level(end, board) for end in (test.low, test.high))
            yield claims.Bound(
                one,
                (board,),
                None if low is None else low - test.slack,
                None if high is None else high + test.slack,
            )


def number(end: End) -> float | None:
    """An end that is a number, or none.

    Raises:
        ValueError: it is a label.
    """
    if isinstance(end, str):
        raise ValueError(f"{end!r} is no number; only `bound` takes the label of a level")
    return end
