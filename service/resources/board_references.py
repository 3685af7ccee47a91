"""Published numbers and known levels beside what was measured, with a verdict where one is due."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.scoring import verdicts
from benchmarks.scoring.goals import Goal
from benchmarks.suites import published
from benchmarks.suites.report import objection
from benchmarks.tasks.info import Reference
from service.resources.board_schemas import ReferenceNumber


def level(reference: Reference) -> ReferenceNumber:
    """A number that holds for a whole board."""
    return ReferenceNumber(**_printed(reference), difference=None)


def beside(reference: Reference, values: Sequence[float], goal: Goal) -> ReferenceNumber:
    """A number beside the seeds that were measured of its metric; none: there is nothing to judge.

    A level that follows from a formula has a difference and no verdict. The margin is that of the exhibit
    which quotes the number; without one the two are not comparable.
    """
    if not len(values):
        return level(reference)
    mean = sum(values) / len(values)
    if not reference.exhibit:
        return ReferenceNumber(**_printed(reference), difference=mean - reference.mean)
    found = _compared(reference, values, goal)
    margin = _margin(reference)
    return ReferenceNumber(
        **_printed(reference),
        difference=mean - reference.mean,
        verdict=found.verdict,
        reason=found.reason,
        low=None if found.interval is None else found.interval.low,
        high=None if found.interval is None else found.interval.high,
        margin=margin,
    )


def _compared(reference: Reference, values: Sequence[float], goal: Goal) -> verdicts.Comparison:
    exhibit, margin = published.exhibit(reference.exhibit), _margin(reference)
    by_median = exhibit is not None and reference.estimator in exhibit.file.median
    return verdicts.compare(
        values,
        verdicts.Published(mean=reference.mean, sd=reference.sd, n=reference.n),
        margin=1.0 if margin is None else margin,
        goal=goal,
        centre=verdicts.Centre.MEDIAN if by_median else verdicts.Centre.MEAN,
        not_comparable=objection(reference, has_margin=margin is not None),
    )


def _margin(reference: Reference) -> float | None:
    exhibit = published.exhibit(reference.exhibit)
    section = None if exhibit is None else exhibit.file.margins.get(reference.metric)
    return None if section is None else section.value


def _printed(reference: Reference) -> dict[str, object]:
    names = ("metric", "estimator", "label", "mean", "sd", "source", "comparable", "n", "slip", "exhibit")
    return {name: getattr(reference, name) for name in names}
