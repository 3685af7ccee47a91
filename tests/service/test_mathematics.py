"""Equations as MathML: every one of the registry, and the signs they are made of."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from estimators import registry
from service.web.mathematics import mathml, symbols


@pytest.mark.parametrize(
    ("equation", "markup"),
    [
        ("(1/K)", "<math><mfrac><mn>1</mn><mi>K</mi></mfrac></math>"),
        ("pi_tau", "<math><msub><mi>π</mi><mrow><mi>τ</mi></mrow></msub></math>"),
        ("f'_k", "<math><msubsup><mi>f</mi><mrow><mi>k</mi></mrow><mo>′</mo></msubsup></math>"),
        ("j != k", "<math><mi>j</mi></math> <math><mo>≠</mo></math> <math><mi>k</mi></math>"),
        ("x~", "<math><mover><mi>x</mi><mo>~</mo></mover></math>"),
        ("c a network", "<math><mi>c</mi></math> a network"),
        ("<script>", "<math><mo>⟨</mo></math>script<math><mo>⟩</mo></math>"),
        ("&", "<math><mo>&amp;</mo></math>"),
    ],
)
def test_signs(equation: str, markup: str) -> None:
    assert mathml(equation) == markup


@pytest.mark.parametrize("id", registry.available())
def test_every_equation_is_well_formed_and_loses_nothing(id: str) -> None:
    equation = registry.get(id).equation
    tree = ElementTree.fromstring(f"<p>{mathml(equation)}</p>")
    said = "".join(tree.itertext())
    assert re.sub(r"\W|_", "", said).count("softmax") == equation.count("softmax")
    assert [c for c in said if c.isdigit()] == [c for c in equation if c.isdigit()]
    for letters in re.findall(r"[A-Za-z]{2,}", equation):
        assert letters in said or letters in {"pi", "tau", "theta", "eta", "alpha", "beta", "dtheta", "sum"}


def test_symbols_are_explained_where_they_occur() -> None:
    assert [meaning for _, meaning in symbols("(1/tau) J(pi_tau) g")] == [
        "softmax(θ): probabilities of a variable",
        "softmax(θ/τ)",
        "temperature",
        "gradient of f at D",
        "J(p) = diag(p) − p pᵀ, the Jacobian of softmax",
    ]
