"""What is shown of specifications, also of those that other versions stored."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

import estimators
from benchmarks.spec import CellSpec, Component, TrialSpec, optimizer_from_json
from service.resources import describe, numbers
from tests.support.sweeps import small_sweep
from tests.support.trials import component


def spec() -> TrialSpec:
    return next(small_sweep().expand())


def task(**changes: Any) -> Component:
    """The task of :func:`spec`; ``None`` takes a parameter out."""
    values = {k: v for k, v in (spec().task.values | changes).items() if v is not None}
    return dataclasses.replace(spec().task, parameters=tuple(sorted(values.items())))


def test_an_optimizer_with_parameters_is_named_with_them() -> None:
    sgd = optimizer_from_json({"id": "sgd", "version": 1, "parameters": {"momentum": 0.9}})
    trial = dataclasses.replace(spec(), optimizer=sgd)
    assert describe.trial_label(trial) == "Straight-through temperature=1.0, sgd momentum=0.9 0.001, seed 0"
    setting = describe.setting(trial)
    assert (setting.optimizer, setting.optimizer_parameters) == ("sgd", {"momentum": 0.9})
    assert numbers.setting(**dict(setting)) == "τ 1 · SGD 1e−3, momentum 0.9"


def test_neutral_values_are_not_named() -> None:
    assert describe.setting(spec()).optimizer_parameters == {}
    assert describe.trial_label(spec()) == "Straight-through temperature=1.0, adam 0.001, seed 0"
    assert numbers.setting(**dict(describe.setting(spec()))) == "τ 1 · Adam 1e−3"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({}, "expectation draws, K 100, τ 1"),
        ({"expectation": "exact"}, "expectation exact, τ 1"),
        ({"expectation": "exact", "num_draws": 7}, "expectation exact, K 7, τ 1"),  # another cell
    ],
)
def test_a_parameter_that_plays_no_part_is_not_named(given: dict[str, Any], shown: str) -> None:
    """Of a mean over all draws, the number of draws."""
    info = estimators.get("gumbel_rao")
    rao = dataclasses.replace(spec(), estimator=component(info.id, info.version, info.parameters, given))
    assert numbers.setting(**dict(describe.setting(rao))) == f"{shown} · Adam 1e−3"
    assert ("num_draws" in describe.trial_label(rao)) == ("K" in shown)
    assert rao.estimator.to_json("estimator")["parameters"]["num_draws"] == given.get("num_draws", 100)


def test_a_board_of_this_version() -> None:
    assert describe.board_title(task()) == "Polynomial p = 2, c = 0.45, L = 4, batch 256, 10 steps"
    assert len(describe.references(task())) > 0


@pytest.mark.parametrize(
    "stored",
    [
        task(setting=None),
        task(setting="C"),
        task(p="two"),
        task(p=-1.0),
        task(epochs=None, steps_per_epoch=None),
        Component(id="gone", version=7, parameters=(("size", 3),)),
        Component(id="gone", version=7, parameters=()),
    ],
    ids=str,
)
def test_a_board_of_another_version_is_shown_by_what_it_says(stored: Component) -> None:
    title = describe.board_title(stored)
    assert title.startswith(f"{stored.id} version {stored.version}")
    assert all(f"{name} {value}" in title for name, value in stored.parameters)
    assert describe.references(stored) == ()
    assert describe.board_link("key", stored, trials=1, succeeded=0).task == stored.id
    assert describe.component(stored).parameters == stored.values


def test_a_cell_of_another_version() -> None:
    stored = CellSpec.from_json(
        {
            "task": {"id": "gone", "version": 7, "parameters": {}},
            "estimator": {"id": "gone_too", "version": 3, "parameters": {"sharpness": 2}},
            "optimizer": {"id": "lion", "version": 1, "parameters": {"beta": 0.5}},
            "lr": 0.5,
        }
    )
    assert describe.estimator_title(stored.estimator) == "gone_too"
    assert describe.trial_label(stored.seeded(2)) == "gone_too sharpness=2, lion beta=0.5 0.5, seed 2"
    assert numbers.setting(**dict(describe.setting(stored))) == "sharpness 2 · lion 0.5, beta 0.5"


def test_an_estimator_that_lacks_a_parameter() -> None:
    old = Component(id="gumbel_rao", version=1, parameters=(("temperature", 1.0),))
    stored = dataclasses.replace(spec().cell, estimator=old)
    assert describe.setting(stored).parameters == {"temperature": 1.0}
