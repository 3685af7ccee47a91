"""The page of a trial: its curves, what became of it, who computed it and where, how to compute it again."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import HTMLResponse

from service.dependencies import AddressDep, EngineDep
from service.resources import metrics, numbers, trials
from service.resources.colours import colours
from service.resources.labels import metric_header
from service.resources.plugin_code import mixed_code
from service.resources.schemas import Attempt, Curve, MetricInfo
from service.resources.trial_schemas import TrialDetail
from service.web.render import page

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

MetricQuery = Annotated[str, Query(max_length=200, description="Metric whose curve is shown.")]

CHIPS = {"claimed": "queued", "running": "running", "finished": "succeeded", "lost": "failed"}
"""State of an attempt -> chip of the style sheet."""

CAUSES = {
    "process": "its worker process died",
    "node": "its machine went",
    "silence": "it was not heard of for a lease",
    "dispatcher": "its dispatcher went",
}
SHOWN_POINTS = 12


@router.get("/trials/{key}")
def trial_page(engine: EngineDep, address: AddressDep, key: str, metric: MetricQuery = "") -> HTMLResponse:
    """One trial; the address holds which curve is shown."""
    trial = trials.show_trial(engine, key)
    attempts = trials.trial_attempts(engine, key).attempts
    found = trials.trial_curves(engine, key).curves
    return page(
        "trial.html", section="sweeps", address=address, **trial_context(trial, attempts, found, metric)
    )


def trial_context(
    trial: TrialDetail, attempts: Sequence[Attempt], found: Sequence[Curve], metric: str
) -> dict[str, Any]:
    """Everything that ``trial.html`` shows."""
    style = colours([trial.estimator])[trial.estimator]
    return {
        "trial": trial,
        "colour": style,
        "setting": numbers.setting(**dict(trial.setting)),
        "finals": _finals(trial),
        "facts": _facts(trial),
        "goes_on": trial.state in ("queued", "running"),
        "absurd": [(metrics.metric_info(trial.task, m).title, since) for m, since in trial.absurd.items()],
        "attempts": [_attempt(one) for one in attempts],
        "mixed_code": mixed_code(one.provenance for one in _of_result(attempts)),
        "events": [(one.at, one.kind.replace("_", " "), one.detail) for one in trial.events],
        "chips": CHIPS,
        **_curves(trial, found, metric, style),
    }


def _finals(trial: TrialDetail) -> list[tuple[str, str]]:
    """Final values, those that boards show first."""
    known = [metric.name for metric in metrics.known_metrics(trial.task)]
    names = sorted(trial.metrics, key=lambda name: (known.index(name) if name in known else len(known), name))
    return [
        (metric_header(metrics.metric_info(trial.task, name)), _digits(trial.metrics[name])) for name in names
    ]


def _digits(value: float | None) -> str:
    """Seven significant digits, which float32 holds."""
    return "–" if value is None else f"{value:.7g}".replace("-", "−")


def _facts(trial: TrialDetail) -> list[tuple[str, str]]:
    facts = [("Steps", f"{trial.steps_done:,} of {trial.steps:,}" if trial.ended_at else f"{trial.steps:,}")]
    if trial.seconds is not None:
        facts.append(("Time", numbers.duration(trial.seconds) or "–"))
    if trial.cost is not None and trial.cost.seconds_per_step is not None:
        facts.append(("Time per step", f"{1e3 * trial.cost.seconds_per_step:.3g} ms"))
    if trial.cost is not None and trial.cost.evaluations_per_step is not None:
        facts.append(("Evaluations of f per step", str(trial.cost.evaluations_per_step)))
    if trial.cost is not None and trial.cost.peak_memory_bytes is not None:
        facts.append(("Peak memory", f"{trial.cost.peak_memory_bytes / 2**20:,.0f} MiB, with all lanes"))
    return facts


def _attempt(attempt: Attempt) -> dict[str, Any]:
    """An attempt in words; its provenance by field."""
    provenance = {**(attempt.worker or {}), **(attempt.provenance or {})}
    return {
        "of": attempt,
        "cause": CAUSES.get(attempt.cause or "", attempt.cause),
        "duration": numbers.duration(_seconds(attempt.started_at, attempt.finished_at)),
        "provenance": [
            (name, _plain(value)) for name, value in provenance.items() if value not in (None, {}, [])
        ],
    }


def _of_result(attempts: Sequence[Attempt]) -> Sequence[Attempt]:
    """Those that the result is of: the last that began anew, and those that went on from it."""
    begun = [place for place, one in enumerate(attempts) if not one.resumed_from_step]
    return attempts[max(begun, default=0) :]


def _seconds(began: datetime | None, ended: datetime | None) -> float | None:
    return None if began is None or ended is None else (ended - began).total_seconds()


def _plain(value: Any) -> str:
    """A value of a provenance: lists and mappings in one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(one)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        return "; ".join(map(_plain, value))
    return f"{value:,.4g}" if isinstance(value, float) else str(value)


def _curves(trial: TrialDetail, found: Sequence[Curve], metric: str, style: str) -> dict[str, Any]:
    """The curve of one metric for the picture and as a table, and links to the others."""
    by_metric = {one.metric: one for one in found if one.epochs}
    if not by_metric:
        return {"curves": None, "others": []}
    infos = {name: metrics.metric_info(trial.task, name) for name in by_metric}
    default = metrics.default_rule(trial.task)[0] if metrics.known_metrics(trial.task) else ""
    chosen = next((name for name in (metric, default) if name in by_metric), next(iter(by_metric)))
    return {
        "curves": _picture(trial, by_metric[chosen], infos[chosen], style),
        "chosen": infos[chosen],
        "table": _table(by_metric[chosen]),
        "others": [
            {"name": name, "title": info.title, "current": name == chosen} for name, info in infos.items()
        ],
    }


def _picture(trial: TrialDetail, curve: Curve, info: MetricInfo, style: str) -> dict[str, Any]:
    """One line, in the form of those of a board."""
    line = {
        "estimator": trial.estimator,
        "title": f"{trial.title}, seed {trial.seed}",
        "short": trial.estimator,
        "colour": style,
        "epochs": curve.epochs,
        "mean": [value if value is not None and math.isfinite(value) else None for value in curve.values],
        "sd": [None] * len(curve.epochs),
        **_per_epoch(trial),
    }
    return {"unit": metric_header(info), "lines": [line]}


def _per_epoch(trial: TrialDetail) -> dict[str, float]:
    """What an epoch took, as far as it is known."""
    cost = trial.cost
    if cost is None:
        return {}
    each = {"evaluations": cost.evaluations_per_step, "seconds": cost.seconds_per_step}
    return {f"{name}_per_epoch": value * cost.steps_per_epoch for name, value in each.items() if value}


def _table(curve: Curve) -> list[tuple[int, str]]:
    """About a dozen evenly spaced epochs, the last one among them."""
    stride = -(-len(curve.epochs) // SHOWN_POINTS)
    rows = list(zip(curve.epochs, curve.values, strict=True))[::-stride][::-1]
    return [(epoch, numbers.five_digits(value)) for epoch, value in rows]
