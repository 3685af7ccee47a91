"""The pages of estimators: all of them, and one with its mathematics, certificate and citation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fastapi import APIRouter
from markupsafe import Markup
from starlette.responses import HTMLResponse

from estimators import registry
from estimators.certification import picture
from estimators.certification.record import COMMON_PROBLEM, Certificate, Interval, Point, ProblemResult
from estimators.info import EstimatorInfo, Properties
from service.dependencies import AddressDep, EngineDep, PublishedDep
from service.errors import NotFound
from service.resources import catalogue, certificates, standing
from service.resources.certificates import Stored
from service.resources.colours import colours
from service.resources.numbers import compact, fillers, text
from service.web.mathematics import mathml, symbols
from service.web.render import page
from service.web.standing import standing_context

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


class Figure(NamedTuple):
    """A number of the list: as it is written, and as it is sorted by; ``None`` where there is none."""

    text: str
    value: float | None


NOTHING = Figure("–", None)
COLUMNS = ("order", "bias", "variance", "cosine", "evaluations", "time")


@router.get("/estimators")
def estimators_page(published: PublishedDep) -> HTMLResponse:
    """All estimators with what their certificates say."""
    entries = [registry.get(id) for id in registry.available()]
    looks = colours(info.id for info in entries)
    certified = [stored.certificate if (stored := _stored(info, published)[0]) else None for info in entries]
    rows = [
        {"info": info, "look": looks[info.id], "verdict": _verdict(certificate)}
        for info, certificate in zip(entries, certified, strict=True)
    ]
    columns = _columns([_figures(certificate) for certificate in certified])
    return page(
        "estimators.html",
        section="estimators",
        rows=rows,
        columns=columns,
        problem=COMMON_PROBLEM,
        broken=registry.broken(),
    )


@router.get("/estimators/{id}")
def estimator_page(engine: EngineDep, address: AddressDep, id: str, published: PublishedDep) -> HTMLResponse:
    """One estimator."""
    info = certificates.entry(id)
    stored, missing = _stored(info, published)
    return page(
        "estimator.html",
        section="estimators",
        info=info,
        parameters=catalogue.estimator_entry(info).parameters,
        equation=mathml(info.equation),
        symbols=symbols(info.equation),
        properties=properties(info.properties),
        bibtex=info.citation.bibtex(),
        missing=missing,
        certificate=stored.certificate if stored else None,
        address=address,
        **standing_context(standing.show_standing(engine, id)),
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


def _verdict(certificate: Certificate | None) -> str:
    if certificate is None:
        return ""
    return "as declared" if certificate.passed else "contradicts"


def _figures(certificate: Certificate | None) -> dict[str, Figure]:
    """The columns of numbers of the list."""
    if certificate is None:
        return dict.fromkeys(COLUMNS, NOTHING)
    point, cost, order = certificate.common, certificate.cost, certificate.order
    return {
        "order": NOTHING if order is None else Figure(text(order.value, 2), order.value),
        "bias": Figure(point.bias_text(), point.bias.value if point.detected else 0.0),
        "variance": Figure(compact(point.variance.value), point.variance.value),
        "cosine": Figure(text(point.cosine.value, 3), point.cosine.value),
        "evaluations": Figure(str(cost.evaluations), cost.evaluations),
        "time": Figure(text(cost.seconds_ratio.value, 1), cost.seconds_ratio.value),
    }


def _columns(rows: Sequence[Mapping[str, Figure]]) -> dict[str, list[tuple[Figure, str]]]:
    """Every column with what aligns its points."""
    columns = {name: [row[name] for row in rows] for name in COLUMNS}
    return {
        name: list(zip(column, fillers([figure.text for figure in column]), strict=True))
        for name, column in columns.items()
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
