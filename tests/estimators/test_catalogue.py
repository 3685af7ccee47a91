"""The catalogue says what the registry says, and the page in the docs is up to date."""

from __future__ import annotations

import subprocess
import sys

import pytest

import estimators
from estimators import catalogue
from estimators._left_out import LEFT_OUT

HOW = "docs/reference/estimators.md is not what the registry says; run `make catalogue` and commit the page"


def section(id: str) -> str:
    """The part of the page on one estimator."""
    return catalogue.markdown().split(f"\n## {id}\n", 1)[1].split("\n## ", 1)[0]


def test_the_page_is_up_to_date() -> None:
    assert catalogue.PAGE.read_text(encoding="utf-8") == catalogue.markdown(), HOW


def test_it_has_what_the_registry_has() -> None:
    assert [info.id for info in catalogue.BUILT_IN] == [
        id for id in estimators.available() if estimators.get(id).target.startswith("estimators.")
    ]


@pytest.mark.parametrize("info", catalogue.BUILT_IN, ids=lambda info: info.id)
def test_a_section_holds_all_that_is_declared(info: estimators.EstimatorInfo) -> None:
    text = section(info.id)
    for fact in (
        info.title,
        info.equation,
        info.cost.text,
        f"Version: {info.version}.",
        info.citation.bibtex(),
    ):
        assert fact in text
    for parameter in info.parameters:
        assert f"| `{parameter.name}` | {parameter.type.__name__} | {parameter.default} | " in text
        assert f"| {parameter.range_text()} | {parameter.description} |" in text


@pytest.mark.parametrize(
    ("id", "words"),
    [
        ("exact", "Exact for every f."),
        ("exact", "draws no samples"),
        ("rloo", "Unbiased for every f."),
        ("rloo", "at least 2 evaluations"),
        ("disarm", "two categories only"),
        ("nvil", "Learns from call to call"),
        ("st", "exact for every affine f (order 1)"),
        ("reinmax", "exact for every quadratic f (order 2)"),
        ("stgs", "no order of accuracy"),
        ("gumbel_softmax", "forward value is soft"),
    ],
)
def test_properties_in_words(id: str, words: str) -> None:
    assert words in section(id)


@pytest.mark.parametrize(
    "line",
    [
        "| [`st`](#st) | Straight-through | `path` | no | 1 | no | no | 1 |",
        "| [`nvil`](#nvil) | NVIL | `score` | yes | – | no | yes | K, and a network |",
        "| [`arms`](#arms) | ARMS | `score` | yes | – | yes | no | K |",
    ],
)
def test_the_table_compares_them(line: str) -> None:
    assert line in catalogue.markdown().splitlines()


def test_what_is_left_out_has_a_reason() -> None:
    rows = section("Left out")
    assert all(f"| {method.name} | {method.source} | {method.reason} |" in rows for method in LEFT_OUT)


def test_it_needs_no_torch() -> None:
    code = "import sys, estimators.catalogue as c; c.markdown(); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
