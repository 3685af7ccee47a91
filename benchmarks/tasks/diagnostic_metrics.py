"""Metrics of diagnostics: their names, and what pages say of them. Does not import torch."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.tasks.info import Goal, Metric

PREFIX = "gradient"
PARAMETERS = "parameters"
"""Stands where others have the name of a call: the gradient of the loss at the parameters."""

_KINDS: dict[str, tuple[str, Goal, str]] = {
    "norm": ("norm of the mean", "maximize", "Norm of the mean gradient over repeated draws."),
    "variance": ("variance", "minimize", "Sum over all components of the variance of a single draw."),
    "deviation": ("relative deviation", "minimize", "Standard deviation of a draw over the mean's norm."),
    "snr": ("signal to noise", "maximize", "Norm of the mean over the standard deviation of a draw."),
    "cosine": ("cosine", "maximize", "Cosine of mean and exact gradient; noise of the mean lowers it."),
    "bias": ("bias", "minimize", "Norm of mean less exact gradient over the norm of the exact one."),
    "cosine_corrected": (
        "cosine, noise-corrected",
        "maximize",
        "Cosine of expected and exact gradient; the expected one's norm from two halves of the draws.",
    ),
    "bias_corrected": (
        "bias, noise-corrected",
        "minimize",
        "Norm of expected less exact gradient over the exact one's; from two halves of the draws.",
    ),
}
_OF_THE_MEAN = ("norm", "variance", "deviation", "snr")


def metric_name(call: str, kind: str, other: str = "") -> str:
    """The name of a diagnostic metric, as in ``gradient.code.cosine``.

    Args:
        call: named call of ``expect``, or ``parameters``.
        kind: what is measured.
        other: the estimator that is measured, where it is not the one that trains: it stands at the end, as
            in ``gradient.code.cosine.reinmax``.
    """
    return ".".join([PREFIX, call, kind, *([other] if other else [])])


def diagnostic_metrics(calls: Iterable[str], others: Iterable[str] = ()) -> tuple[Metric, ...]:
    """What diagnostics may report.

    Args:
        calls: the task's named calls of ``expect``.
        others: estimators that are measured besides the one that trains.
    """
    names = [(call, kind) for call in calls for kind in _KINDS]
    names += [(PARAMETERS, kind) for kind in _OF_THE_MEAN]
    return tuple(_metric(call, kind, other) for other in ("", *others) for call, kind in names)


def diagnostic_metric(name: str) -> Metric | None:
    """The diagnostic metric of that name, of whatever call and estimator; ``None`` if it is none."""
    prefix, _, rest = name.partition(".")
    if prefix != PREFIX:
        return None
    before, _, last = rest.rpartition(".")
    call, _, kind = before.rpartition(".")
    return _known(before, last, "") or _known(call, kind, last)


def _known(call: str, kind: str, other: str) -> Metric | None:
    known = _OF_THE_MEAN if call == PARAMETERS else tuple(_KINDS)
    return _metric(call, kind, other) if call and kind in known else None


def _metric(call: str, kind: str, other: str) -> Metric:
    title, goal, description = _KINDS[kind]
    return Metric(
        name=metric_name(call, kind, other),
        title=f"Gradient at {call}: {title}" + (f", of {other}" if other else ""),
        unit="",
        goal=goal,
        split="train",
        description=f"{description} Of {other} at the parameters trained here." if other else description,
    )
