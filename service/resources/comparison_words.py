"""What can be concluded from a comparison, in words for pages, the API and the command line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from service.resources import numbers
from service.resources.comparison_schemas import ComparedCell, HeldAgainst
from service.resources.labels import metric_label
from service.resources.schemas import MetricInfo

TESTS = {"permutation": "permutation test", "t": "paired t test", "none": ""}


def name(cell: ComparedCell, beside: ComparedCell) -> str:
    """The title, with what tells it from the other one where the title does not."""
    if cell.title != beside.title:
        return cell.title
    if cell.version != beside.version:
        return f"{cell.title} version {cell.version}"
    if cell.board != beside.board:
        return f"{cell.title} on {cell.board_title}"
    return f"{cell.title} at {numbers.setting(**dict(cell.setting))}"


def sentence(
    first: ComparedCell, held: HeldAgainst, metric: MetricInfo, *, margin: float, several: bool
) -> str:
    """What the numbers say, and what they leave open."""
    one, other = name(first, held.other), name(held.other, first)
    parts = [_verdict(one, other, held, metric, margin)]
    if held.sd is not None:
        parts.append(_numbers(one, held, metric, several))
    if held.verdict == "undecided" and held.detectable is not None:
        parts.append(_power(held, margin))
    return " ".join([*parts, *_failures(one, other, held)])


def _verdict(one: str, other: str, held: HeldAgainst, metric: MetricInfo, margin: float) -> str:
    label = metric_label(metric)
    size = f"{margin:g}" + (f" {metric.unit}" if metric.unit else "")
    if held.verdict == "equivalent":
        return f"{one} and {other} differ in {label} by less than {size}."
    if held.verdict != "undecided":
        return f"{one} is {held.verdict} than {other} in {label}" + (
            f" by more than {size}." if margin else "."
        )
    if held.sd is None:
        return f"Nothing can be concluded: {one} and {other} need two seeds in common and have {held.seeds}."
    if not margin:
        return f"{one} and {other} cannot be told apart in {label}."
    if held.no_worse:
        return (
            f"{one} is not worse than {other} in {label} by more than {size}; whether it is better is open."
        )
    return f"Whether {one} and {other} differ in {label} by more than {size} is open."


def _numbers(one: str, held: HeldAgainst, metric: MetricInfo, several: bool) -> str:
    assert held.mean is not None
    assert held.low is not None
    assert held.high is not None
    # How far in the direction that the words name, which the interval shares.
    low, high = (-held.high, -held.low) if held.mean < 0 else (held.low, held.high)
    decimals = numbers.decimals_for((high - low) / 2, held.mean)
    ends = " to ".join(numbers.text(end, decimals) for end in (low, high))
    p = p_text(held.p_adjusted) + (" by Holm" if several else "")
    return (
        f"Over {held.seeds:,} common seeds the mean of {one} is {_by(held.mean, metric, decimals)} "
        f"(95 % interval {ends}; {TESTS[held.test]}, p {p})."
    )


def _by(mean: float, metric: MetricInfo, decimals: int) -> str:
    """How far the metric of the first one lies from the other's."""
    if mean == 0:
        return "the same"
    word = "higher" if (mean > 0) == (metric.goal == "maximize") else "lower"
    return f"{word} by {numbers.text(abs(mean), decimals)}"


def p_text(p: float) -> str:
    """``= 0.031``; ``< 0.001`` below that."""
    return "< 0.001" if p < 0.001 else f"= {p:.2g}"


def _power(held: HeldAgainst, margin: float) -> str:
    assert held.detectable is not None
    found = f"A difference of {numbers.compact(held.detectable)} would be found with 80 % probability"
    if margin:
        return f"{found}."
    if held.seeds_needed is None:
        return f"{found}; more than 1,000 seeds would be needed for one as small as the measured one."
    more = held.seeds_needed - held.seeds
    if more <= 0:
        return f"{found}."
    return (
        f"{found}; for one as large as the measured one it takes {held.seeds_needed:,} seeds, {more:,} more."
    )


def _failures(one: str, other: str, held: HeldAgainst) -> Iterator[str]:
    if held.failed_only_here:
        seeds = ", ".join(map(str, held.failed_only_here))
        plural = "s" if len(held.failed_only_here) > 1 else ""
        yield f"{one} failed at seed{plural} {seeds}, where {other} did not: no number here stands for that."
    if held.left_out:
        yield f"Left out for values that are not finite: {held.left_out:,} of the common seeds."


def notes(first: ComparedCell, held: Sequence[HeldAgainst], select: MetricInfo) -> list[str]:
    """What the numbers do not tell: how settings were chosen, and what pairs share across boards."""
    found = []
    tried = {one.title: one.settings_tried for one in (first, *(each.other for each in held))}
    counts = {count for count in tried.values() if count is not None}
    if len(counts) > 1:
        each = ", ".join(f"{title} {count}" for title, count in tried.items() if count is not None)
        found.append(
            f"Settings were chosen by {metric_label(select)} on these seeds; who tried more has an advantage "
            f"({each})."
        )
    elif counts - {1}:
        found.append(
            f"Settings were chosen by {metric_label(select)} on these seeds, of {counts.pop()} each: both "
            "means are a little too good."
        )
    if any(each.other.board != first.board for each in held):
        found.append("The two are on different boards; what a seed fixes may differ between their tasks.")
    return found
