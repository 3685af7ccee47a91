"""The certificate as data: JSON both ways. Does not import torch.

Intervals hold with 95 % confidence, each on its own. Verdicts are stricter: a correct estimator is
contradicted in one finding with a probability of about :data:`FALSE_ALARM` (normal approximation).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from estimators.info import Value

FORMAT = "certificate-1"
"""Of a file. Fields that were added later, ``advice`` and ``temperatures``, are left out of a file where they
are empty and taken as empty where a file lacks them, so files of this format from before are read as ever."""
NOT_FIELDS = ("format", "passed", "published_at")
"""What a file or an answer of the REST API holds besides the fields of :class:`Certificate`."""
FALSE_ALARM = 1e-6
COMMON_PROBLEM = "exponential-3x2"

Verdict = Literal["as declared", "contradicts", "not detectable", "not declared"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """A measured number with its 95 % interval; ``low == high`` for enumerated ones."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        if self.low == self.high:
            return f"{self.value:.3g}"
        return f"{self.value:.3g} ({self.low:.3g} to {self.high:.3g})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One problem at one scale of f. The three figures are relative to the exact gradient G.

    Attributes:
        scale: s.
        bias: |E h - G| / |G|, h the estimate.
        variance: sum over components of Var h / |G|^2.
        cosine: mean cosine of the angle between one estimate and G.
        draws: estimates drawn.
        exact: the mean is enumerated over outcomes, not sampled.
        detected: whether the bias is seen at the false-alarm rate.
    """

    scale: float
    bias: Interval
    variance: Interval
    cosine: Interval
    draws: int
    exact: bool
    detected: bool

    def bias_text(self) -> str:
        """The bias in three decimals, or below what it is where none is seen."""
        if self.detected:
            return f"{self.bias.value:.3f}"
        return "0" if self.exact else f"< {self.bias.high:.3f}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ProblemResult:
    """All scales of one problem.

    Attributes:
        problem: its id.
        objective: f in mathematical text.
        variables, categories: V and n.
        points: by rising scale.
        order: slope of log bias against log scale as the scale goes to 0; ``None`` where the bias is not
            known at three scales.
        order_stderr: its standard error, model error included.
    """

    problem: str
    objective: str
    variables: int
    categories: int
    points: tuple[Point, ...]
    order: Interval | None
    order_stderr: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class AtTemperature:
    """The figures on :data:`COMMON_PROBLEM` at scale 1, at one temperature."""

    temperature: float
    point: Point


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """A declared property, or one that every estimator must have, against what was measured.

    Attributes:
        name: of the property.
        declared, measured: in words; the measured size is among them.
        verdict: what the two say of each other.
        advice: what to do about a contradiction, where that is known.
    """

    name: str
    declared: str
    measured: str
    verdict: Verdict
    advice: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """Forward and backward on logits of a stated shape, float32, on one thread.

    Attributes:
        evaluations: evaluations of f per estimate, counted.
        shape: of the logits that were timed.
        seconds: median over repeats.
        seconds_ratio: the same over that of ``st`` on the same shape, timed in turns.
        peak_bytes: most memory held at once beyond the arguments.
        peak_ratio: the same over that of ``st``.
    """

    evaluations: int
    shape: tuple[int, ...]
    seconds: Interval
    seconds_ratio: Interval
    peak_bytes: int
    peak_ratio: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Certificate:
    """Measured properties of one version of an estimator.

    Attributes:
        id, title, version: as in the registry.
        parameters: hyper-parameters that were set.
        torch, device: where it was measured.
        seed: of all noise.
        problems, findings, cost: see there; findings against the estimator come first.
        seconds: time that the measurement took.
        temperatures: by rising temperature; empty for an estimator without one.
    """

    id: str
    title: str
    version: int
    parameters: Mapping[str, Value]
    torch: str
    device: str
    seed: int
    problems: tuple[ProblemResult, ...]
    findings: tuple[Finding, ...]
    cost: Cost
    seconds: float
    temperatures: tuple[AtTemperature, ...] = ()

    def __post_init__(self) -> None:
        """Put contradictions first, everything else in its order."""
        ordered = sorted(self.findings, key=lambda finding: finding.verdict != "contradicts")
        object.__setattr__(self, "findings", tuple(ordered))

    @property
    def passed(self) -> bool:
        """No finding contradicts what is declared."""
        return not self.contradictions

    @property
    def contradictions(self) -> tuple[Finding, ...]:
        """Findings against the estimator."""
        return tuple(f for f in self.findings if f.verdict == "contradicts")

    @property
    def order(self) -> Interval | None:
        """Order of accuracy: the lowest among the problems where it is known about as well as anywhere."""
        known = [(p.order, p.order_stderr) for p in self.problems if p.order and p.order_stderr is not None]
        best = min((stderr for _, stderr in known), default=0.0)
        return min((o for o, stderr in known if stderr <= 1.5 * best), key=lambda o: o.value, default=None)

    @property
    def common(self) -> Point:
        """The point that tables compare, see :func:`common`."""
        return common(self.problems)

    @property
    def settings(self) -> str:
        """The parameters that were set, ``temperature=0.5, num_draws=10``; empty at the defaults."""
        return ", ".join(f"{name}={value}" for name, value in self.parameters.items())

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        data = {"format": FORMAT, "passed": self.passed, **dataclasses.asdict(self)}
        data["findings"] = [_without(finding, "advice") for finding in data["findings"]]
        return _without(data, "temperatures")

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Certificate:
        """The inverse of :meth:`to_json`.

        Raises:
            ValueError: the data are of another format.
        """
        if data.get("format") != FORMAT:
            raise ValueError(
                f"this is {data.get('format', 'no certificate')!r}, expected {FORMAT!r}; make it again with "
                "`heunboard certify`"
            )
        fields = {name: value for name, value in data.items() if name not in NOT_FIELDS}
        fields["problems"] = tuple(_problem(p) for p in data["problems"])
        fields["findings"] = tuple(Finding(**f) for f in data["findings"])
        fields["cost"] = _cost(data["cost"])
        fields["temperatures"] = tuple(
            AtTemperature(temperature=at["temperature"], point=_point(at["point"]))
            for at in data.get("temperatures", ())
        )
        return cls(**fields)


def common(problems: Iterable[ProblemResult]) -> Point:
    """The point of :data:`COMMON_PROBLEM`, which every estimator takes, at scale 1."""
    (problem,) = [p for p in problems if p.problem == COMMON_PROBLEM]
    (point,) = [p for p in problem.points if p.scale == 1.0]
    return point


def _without(data: dict[str, Any], name: str) -> dict[str, Any]:
    """The same without a field that is empty."""
    return data if data[name] else {key: value for key, value in data.items() if key != name}


def _interval(data: Mapping[str, float] | None) -> Interval | None:
    return None if data is None else Interval(**data)


def _problem(data: Mapping[str, Any]) -> ProblemResult:
    points = tuple(_point(p) for p in data["points"])
    return ProblemResult(**{**data, "points": points, "order": _interval(data["order"])})


def _point(data: Mapping[str, Any]) -> Point:
    return Point(**{**data, **{name: Interval(**data[name]) for name in ("bias", "variance", "cosine")}})


def _cost(data: Mapping[str, Any]) -> Cost:
    intervals = {name: Interval(**data[name]) for name in ("seconds", "seconds_ratio")}
    return Cost(**{**data, **intervals, "shape": tuple(data["shape"])})
