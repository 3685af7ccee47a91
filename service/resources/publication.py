"""What is accepted as a certificate from outside: the fields of one, numbers that can be drawn, and no more.

Nothing of it is executed. Pages escape its text; its numbers are finite and bounded, so that pictures hold.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from benchmarks.sweep_file.issues import Issue, at, shown
from benchmarks.sweep_file.limits import MAX_ISSUES
from estimators.certification.record import COMMON_PROBLEM, FORMAT, Certificate, Verdict
from estimators.info import EstimatorInfo
from service.errors import InvalidCertificate

LARGEST = 1e30
COSINE = 1 + 1e-6
"""Largest cosine; rounding makes some a little larger than 1."""
MOST_BYTES = 2**50

Number = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]
Positive = Annotated[float, Field(gt=1 / LARGEST, le=LARGEST)]
Name = Annotated[str, Field(min_length=1, max_length=100)]
Text = Annotated[str, Field(max_length=10_000)]
Size = Annotated[int, Field(ge=0, le=MOST_BYTES)]
Seed = Annotated[int, Field(ge=-(2**63), lt=2**64)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class _Interval(_Strict):
    value: Number
    low: Number
    high: Number

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low <= self.value <= self.high:
            raise ValueError("expected low <= value <= high")
        return self


class _NotNegative(_Interval):
    low: Annotated[float, Field(ge=0, le=LARGEST)]


class _Cosine(_Interval):
    value: Annotated[float, Field(ge=-COSINE, le=COSINE)]


class _Point(_Strict):
    scale: Positive
    bias: _NotNegative
    variance: _NotNegative
    cosine: _Cosine
    draws: Size
    exact: bool
    detected: bool


class _ProblemResult(_Strict):
    problem: Annotated[str, Field(pattern=r"^[a-z]+-[1-9][0-9]?x[1-9][0-9]?$")]
    objective: Name
    variables: Annotated[int, Field(ge=1, le=99)]
    categories: Annotated[int, Field(ge=1, le=99)]
    points: Annotated[tuple[_Point, ...], Field(min_length=2, max_length=20)]
    order: _Interval | None
    order_stderr: Annotated[float, Field(ge=0, le=LARGEST)] | None

    @model_validator(mode="after")
    def _scales(self) -> Self:
        scales = [point.scale for point in self.points]
        if scales != sorted(set(scales)) or 1.0 not in scales:
            raise ValueError("expected points of different scales, by rising scale, one of them 1")
        return self


class _AtTemperature(_Strict):
    temperature: Positive
    point: _Point


class _Finding(_Strict):
    name: Name
    declared: Text
    measured: Text
    verdict: Verdict
    advice: Text = ""


class _Cost(_Strict):
    evaluations: Size
    shape: Annotated[tuple[Size, ...], Field(min_length=1, max_length=8)]
    seconds: _NotNegative
    seconds_ratio: _NotNegative
    peak_bytes: Size
    peak_ratio: Annotated[float, Field(ge=0, le=LARGEST)]


class _Certificate(_Strict):
    format: Annotated[str, Field(pattern=f"^{FORMAT}$")]
    passed: bool
    id: Name
    title: Text
    version: Annotated[int, Field(ge=0, le=MOST_BYTES)]
    parameters: dict[str, Any]
    torch: Name
    device: Name
    seed: Seed
    problems: Annotated[tuple[_ProblemResult, ...], Field(min_length=1, max_length=20)]
    findings: Annotated[tuple[_Finding, ...], Field(min_length=1, max_length=50)]
    cost: _Cost
    seconds: Annotated[float, Field(ge=0, le=LARGEST)]
    temperatures: Annotated[tuple[_AtTemperature, ...], Field(max_length=20)] = ()


def read(body: str | bytes, info: EstimatorInfo) -> Certificate:
    """The certificate of this version of an estimator at its defaults that ``body`` holds.

    Raises:
        InvalidCertificate: it holds none; lists everything that is wrong with it.
    """
    try:
        found = _Certificate.model_validate_json(body)
    except ValidationError as error:
        raise InvalidCertificate([_issue(one) for one in error.errors()[:MAX_ISSUES]]) from None
    certificate = Certificate.from_json(found.model_dump())
    if issues := [*_foreign(certificate, info), *_inconsistent(certificate, found.passed, info)]:
        raise InvalidCertificate(issues)
    return certificate


def _issue(error: ErrorDetails) -> Issue:
    path = "".join(at("", part) for part in error["loc"])
    if error["type"] == "missing":
        return Issue(path, "missing; every certificate has this field.")
    if error["type"] == "extra_forbidden":
        return Issue(path, "no certificate has this field; leave it out.")
    got = "" if error["type"] == "json_invalid" else f", got {shown(error['input'])}"
    return Issue(path, f"{error['msg']}{got}.")


def _foreign(certificate: Certificate, info: EstimatorInfo) -> Iterator[Issue]:
    """What is not of this estimator."""
    if certificate.id != info.id:
        yield Issue("/id", f"the certificate is of {shown(certificate.id)}, the address of {info.id!r}.")
    if certificate.title != info.title:
        same = "this id is another estimator where it was measured"
        yield Issue("/title", f"expected {info.title!r}, got {shown(certificate.title)}: {same}.")
    if certificate.version != info.version:
        yield Issue(
            "/version",
            f"the certificate is of version {certificate.version}, the estimator here is at {info.version}; "
            "install the same package in both places and certify again.",
        )
    if certificate.parameters:
        yield Issue("/parameters", "a server shows estimators at their defaults; certify without --set.")


def _inconsistent(certificate: Certificate, passed: bool, info: EstimatorInfo) -> Iterator[Issue]:
    """What does not fit together."""
    if passed != certificate.passed:
        yield Issue("/passed", f"expected {shown(certificate.passed)}, as the findings say.")
    ids = [problem.problem for problem in certificate.problems]
    if ids.count(COMMON_PROBLEM) != 1 or len(set(ids)) != len(ids):
        yield Issue("/problems", f"expected each problem once and {COMMON_PROBLEM} among them.")
    temperatures = [at.temperature for at in certificate.temperatures if at.point.scale == 1.0]
    low, high = info.temperature_range or (math.inf, math.inf)
    inside = sorted({temperature for temperature in temperatures if low <= temperature <= high})
    if temperatures != inside or len(inside) != len(certificate.temperatures):
        expected = "different temperatures of the declared range at scale 1, by rising temperature"
        yield Issue("/temperatures", f"expected {expected}.")
