"""A user's own function as a registry entry, so that it can be certified like any other."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from estimators.info import Citation, EstimatorInfo, Parameter, Properties

OWN = Citation(key="own", authors="unknown", title="unpublished", venue="unpublished", year=0, kind="misc")


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalEstimator(EstimatorInfo):
    """An entry whose function is at hand instead of named by ``target``."""

    function: Callable[..., Any]

    def load(self) -> Callable[..., Any]:
        """The function itself."""
        return self.function


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
        fields = {field.name: getattr(like, field.name) for field in dataclasses.fields(EstimatorInfo)}
        return LocalEstimator(**{**fields, "title": f"{name}, as {like.title}"}, function=function)
    return LocalEstimator(
        id=name,
        title=name,
        parameters=tuple(_declared(p) for p in signature.parameters.values() if p.name in _KNOWN),
        properties=Properties(kind=detected, unbiased=detected == "score", needs_grad=True),
        cost="counted",
        equation="not given",
        citation=OWN,
        version=0,
        target="",
        state_target="the function" if "state" in signature.parameters else "",
        function=function,
    )


_KNOWN = {"temperature": float, "num_samples": int}


def _declared(parameter: inspect.Parameter) -> Parameter:
    default = None if parameter.default is inspect.Parameter.empty else parameter.default
    return Parameter(
        name=parameter.name,
        type=_KNOWN[parameter.name],
        default=default,
        minimum=0,
        description="As in the signature.",
    )


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
