"""Trial specifications and made-up data for tests of the lane engine."""

from __future__ import annotations

from typing import Any

import torch

import estimators
from benchmarks.datasets.loading import Images, random_images
from benchmarks.engine.cohort import Cohort, LaneEnd
from benchmarks.spec import Component, TrialSpec, optimizer_from_json
from benchmarks.tasks import registry as tasks
from benchmarks.tasks.bernoulli_vae.task import BernoulliVAE
from benchmarks.tasks.categorical_vae.task import PIXELS, CategoricalVAE
from benchmarks.tasks.info import Split
from benchmarks.tasks.listops.task import ListOps
from benchmarks.tasks.polynomial.task import Polynomial
from estimators.info import Parameter, Value

SMALL_POLYNOMIAL: dict[str, Value] = {"latents": 8, "batch_size": 16, "steps_per_epoch": 5, "epochs": 4}
SMALL_VAE: dict[str, Value] = {"categories": 3, "latents": 5, "batch_size": 20, "epochs": 2}
SMALL_LISTOPS: dict[str, Value] = {"max_tokens": 8, "hidden": 6, "batch_size": 8, "epochs": 2}
SMALL: dict[str, dict[str, Value]] = {
    "polynomial": SMALL_POLYNOMIAL,
    "categorical_vae": SMALL_VAE,
    "bernoulli_vae": {"latents": 6, "batch_size": 20, "epochs": 2},
    "listops": SMALL_LISTOPS,
}
MADE_UP: dict[Split, int] = {"train": 50, "valid": 20, "test": 30}
"""Images of the Bernoulli VAE."""


def component(id: str, version: int, declared: tuple[Parameter, ...], given: dict[str, Value]) -> Component:
    """All declared parameters, those given in place of the defaults."""
    values = {p.name: p.default for p in declared if p.default is not None} | given
    return Component(id=id, version=version, parameters=tuple(sorted(values.items())))


def trial(
    task: str = "polynomial",
    estimator: str = "reinmax",
    *,
    seed: int = 0,
    optimizer: str | dict[str, Any] = "adam",
    lr: float = 1e-2,
    temperature: float | None = None,
    **task_values: Value,
) -> TrialSpec:
    """A trial of a small task; the task's parameters are further keywords."""
    task_info, info = tasks.get(task), estimators.get(estimator)
    given: dict[str, Value] = {} if temperature is None else {"temperature": temperature}
    return TrialSpec(
        task=component(task, task_info.version, task_info.parameters, SMALL[task] | task_values),
        estimator=component(estimator, info.version, info.parameters, given),
        optimizer=optimizer_from_json(optimizer),
        lr=lr,
        seed=seed,
    )


def made_up_images(*, train: int = 50, test: int = 30) -> Images:
    """Random bytes in the shape of a data set; 50 images are two minibatches of 20 and a short one."""
    return random_images(train=train, test=test, pixels=PIXELS)


def small_vae(spec: TrialSpec) -> CategoricalVAE:
    """The VAE of a trial on made-up images."""
    return CategoricalVAE(spec.task.values, device=torch.device("cpu"), images=made_up_images())


def small_bernoulli_vae(spec: TrialSpec) -> BernoulliVAE:
    """The Bernoulli VAE of a trial on made-up images."""
    return BernoulliVAE(spec.task.values, device=torch.device("cpu"), made_up=MADE_UP)


def small_listops(spec: TrialSpec) -> ListOps:
    """ListOps of a trial on made-up sentences; 30 are three minibatches of 8 and a short one."""
    made_up: dict[Split, int] = {"train": 30, "valid": 20, "test": 20}
    return ListOps(spec.task.values, device=torch.device("cpu"), made_up=made_up)


def small_polynomial(spec: TrialSpec) -> Polynomial:
    """The polynomial task of a trial, of this call alone: with programs of its own."""
    return Polynomial(spec.task.values, device=torch.device("cpu"))


def cohort(*trials: TrialSpec, **options: Any) -> Cohort:
    """A cohort that needs no data set."""
    if trials[0].task.id == "categorical_vae":
        options.setdefault("task", small_vae(trials[0]))
    if trials[0].task.id == "bernoulli_vae":
        options.setdefault("task", small_bernoulli_vae(trials[0]))
    if trials[0].task.id == "listops":
        options.setdefault("task", small_listops(trials[0]))
    return Cohort(trials, **options)


def run(
    *trials: TrialSpec, **options: Any
) -> tuple[dict[int, list[tuple[str, int, float]]], dict[int, LaneEnd]]:
    """Run to the end: curves and ends by lane."""
    curves: dict[int, list[tuple[str, int, float]]] = {lane: [] for lane in range(len(trials))}
    ends: dict[int, LaneEnd] = {}
    for segment in cohort(*trials, **options).segments():
        for point in segment.points:
            curves[point.lane].append((point.metric, point.epoch, point.value))
        ends |= {end.lane: end for end in segment.ended}
    return curves, ends
