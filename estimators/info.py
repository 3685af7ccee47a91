"""What the registry says of an estimator. Plain data: this module does not import torch.

A service validates hyper-parameters, plans cohorts and draws pages from these records alone; the
function itself is imported on first use.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from estimators.evaluations import EvaluationCount, Sizes

Value = float | int | str
"""A hyper-parameter as it stands in a sweep file after validation."""

Kind = Literal["path", "score", "score+grad", "exact"]

SMALLEST_NUMBER, LARGEST_NUMBER = 2.0**-126, (2 - 2.0**-23) * 2.0**127
"""Magnitudes between which float32, in which programs compute, keeps its precision."""
OUT_OF_RANGE = "is out of range"


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameter:
    """One declared hyper-parameter of an estimator, a task or an optimizer.

    Attributes:
        name: key in a sweep file.
        type: ``float``, ``int`` or ``str``; integers are accepted where a float is declared.
        default: value when the sweep file names none; ``None`` marks a parameter that must be given.
        neutral: the value that computes what was computed before the parameter existed; it is left out of
            keys, so that a new parameter renames no stored result. ``None`` for parameters that were there at
            first.
        minimum, maximum: range of a number, ends included unless ``open_minimum``.
        choices: the allowed values of a ``str``.
        binary_choices: those of them that take variables of two categories only.
        lane: whether the trials of one cohort may differ in it (temperature, learning rate); a
            parameter that is not a lane parameter changes shapes or code and splits cohorts.
        multiple_of: what an ``int`` must be divisible by.
        idle_with: name and value of another parameter beside which this one plays no part.
        advice: what to do instead when a value is refused, or which values are usual.
        description: one line for documentation and forms.
    """

    name: str
    type: type[float] | type[int] | type[str]
    default: Value | None
    description: str
    minimum: float = -math.inf
    maximum: float = math.inf
    open_minimum: bool = False
    choices: tuple[str, ...] = ()
    binary_choices: tuple[str, ...] = ()
    lane: bool = False
    multiple_of: int = 1
    advice: str = ""
    neutral: Value | None = None
    idle_with: tuple[str, Value] | None = None

    def objection(self, value: float) -> str:
        """What is wrong with a number, as in "0 is out of range"; empty if nothing is.

        A sweep file and a function of Python refuse the same values with these words.
        """
        if not abs(value) < math.inf:  # nor NaN; torch.compile traces it, and no math.isfinite
            return "is not a finite number"
        if self.type is int and value != int(value):
            return "has a fraction"
        if value < self.minimum or value > self.maximum or (self.open_minimum and value == self.minimum):
            return OUT_OF_RANGE
        if self.type is int:
            return f"is not a multiple of {self.multiple_of}" if value % self.multiple_of else ""
        if 0 < abs(value) < SMALLEST_NUMBER:
            return f"underflows in float32, whose numbers begin at {SMALLEST_NUMBER:.3g}"
        return (
            f"overflows in float32, which ends at {LARGEST_NUMBER:.3g}" if abs(value) > LARGEST_NUMBER else ""
        )

    def plays_a_part(self, values: Mapping[str, Value]) -> bool:
        """Whether a change of it changes anything beside these values of the other parameters."""
        return self.idle_with is None or self.idle_with not in values.items()

    def range_text(self) -> str:
        """The allowed values in words, as error messages and documentation show them."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        return (
            f"{self._bounds()}, a multiple of {self.multiple_of}" if self.multiple_of > 1 else self._bounds()
        )

    def expected_text(self) -> str:
        """The type and the allowed values in words: "a number above 0"."""
        if self.type is str:
            return self.range_text()
        noun = "an integer" if self.type is int else "a number"
        return noun if self.range_text() == "any number" else f"{noun} {self.range_text()}"

    def _bounds(self) -> str:
        low, high = _plain(self.minimum), _plain(self.maximum)
        if math.isfinite(self.minimum) and math.isfinite(self.maximum):
            return f"{'above' if self.open_minimum else 'from'} {low} to {high}"
        if math.isfinite(self.minimum):
            return f"above {low}" if self.open_minimum else f"at least {low}"
        return f"at most {high}" if math.isfinite(self.maximum) else "any number"


def _plain(bound: float) -> str:
    """A bound without an exponent where it is whole: 2,147,483,647 rather than 2.14748e+09."""
    return f"{bound:,.0f}" if math.isfinite(bound) and bound == int(bound) else f"{bound:g}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Properties:
    """Declared facts about an estimator; code asks these, never the name.

    Attributes:
        kind: ``path`` (differentiates a surrogate of the one-hot sample), ``score`` (values of f only),
            ``score+grad`` (values and gradients of f) or ``exact`` (enumeration).
        unbiased: E[estimate] equals the exact gradient for every f.
        needs_grad: uses the gradient of f at its samples.
        needs_second_derivative: differentiates that gradient once more, as to tune itself.
        order: order of accuracy of the mean in the scale of f's curvature at temperature 1
            (1: exact for affine f, 2: exact for quadratic f); ``None`` where the notion does not apply.
        binary_only: takes variables of two categories only.
        deterministic: draws no samples; repeated calls give the same estimate.
        hard_forward: the forward value is exactly one-hot.
        sums_to_zero: the gradient of every variable sums to zero over its categories.
        min_samples: fewest evaluations of f per estimate.
    """

    kind: Kind
    unbiased: bool
    needs_grad: bool
    needs_second_derivative: bool = False
    order: int | None = None
    binary_only: bool = False
    deterministic: bool = False
    hard_forward: bool = True
    sums_to_zero: bool = True
    min_samples: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Citation:
    """Where an estimator was published. Text may hold LaTeX accents; it is printed as it stands.

    Attributes:
        key: BibTeX key.
        authors: as BibTeX wants them, ``Last, First and Last, First``.
        title, venue, year: ``venue`` is the proceedings, the journal, or ``arXiv:NUMBER``.
        kind: BibTeX entry type.
        url: where to read it.
    """

    key: str
    authors: str
    title: str
    venue: str
    year: int
    kind: Literal["inproceedings", "article", "misc"] = "inproceedings"
    url: str = ""

    def bibtex(self) -> str:
        """A BibTeX entry with the fields above."""
        venue = {"inproceedings": "booktitle", "article": "journal", "misc": "howpublished"}[self.kind]
        fields = {
            "author": self.authors,
            "title": f"{{{self.title}}}",
            venue: self.venue,
            "year": str(self.year),
            "url": self.url,
        }
        lines = [f"  {name} = {{{text}}}" for name, text in fields.items() if text]
        return f"@{self.kind}{{{self.key},\n" + ",\n".join(lines) + "\n}"


@dataclass(frozen=True, kw_only=True, slots=True)
class EstimatorInfo:
    """One line of the registry.

    Attributes:
        id: the name users write.
        title: the name pages show.
        parameters: declared hyper-parameters besides the optimizer's.
        properties: see :class:`Properties`.
        cost: evaluations of f per estimate, a formula in K (num_samples), n and V.
        equation: the estimate in plain mathematical text.
        citation: source.
        version: raised whenever the numbers that the function returns change; part of a trial's key.
        target: ``module:function``, imported on first use.
        contract: of plug-ins, the number that the package was written for
            (:data:`estimators.registry.CONTRACT`).
        state_target: like ``target``, for estimators that carry a state from call to call: what makes the
            first one.
    """

    id: str
    title: str
    parameters: tuple[Parameter, ...]
    properties: Properties
    cost: EvaluationCount
    equation: str
    citation: Citation
    version: int
    target: str
    state_target: str = ""
    contract: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.cost, EvaluationCount):  # a text, as in plug-ins of older versions
            raise TypeError(
                f"cost of {self.id!r} is {self.cost!r}, expected an estimators.EvaluationCount; "
                "estimators.evaluations has the usual ones, ONE and SAMPLES"
            )

    def parameter(self, name: str) -> Parameter | None:
        """The declared parameter of that name, or ``None``."""
        return next((p for p in self.parameters if p.name == name), None)

    def evaluations(
        self, values: Mapping[str, Value], *, variables: int, categories: int, separable: bool = False
    ) -> int:
        """Evaluations of f for an estimate with these hyper-parameters, defaults for those left out.

        Args:
            values: hyper-parameters by name.
            variables: V, number of variables drawn together.
            categories: n, of each.
            separable: f is a sum of one term per variable.
        """
        declared = self.parameter("num_samples")
        samples = 1 if declared is None else int(values.get("num_samples", declared.default or 1))
        sizes = Sizes(samples=samples, variables=variables, categories=categories, separable=separable)
        return self.cost.count(sizes)

    @property
    def temperature_range(self) -> tuple[float, float] | None:
        """Lowest and highest temperature accepted, or ``None`` for estimators without one."""
        temperature = self.parameter("temperature")
        return None if temperature is None else (temperature.minimum, temperature.maximum)

    @property
    def stateful(self) -> bool:
        """Whether the function takes ``state=`` and returns the next one with its estimate."""
        return bool(self.state_target)

    def load(self) -> Callable[..., Any]:
        """Import and return the function."""
        return _load(self.target)

    def load_initial_state(self) -> Callable[..., dict[str, Any]]:
        """Import and return what makes a first state; :func:`estimators.initial_state` calls it.

        Raises:
            ValueError: the estimator has no state.
        """
        if not self.stateful:
            raise ValueError(f"estimator {self.id!r} has no state; ask its property `stateful` first")
        return _load(self.state_target)


def _load(target: str) -> Callable[..., Any]:
    module, _, name = target.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function
