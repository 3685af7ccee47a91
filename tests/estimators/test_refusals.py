"""What every estimator refuses, with the message that it gives."""

from __future__ import annotations

import inspect

import pytest
import torch

from estimators import EstimatorInfo, bind
from tests.estimators.battery import every, every_tempered
from tests.estimators.problems import degree, gradient, lanes_for, seeded

F = degree(3)


@every
def test_a_variable_without_possible_category_is_refused(info: EstimatorInfo) -> None:
    logits = lanes_for(info, 2)
    logits[1, 3, 0] = -torch.inf
    with pytest.raises(ValueError, match="1 of 20 variables have every category masked"):
        gradient(info, logits, F, seeded())


@every
@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64], ids=str)
def test_other_dtypes_are_refused(info: EstimatorInfo, dtype: torch.dtype) -> None:
    logits = lanes_for(info, 4).to(dtype)
    with pytest.raises(TypeError, match=f"logits are {dtype}"):
        bind(info)(logits, F)


@every_tempered
def test_temperatures_out_of_range_are_refused(info: EstimatorInfo) -> None:
    parameter = info.parameter("temperature")
    assert parameter is not None
    logits, fn = lanes_for(info, 2), info.load()
    below = parameter.minimum if parameter.open_minimum else parameter.minimum - 0.01
    for wrong in (
        below,
        -1.0,
        float("nan"),
        float("inf"),
        torch.tensor(below),
        torch.tensor([[[[1.5]]], [[[below]]]]),
    ):
        with pytest.raises(ValueError, match="temperature must be"):
            fn(logits, temperature=wrong)
    fn(logits, temperature=parameter.minimum + 0.01 * parameter.open_minimum)


@every_tempered
def test_temperatures_of_a_wrong_shape_are_refused(info: EstimatorInfo) -> None:
    with pytest.raises(ValueError, match=r"does not broadcast to \(2, 5, 2, 1\)"):
        info.load()(lanes_for(info, 2), temperature=torch.ones(3))  # three categories, not three lanes
    with pytest.raises(ValueError, match="detach"):
        info.load()(lanes_for(info, 2), temperature=torch.ones((), requires_grad=True))


@every
def test_unknown_parameters_are_refused(info: EstimatorInfo) -> None:
    with pytest.raises(TypeError, match=f"estimator '{info.id}' has no parameter temprature"):
        bind(info)(lanes_for(info, 2), F, temprature=2.0)


@every
def test_objectives_that_average_are_refused(info: EstimatorInfo) -> None:
    with pytest.raises(ValueError, match="average neither over samples nor over rows"):
        bind(info)(lanes_for(info, 2), lambda D: F(D).mean(-1))


@every
def test_signature_agrees_with_the_registry(info: EstimatorInfo) -> None:
    signature = inspect.signature(info.load()).parameters
    keywords = {name: p for name, p in signature.items() if p.kind is p.KEYWORD_ONLY}
    carried = {"state": None} if info.stateful else {}
    declared = {p.name: p.default for p in info.parameters}
    assert {name: p.default for name, p in keywords.items()} == {**declared, **carried, "generator": None}
    assert next(iter(signature)) == "logits"
