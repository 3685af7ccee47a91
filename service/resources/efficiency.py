"""What is accepted as the output of ``python -m benchmarks.commands.efficiency``: its fields, and no more.

Numbers are finite and bounded. Ratios and published figures follow from the rest and are kept as they came.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchmarks.suites.costs import BASE
from benchmarks.sweep_file.issues import Issue, at, shown
from benchmarks.sweep_file.limits import MAX_ISSUES
from estimators import registry
from service.errors import InvalidMeasurements
from service.resources.publication import MOST_BYTES, Name, Positive, Size, Text

FORMAT = 1
"""Version of the file's layout, as ``benchmarks.commands.efficiency.report`` writes it, which loads torch."""
ROUNDING = 1e-9
MOST_EPOCHS = 100
"""A report draws 20,000 normal numbers for every epoch of a problem."""

Ratio = Positive | None
Count = Annotated[int, Field(ge=1, le=MOST_BYTES)]
Change = Annotated[int, Field(ge=-MOST_BYTES, le=MOST_BYTES)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class _Plan(_Strict):
    device: Name
    epochs: Count
    warm_up: Count
    seconds: Positive | None
    threads: Count


class _Ratios(_Strict):
    seconds: Ratio
    added_bytes: Annotated[float, Field(ge=-1e30, le=1e30)] | None
    published_seconds: Ratio
    published_megabytes: Ratio


class _Published(_Strict):
    seconds: Positive
    megabytes: Positive


class _Case(_Strict):
    problem: Name
    estimator: Name
    draws: Count | None
    epochs: Annotated[tuple[Positive, ...], Field(min_length=1, max_length=MOST_EPOCHS)]
    steps: Count
    of: Count
    held_bytes: Size
    peak_bytes: Size
    seconds: Positive
    added_bytes: Change
    ratios: _Ratios
    published: _Published | None

    @property
    def pair(self) -> tuple[str, str, int | None]:
        return self.problem, self.estimator, self.draws


class _Measurements(_Strict):
    format: Annotated[int, Field(ge=FORMAT, le=FORMAT)]
    machine: Annotated[dict[Name, Text], Field(max_length=20)]
    device: Name
    plan: _Plan
    cases: Annotated[tuple[_Case, ...], Field(min_length=1, max_length=100)]
    failures: Annotated[dict[Name, Text], Field(max_length=1_000)]


def read(body: str | bytes) -> dict[str, Any]:
    """The document that ``body`` holds, as plain data.

    Raises:
        InvalidMeasurements: it is not what the command writes; lists everything that is wrong with it.
    """
    try:
        found = _Measurements.model_validate_json(body)
    except ValidationError as error:
        issues = [_issue(tuple(one["loc"]), one["msg"]) for one in error.errors()[:MAX_ISSUES]]
        raise InvalidMeasurements(issues) from None
    if issues := list(_inconsistent(found))[:MAX_ISSUES]:
        raise InvalidMeasurements(issues)
    return found.model_dump(mode="json")


def _issue(location: tuple[int | str, ...], message: str) -> Issue:
    return Issue("".join(at("", part) for part in location), f"{message}.")


def _inconsistent(found: _Measurements) -> Iterator[Issue]:
    """What does not fit together."""
    base = {case.problem: case for case in found.cases if case.pair == (case.problem, BASE, None)}
    seen: set[tuple[str, str, int | None]] = set()
    for place, case in enumerate(found.cases):
        here = f"/cases/{place}"
        if case.pair in seen:
            yield Issue(here, "this problem with this estimator came before.")
        seen.add(case.pair)
        if case.estimator not in registry.available():
            yield Issue(f"{here}/estimator", f"there is no estimator {shown(case.estimator)}.")
        yield from _derived(case, base.get(case.problem), here)


def _derived(case: _Case, base: _Case | None, here: str) -> Iterator[Issue]:
    """Numbers that are not what they follow from."""
    if case.steps > case.of:
        yield Issue(f"{here}/steps", f"an epoch has {case.of} steps, got {case.steps}.")
    if not math.isclose(case.seconds, statistics.median(case.epochs), rel_tol=ROUNDING):
        yield Issue(f"{here}/seconds", "expected the median of the epochs.")
    if case.added_bytes != case.peak_bytes - case.held_bytes:
        yield Issue(f"{here}/added_bytes", "expected peak_bytes less held_bytes.")
    expected = None if base is None else case.seconds / base.seconds
    if not _same(case.ratios.seconds, expected):
        yield Issue(f"{here}/ratios/seconds", f"expected the seconds over those of {BASE}.")
    expected = None if base is None or base.added_bytes <= 0 else case.added_bytes / base.added_bytes
    if not _same(case.ratios.added_bytes, expected):
        yield Issue(f"{here}/ratios/added_bytes", f"expected added_bytes over that of {BASE}.")


def _same(given: float | None, expected: float | None) -> bool:
    if given is None or expected is None:
        return given is expected
    return math.isclose(given, expected, rel_tol=ROUNDING)
