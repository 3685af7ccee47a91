"""What the API answers on comparisons of estimators. Field names are a contract with clients."""

from __future__ import annotations

from typing import Literal

from service.resources.schemas import Answer, MetricInfo, Setting


class ComparedCell(Answer):
    """One setting of an estimator that takes part in a comparison.

    ``settings_tried`` of its estimator it was chosen among; null where the request names the setting itself.
    ``failed_seeds`` have no result, and ``n`` counts those that have one.
    """

    board: str
    board_title: str
    page: str
    estimator: str
    title: str
    version: int
    cell: str
    setting: Setting
    settings_tried: int | None
    n: int
    mean: float | None
    failed_seeds: list[int]


class PairedSeed(Answer):
    """One seed of both: their values, and how much better the first one is; null where that is not finite."""

    seed: int
    first: float | None
    second: float | None
    better_by: float | None


class HeldAgainst(Answer):
    """The first one held against one other, over the seeds that both have.

    ``mean`` is how much better the first one is, in units of the metric and in the good direction, ``sd``
    the standard deviation of the differences, ``low`` and ``high`` the ends of the 95 % interval of the mean
    (Student's t). ``p_value`` is that of no difference by ``test``, ``p_adjusted`` the same among all
    comparisons of the answer (Holm).

    ``verdict`` is ``better`` or ``worse`` by more than the margin, ``equivalent`` within it, or
    ``undecided``; ``no_worse`` says that the first one is shown not to be worse by more than the margin.
    ``failed_only_here`` are seeds at which the first one has failed and the other has not. ``regression``
    is true for ``worse``, and where there are such seeds.

    ``detectable`` is the smallest difference that this many seeds find with probability 0.8,
    ``seeds_needed`` how many would find one as large as the measured one; null where there is none.
    """

    other: ComparedCell
    metric: str
    seeds: int
    left_out: int
    mean: float | None
    sd: float | None
    low: float | None
    high: float | None
    p_value: float
    p_adjusted: float
    test: Literal["permutation", "t", "none"]
    verdict: Literal["better", "worse", "equivalent", "undecided"]
    no_worse: bool
    failed_only_here: list[int]
    regression: bool
    detectable: float | None
    seeds_needed: int | None
    pairs: list[PairedSeed]
    sentence: str


class Comparison(Answer):
    """One setting held against others by paired differences over common seeds.

    ``select`` chose the settings that the request does not name itself; ``notes`` say what the numbers do
    not tell.
    """

    first: ComparedCell
    metric: MetricInfo
    select: str
    margin: float
    comparisons: list[HeldAgainst]
    notes: list[str]
