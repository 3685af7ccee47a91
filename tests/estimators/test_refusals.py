"""What every estimator refuses, with the message that it gives."""

from __future__ import annotations

import inspect
import math
import re
from typing import Any

import pytest
import torch

from benchmarks.sweep_file.issues import Issues, SpecError
from benchmarks.sweep_file.parameters import read_value
from estimators import EstimatorInfo, Parameter, bind
from estimators.info import LARGEST_NUMBER, SMALLEST_NUMBER
from tests.estimators.battery import ALL, every, every_tempered
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


def wrong_values(parameter: Parameter) -> list[Any]:
    """What a sweep file refuses for a parameter."""
    if parameter.type is str:
        return ["yes", "OFF", ""]
    wrong = [math.nan, math.inf, -math.inf, parameter.minimum - 1]
    if parameter.open_minimum:
        wrong.append(parameter.minimum)
    if math.isfinite(parameter.maximum):
        wrong.append(parameter.maximum + 1)
    if parameter.type is int:
        return [*wrong, 2.5, *([parameter.minimum + 1] if parameter.multiple_of > 1 else [])]
    return [*wrong, 1e-46, 1e-320, *([1e39, 1e308] if parameter.maximum == math.inf else [])]


DECLARED = [(info, parameter) for info in ALL for parameter in info.parameters]


@pytest.mark.parametrize(("info", "parameter"), DECLARED, ids=[f"{i.id}-{p.name}" for i, p in DECLARED])
def test_python_refuses_what_a_sweep_file_refuses(info: EstimatorInfo, parameter: Parameter) -> None:
    """The same values, with what came, what was expected and, where there is some, advice."""
    for value in wrong_values(parameter):
        issues = Issues()
        assert read_value(value, parameter, "", issues) is None
        with pytest.raises(SpecError, match=re.escape(parameter.expected_text())):
            issues.raise_if_any("")
        with pytest.raises(ValueError, match=f"{info.id}: {parameter.name} must be") as refusal:
            bind(info)(lanes_for(info, 2), F, **{parameter.name: value})
        assert parameter.expected_text() in str(refusal.value)
        assert parameter.advice in str(refusal.value)
    for value in (None, "2", True, [1.0]):
        if parameter.type is str and value == "2":
            continue
        with pytest.raises(TypeError, match=f"{info.id}: {parameter.name} must be"):
            bind(info)(lanes_for(info, 2), F, **{parameter.name: value})


LANE_VALUED = [(info, parameter) for info, parameter in DECLARED if parameter.lane]


@pytest.mark.parametrize(("info", "parameter"), LANE_VALUED, ids=[f"{i.id}-{p.name}" for i, p in LANE_VALUED])
def test_one_wrong_lane_is_refused(info: EstimatorInfo, parameter: Parameter) -> None:
    for value in wrong_values(parameter):
        good = 0.5 if parameter.objection(1.0) else 1.0
        lanes = torch.tensor([good, value], dtype=torch.float64).reshape(2, 1, 1, 1)
        with pytest.raises(ValueError, match=f"{info.id}: {parameter.name} must be"):
            bind(info)(lanes_for(info, 2), F, **{parameter.name: lanes})


@every_tempered
def test_any_temperature_above_zero_is_taken(info: EstimatorInfo) -> None:
    for temperature in (SMALLEST_NUMBER, 1e-30, 0.01, 1.0, 1e6, LARGEST_NUMBER):
        info.load()(lanes_for(info, 2), temperature=temperature)


@every_tempered
def test_temperatures_of_a_wrong_shape_are_refused(info: EstimatorInfo) -> None:
    with pytest.raises(ValueError, match=r"does not broadcast to \(2, 5, 2, 1\)"):
        info.load()(lanes_for(info, 2), temperature=torch.ones(3))  # three categories, not three lanes
    with pytest.raises(ValueError, match=r"shape \(4, 1, 1, 1\), .* does not broadcast to \(2, 5, 2, 1\)"):
        info.load()(lanes_for(info, 2), temperature=torch.ones(4, 1, 1, 1))  # there are two lanes
    with pytest.raises(ValueError, match="does not broadcast"):
        info.load()(lanes_for(info, 2), temperature=torch.ones(1, 1, 1, 1, 1))
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
