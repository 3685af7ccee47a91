"""How a claim is decided, in words."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from benchmarks.suites.predicates import ClaimReport
from benchmarks.suites.schema import ClaimSection, TestSection
from service.resources import describe, metrics
from service.resources.labels import metric_label
from service.resources.suite_schemas import BoardShare, ReportClaim


def decided_by(
    claim: ClaimSection,
    metric: Callable[[str], str],
    title: Callable[[str], str] = describe.title_of_estimator,
) -> list[str]:
    """What its tests ask, a phrase each; all must hold.

    Args:
        claim: the sentence with its tests.
        metric: name of a metric -> what sentences call it.
        title: name of an estimator -> likewise.
    """
    said = [_where(test, _phrase(test, metric(test.metric), title)) for test in claim.tests]
    if claim.on is not None:
        said = [f"{one}, all at the parameters that {title(claim.on)} trains" for one in said]
    return [f"{one}, at every epoch measured" for one in said] if claim.every_epoch else said


def judged(
    one: ClaimReport,
    *,
    device: str | None,
    decided_by: Sequence[str],
    board: Callable[[Hashable], tuple[str, str]],
) -> ReportClaim:
    """A claim as it is answered.

    Args:
        one: the claim and its result.
        device: where it was measured; ``None`` for trials.
        decided_by: what its tests ask.
        board: a board of the result -> its id and its title.
    """
    shares = [(board(name), share) for name, share in one.result.by_board.items()]
    return ReportClaim(
        sentence=one.claim.sentence,
        where=one.claim.where,
        device=device,
        verdict=one.result.verdict,
        reason=one.result.reason,
        share=one.result.share,
        error=one.result.error,
        decided_by=list(decided_by),
        note=one.claim.note,
        boards=one.boards,
        published_boards=one.published_boards,
        by_board=[BoardShare(board=id, title=title, share=share) for (id, title), share in shares],
        left_out=one.result.left_out,
    )


def of_task(task: str) -> Callable[[str], str]:
    """What sentences call the metrics of a task."""
    return lambda name: metric_label(metrics.metric_info(task, name))


def listed(names: Sequence[str]) -> str:
    """``A``, ``A and B``, ``A, B and C``."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _phrase(test: TestSection, metric: str, title: Callable[[str], str]) -> str:
    one = title(test.estimator or "")
    others = [title(name) for name in test.than]
    if test.kind == "best":
        rivals = f"than {listed(others)}" if others else "than every other estimator"
        behind = f", or by at most {test.slack:g} worse" if test.slack else ""
        return f"{one} has no worse mean {metric} {rivals}{behind}"
    if test.kind == "better":
        return f"{one} has a better mean {metric} than {listed(others)}"
    if test.kind == "order":
        return f"by mean {metric}, best first: {', '.join(others)}"
    if test.kind == "ratio":
        return f"mean {metric} of {one} over that of {listed(others)} is {_range(test)}"
    if test.kind == "setting":
        return f"at the best setting of {one}, {(test.parameter or '').replace('_', ' ')} is {_range(test)}"
    return f"mean {metric} of {one} is {_range(test)}"


def _range(test: TestSection) -> str:
    """The interval of a test with its slack, which only ``bound`` has."""
    slack = test.slack if test.kind == "bound" else 0.0
    low, high = _end(test.low, -slack), _end(test.high, slack)
    if low and high:
        return f"between {low} and {high}"
    return f"at least {low}" if low else f"at most {high}" if high else "finite"


def _end(end: float | str | None, slack: float) -> str:
    if end is None:
        return ""
    if isinstance(end, str):
        return end if not slack else f"{end} {'+' if slack > 0 else '−'} {abs(slack):g}"
    return f"{end + slack:g}".replace("-", "−")


def _where(test: TestSection, phrase: str) -> str:
    if not test.boards:
        return phrase
    boards = [", ".join(f"{name} {value}" for name, value in board.items()) for board in test.boards]
    return f"{phrase}, where {' or '.join(boards)}"
