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


def metric_name(call: str, kind: str) -> str:
    """The name of a diagnostic metric, as in ``gradient.code.cosine``."""
    return f"{PREFIX}.{call}.{kind}"


def diagnostic_metrics(calls: Iterable[str]) -> tuple[Metric, ...]:
    """What diagnostics may report for a task with these named calls of ``expect``."""
    names = [(call, kind) for call in calls for kind in _KINDS]
    names += [(PARAMETERS, kind) for kind in _OF_THE_MEAN]
    return tuple(_metric(call, kind) for call, kind in names)


def diagnostic_metric(name: str) -> Metric | None:
    """The diagnostic metric of that name, whatever call it speaks of; ``None`` if it is none."""
    prefix, _, rest = name.partition(".")
    call, _, kind = rest.rpartition(".")
    known = _OF_THE_MEAN if call == PARAMETERS else tuple(_KINDS)
    return _metric(call, kind) if prefix == PREFIX and call and kind in known else None


def _metric(call: str, kind: str) -> Metric:
    title, goal, description = _KINDS[kind]
    return Metric(
        name=metric_name(call, kind),
        title=f"Gradient at {call}: {title}",
        unit="",
        goal=goal,
        split="train",
        description=description,
    )
