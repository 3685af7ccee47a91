"""The catalogue of built-in estimators as a page: what the registry says, in words. Does not import torch.

``python -m estimators.catalogue`` writes ``docs/reference/estimators.md``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from estimators._left_out import LEFT_OUT
from estimators.info import EstimatorInfo, Parameter, Properties
from estimators.path import entries as path
from estimators.score import entries as score

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "estimators.md"
BUILT_IN = (*score.ENTRIES, *path.ENTRIES)

_INTRODUCTION = """\
# Estimators

<!-- Written by `make catalogue` from the registry; edit estimators/*/entries*.py instead. -->

Every estimator that comes with Heunboard, as the registry declares it. `estimators.get(id)` returns the same
facts in Python; `estimators.available()` also lists what installed plug-ins add.

Notation: V variables of n categories, logits theta, pi = softmax(theta), pi_tau = softmax(theta/tau), D a
one-hot sample, f the objective, g its gradient at D, J(p) = diag(p) - p pᵀ, K samples (`num_samples`). Cost
is evaluations of f per estimate.

* **Kind**: `path` estimators return a one-hot sample that carries a gradient; `score` ones use values of f,
  `score+grad` ones its gradients too; `exact` enumerates.
* **Order**: 1 when the mean is exact for every affine f, 2 when it is for every quadratic f, at temperature
  1; a dash where no order is declared.
* **Stateful**: learns from call to call and carries a state."""

_KINDS = {
    "path": "Differentiates a surrogate of the one-hot sample.",
    "score": "Uses values of f only.",
    "score+grad": "Uses values and gradients of f.",
    "exact": "Enumerates all outcomes.",
}
_ORDERS = {1: "affine", 2: "quadratic"}


def markdown() -> str:
    """The whole page."""
    parts = (
        _INTRODUCTION,
        _table(
            ("Id", "Title", "Kind", "Unbiased", "Order", "Binary only", "Stateful", "Cost"),
            (_row(info) for info in BUILT_IN),
        ),
        *(_section(info) for info in BUILT_IN),
        "## Left out\n\nWidely cited, and not here:",
        _table(("Method", "Source", "Why it is left out"), LEFT_OUT),
    )
    return "\n\n".join(parts) + "\n"


def _row(info: EstimatorInfo) -> tuple[str, ...]:
    facts = info.properties
    return (
        f"[`{info.id}`](#{info.id})",
        info.title,
        f"`{facts.kind}`",
        _yes(facts.unbiased),
        "–" if facts.order is None else str(facts.order),
        _yes(facts.binary_only),
        _yes(info.stateful),
        info.cost.text,
    )


def _section(info: EstimatorInfo) -> str:
    parts = (
        f"## {info.id}\n\n{info.title}.",
        f"```equation\n{info.equation}\n```",
        " ".join(_sentences(info)),
        _parameters(info.parameters),
        f"Cost: {info.cost}. Version: {info.version}.",
        f"```bibtex\n{info.citation.bibtex()}\n```",
    )
    return "\n\n".join(parts)


def _sentences(info: EstimatorInfo) -> Iterator[str]:
    """The declared properties in words, what is usual left unsaid."""
    facts = info.properties
    yield _KINDS[facts.kind]
    yield _faithfulness(facts)
    if facts.needs_grad and facts.kind == "path":
        yield "Needs the gradient of f."
    if facts.deterministic:
        yield "Deterministic: draws no samples."
    if facts.binary_only:
        yield "Takes variables of two categories only."
    if not facts.hard_forward:
        yield "The forward value is soft: f must take points inside the simplex."
    if not facts.sums_to_zero:
        yield "The gradient of a variable need not sum to zero over its categories."
    if facts.min_samples > 1:
        yield f"Needs at least {facts.min_samples} evaluations of f."
    if info.stateful:
        yield "Learns from call to call: pass the state of the last estimate back."


def _faithfulness(facts: Properties) -> str:
    if facts.unbiased:
        return "Unbiased for every f." if facts.kind != "exact" else "Exact for every f."
    if facts.order is None:
        return "Biased; no order of accuracy is declared."
    family = _ORDERS[facts.order]
    return f"Biased; at temperature 1 its mean is exact for every {family} f (order {facts.order})."


def _parameters(parameters: tuple[Parameter, ...]) -> str:
    if not parameters:
        return "No parameters."
    rows = ((f"`{p.name}`", p.type.__name__, _default(p), p.range_text(), p.description) for p in parameters)
    return _table(("Parameter", "Type", "Default", "Range", "Meaning"), rows)


def _default(parameter: Parameter) -> str:
    return "required" if parameter.default is None else f"{parameter.default}"


def _yes(fact: bool) -> str:
    return "yes" if fact else "no"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A Markdown table; bars inside of cells are escaped."""
    lines = [_line(head), _line(("---",) * len(head)), *(_line(row) for row in rows)]
    return "\n".join(lines)


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    PAGE.write_text(markdown(), encoding="utf-8")
