"""The pages of estimators: all of them, and one with its mathematics, certificate and citation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter
from markupsafe import Markup
from starlette.responses import HTMLResponse

from estimators import registry
from estimators.certification import picture
from estimators.certification.record import COMMON_PROBLEM, Certificate, Interval, Point, ProblemResult
from estimators.info import EstimatorInfo, Properties
from service.dependencies import PublishedDep
from service.errors import NotFound
from service.resources import catalogue, certificates
from service.resources.certificates import Stored
from service.resources.numbers import compact, text
from service.web.render import page

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

KINDS = {
    "path": "path: differentiates a surrogate of the one-hot sample",
    "score": "score: values of f only",
    "score+grad": "score with gradients of f",
    "exact": "enumeration",
}
CHIPS = {
    "as declared": "succeeded",
    "contradicts": "failed",
    "not detectable": "cancelled",
    "not declared": "",
}


@router.get("/estimators")
def estimators_page(published: PublishedDep) -> HTMLResponse:
    """All estimators with what their certificates say."""
    entries = [registry.get(id) for id in registry.available()]
    found = [(info, _stored(info, published)[0]) for info in entries]
    rows = [{"info": info, **_figures(stored.certificate if stored else None)} for info, stored in found]
    return page("estimators.html", section="estimators", rows=rows, problem=COMMON_PROBLEM)


@router.get("/estimators/{id}")
def estimator_page(id: str, published: PublishedDep) -> HTMLResponse:
    """One estimator."""
    info = certificates.entry(id)
    stored, missing = _stored(info, published)
    return page(
        "estimator.html",
        section="estimators",
        info=info,
        parameters=catalogue.estimator_entry(info).parameters,
        properties=properties(info.properties),
        bibtex=info.citation.bibtex(),
        missing=missing,
        certificate=stored.certificate if stored else None,
        **(_shown(stored) if stored else {}),
    )


def properties(declared: Properties) -> list[tuple[str, str]]:
    """Declared properties in words."""
    order = "–" if declared.order is None else f"{declared.order}, in the curvature of f at temperature 1"
    return [
        ("Kind", KINDS[declared.kind]),
        ("Bias", "unbiased" if declared.unbiased else "biased"),
        ("Order of accuracy", order),
        ("Gradient of f", "needed" if declared.needs_grad else "not needed"),
        ("Categories", "two" if declared.binary_only else "any number"),
        ("Samples", "one-hot" if declared.hard_forward else "relaxed"),
    ]


def _stored(info: EstimatorInfo, published: Path) -> tuple[Stored | None, str]:
    """The stored certificate, or why there is none."""
    try:
        return certificates.stored(info, published), ""
    except NotFound as error:
        return None, str(error)


def _figures(certificate: Certificate | None) -> dict[str, str]:
    """The columns of the list."""
    if certificate is None:
        return dict.fromkeys(("verdict", "order", "bias", "variance", "cosine", "evaluations", "time"), "–")
    point, cost = certificate.common, certificate.cost
    return {
        "verdict": "as declared" if certificate.passed else "contradicts",
        "order": "–" if certificate.order is None else text(certificate.order.value, 2),
        "bias": point.bias_text(),
        "variance": compact(point.variance.value),
        "cosine": text(point.cosine.value, 3),
        "evaluations": str(cost.evaluations),
        "time": text(cost.seconds_ratio.value, 1),
    }


def _shown(stored: Stored) -> dict[str, Any]:
    """What the page shows of a certificate."""
    certificate = stored.certificate
    return {
        "origin": _origin(stored),
        "picture": Markup(picture.svg(certificate)),  # numbers, and titles that it escapes
        "temperature_picture": Markup(picture.temperatures_svg(certificate)),
        "chips": CHIPS,
        "common_problem": COMMON_PROBLEM,
        "problems": [_problem(p) for p in certificate.problems],
        "temperatures": [
            {"temperature": f"{at.temperature:g}", **_point(at.point)} for at in certificate.temperatures
        ],
        "costs": _costs(certificate),
    }


def _origin(stored: Stored) -> str:
    if stored.published_at is None:
        return "Shipped with the package."
    return f"Published to this server on {stored.published_at:%Y-%m-%d at %H:%M} UTC, by whoever measured it."


def _problem(problem: ProblemResult) -> dict[str, str]:
    return {
        "id": problem.problem,
        "objective": problem.objective,
        "order": "–" if problem.order is None else _interval(problem.order, 2),
        **_point(next(p for p in problem.points if p.scale == 1.0)),
    }


def _point(point: Point) -> dict[str, str]:
    return {
        "bias": _interval(point.bias, 4),
        "variance": _interval(point.variance, 3),
        "cosine": _interval(point.cosine, 3),
        "draws": "enumerated" if point.exact else f"{point.draws:,}",
    }


def _costs(certificate: Certificate) -> list[tuple[str, str]]:
    cost = certificate.cost
    milliseconds = Interval(**{name: getattr(cost.seconds, name) * 1e3 for name in ("value", "low", "high")})
    shape = " × ".join(str(size) for size in cost.shape)
    return [
        ("Evaluations of f, counted", str(cost.evaluations)),
        ("Forward and backward", f"{_interval(milliseconds, 2)} ms on logits {shape}, one thread"),
        ("Time beside straight-through", f"{_interval(cost.seconds_ratio, 2)} times"),
        (
            "Peak memory",
            f"{text(cost.peak_bytes / 2**20, 2)} MiB, {text(cost.peak_ratio, 2)} times straight-through",
        ),
        ("Measured with", f"torch {certificate.torch}, {certificate.device}, seed {certificate.seed}"),
        ("Parameters", certificate.settings or "the defaults"),
    ]


def _interval(of: Interval, decimals: int) -> str:
    value = text(of.value, decimals)
    return value if of.low == of.high else f"{value} ({text(of.low, decimals)} to {text(of.high, decimals)})"
