"""A user's own function as a registry entry, so that it can be certified like any other."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NoReturn

from estimators._adapter import bind
from estimators._types import Estimate
from estimators.evaluations import EvaluationCount, one, per_sample
from estimators.info import Citation, EstimatorInfo, Parameter, Properties, Value

OWN = Citation(key="own", authors="unknown", title="unpublished", venue="unpublished", year=0, kind="misc")


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalEstimator(EstimatorInfo):
    """An entry whose function is at hand instead of named by ``target``.

    Attributes:
        function: the function itself.
        settings: values of parameters other than their defaults, with which everything is measured.
    """

    function: Callable[..., Any]
    settings: Mapping[str, Value] = field(default_factory=dict)

    def load(self) -> Callable[..., Any]:
        """The function itself."""
        return self.function

    def bound(self) -> Callable[..., Estimate]:
        """:func:`estimators.surrogate` of it with the settings given."""
        return functools.partial(bind(self), **self.settings)

    @property
    def temperature(self) -> float:
        """The temperature of the settings or the default one; 1 for an estimator without one."""
        declared = self.parameter("temperature")
        value = self.settings.get("temperature", None if declared is None else declared.default)
        return float(value) if isinstance(value, int | float) else 1.0

    def at(self, temperature: float) -> LocalEstimator:
        """The same at another temperature."""
        return replace(self, settings={**self.settings, "temperature": temperature})


def describe(
    function: Callable[..., Any],
    *,
    id: str | None = None,
    kind: Literal["path", "score"] | None = None,
    like: EstimatorInfo | None = None,
) -> LocalEstimator:
    """An entry for ``function``, which declares what can be seen of it.

    Args:
        function: ``fn(logits, *, temperature, generator)`` or
            ``fn(logits, objective, *, num_samples, generator)``.
        id: what to call it; the name of the function otherwise.
        kind: seen from the signature otherwise: a second positional argument makes it ``score``.
        like: an estimator that it claims to be. Properties and id, which names the definition that it is held
            against, are taken from there. Without it a score function claims to be unbiased, and a path
            function to have one-hot samples.

    Raises:
        TypeError: the signature is that of neither kind, or not of the kind of ``like``.
    """
    signature = inspect.signature(function)
    detected = kind or _kind(signature)
    name = id or str(getattr(function, "__name__", type(function).__name__))
    if like is not None:
        if (detected == "path") != (like.properties.kind == "path"):
            raise TypeError(
                f"{name}{signature} is a {detected} estimator, {like.id} is one of kind "
                f"{like.properties.kind}; compare it with one of its own kind"
            )
        fields = {f.name: getattr(like, f.name) for f in dataclasses.fields(EstimatorInfo)}
        declared = _as(like.parameters, _parameters(signature))
        changes = {"title": f"{name}, as {like.title}", "parameters": declared}
        return LocalEstimator(**{**fields, **changes}, function=function)
    return LocalEstimator(
        id=name,
        title=name,
        parameters=_parameters(signature),
        properties=Properties(kind=detected, unbiased=detected == "score", needs_grad=True),
        cost=EvaluationCount(text="counted", count=one if detected == "path" else per_sample),
        equation="not given",
        citation=OWN,
        version=0,
        target="",
        state_target="the function" if "state" in signature.parameters else "",
        function=function,
    )


_KNOWN: Mapping[str, tuple[type[float] | type[int], float]] = {
    "temperature": (float, 0.0),
    "num_samples": (int, 1),
}
"""Type and minimum of the parameters that mean the same everywhere; a temperature is above its minimum."""

_OF_CERTIFY = ("estimator", "effort", "seed", "progress")
"""Arguments of :func:`estimators.certify.certify`; a parameter of such a name keeps its default."""


def _parameters(signature: inspect.Signature) -> tuple[Parameter, ...]:
    """Those of a known name, and all others whose default is a number."""
    found = signature.parameters.values()
    named = [p for p in found if p.name not in _OF_CERTIFY]
    return tuple(_declared(p) for p in named if p.name in _KNOWN or type(p.default) in (float, int))


def _declared(parameter: inspect.Parameter) -> Parameter:
    default = None if parameter.default is inspect.Parameter.empty else parameter.default
    whole = isinstance(default, int) and "float" not in str(parameter.annotation)
    type_, minimum = _KNOWN.get(parameter.name, (int if whole else float, -math.inf))
    return Parameter(
        name=parameter.name,
        type=type_,
        default=default,
        minimum=minimum,
        open_minimum=parameter.name == "temperature",
        description="As in the signature.",
    )


def _as(declared: tuple[Parameter, ...], own: tuple[Parameter, ...]) -> tuple[Parameter, ...]:
    """The parameters of the estimator that is claimed, with the defaults of the function, and its others."""
    defaults = {p.name: p.default for p in own}
    claimed = {p.name: replace(p, default=defaults.get(p.name, p.default)) for p in declared}
    return (*claimed.values(), *(p for p in own if p.name not in claimed))


def _kind(signature: inspect.Signature) -> Literal["path", "score"]:
    """By the number of positional arguments without a default, those with a known name aside."""
    parameters = signature.parameters.values()
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    required = [p.name for p in parameters if p.default is inspect.Parameter.empty and not _optional(p)]
    data = [p.name for p in parameters if p.kind in positional and p.name in required]
    missing = [name for name in required if name not in data or name in _KNOWN]
    if missing:
        _refuse(signature, f"give {', '.join(missing)} a default: a certificate is of the defaults")
    if len(data) not in (1, 2):
        _refuse(signature, f"it has {len(data)} arguments without a default, expected 1 or 2")
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
    if "generator" not in signature.parameters and not takes_any:
        _refuse(signature, "it lacks generator, which all of its noise must come from")
    return "path" if len(data) == 1 else "score"


def _optional(parameter: inspect.Parameter) -> bool:
    """Whether a call without it, or with the generator that is always given, goes through."""
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return parameter.kind in variable or parameter.name == "generator"


def _refuse(signature: inspect.Signature, why: str) -> NoReturn:
    raise TypeError(
        f"the function has the signature {signature}: {why}. Write "
        "fn(logits, *, temperature=1.0, generator=None) for a path estimator or "
        "fn(logits, objective, *, num_samples=2, generator=None) for a score estimator"
    )
