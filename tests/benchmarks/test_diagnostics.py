"""Measured gradients: by hand, against enumeration and theory, and that measuring changes nothing."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

import estimators
from benchmarks.engine import diagnostics
from benchmarks.engine.diagnostics import Subject
from benchmarks.engine.draw import LaneEstimator, States
from benchmarks.engine.noise import LaneNoise, Purpose, seed_keys
from benchmarks.spec import Component, Diagnostics, TrialSpec
from benchmarks.tasks.contract import Batch, Draw, Loss, Phase, Task, TaskBase, Variables
from benchmarks.tasks.polynomial.task import Polynomial
from estimators import Estimate, NoiseSource, Objective
from estimators.info import Value
from tests.support.draws import training
from tests.support.groups import stored
from tests.support.trials import cohort, run, small_vae, trial

PREFIX = "gradient."


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


class Outcomes(TaskBase):
    """E[f(D)] of one pair of outcomes at given logits, as the mean over copies.

    Args:
        f: the objective.
        copies: of the variable in a minibatch.
        phases: of a step; all have this loss.
    """

    steps_per_epoch = 1

    def __init__(
        self, f: Callable[[Draw, Tensor], Tensor], *, copies: int = 1, phases: tuple[Phase, ...] = (Phase(),)
    ) -> None:
        self._f, self.batch_size, self.phases = f, copies, phases

    def init(self, noise: NoiseSource, lanes: int) -> Variables:
        """Both outcomes alike."""
        return at(torch.zeros(lanes, 1, 2))

    def loss(self, phase: Phase, variables: Variables, batch: Batch, draw: Draw) -> Loss:
        """Mean over copies."""
        theta = variables.groups["model"]["theta"]
        logits = theta.unsqueeze(1).expand(-1, self.batch_size, -1, -1)
        loss = draw.expect("x", logits, lambda z: self._f(draw, z)).mean(1)
        return Loss(loss=loss, metrics={"loss": loss.detach()}, weight=1)


def at(theta: Tensor) -> Variables:
    return Variables(groups={"model": {"theta": theta}})


def bound(estimator: str, **static: Value) -> LaneEstimator:
    return LaneEstimator.bound(estimators.get(estimator), static)


def scripted(*gradients: Tensor) -> LaneEstimator:
    """An estimator whose gradients ``(lanes, copies, V, n)`` follow a script."""
    script = iter(gradients)

    def estimate(logits: Tensor, objective: Objective, **_: object) -> Estimate:
        value = (logits * next(script)).sum((-1, -2))
        return Estimate(surrogate=value, samples=None, values=value.detach(), evaluations=1)

    return dataclasses.replace(bound("reinforce"), estimate=estimate)


def measured(
    task: Task,
    variables: Variables,
    estimator: LaneEstimator,
    *,
    seeds: list[int],
    draws: int,
    lane: Mapping[str, Tensor] | None = None,
    states: States | None = None,
    order: Mapping[str, Tensor] | None = None,
    examples: int = 1,
    epoch: int = 1,
    others: Mapping[str, tuple[LaneEstimator, Mapping[str, Tensor]]] | None = None,
) -> dict[str, list[float]]:
    subject = Subject(
        task=task,
        variables=variables,
        estimator=estimator,
        lane=lane or {},
        keys=seed_keys(seeds),
        states=states or {},
        others=others or {},
    )
    what = Diagnostics(epochs=(epoch,), draws=draws, examples=examples)
    found = diagnostics.measured(subject, what, order=order or {}, epoch=epoch)
    return {name.removeprefix(PREFIX): value.tolist() for name, value in found.items()}


def four_times_the_first(draw: Draw, z: Tensor) -> Tensor:
    """f(D) = 4 D_0: at equal logits E f = 2 and the exact gradient is (1, -1)."""
    return 4 * z[..., 0].sum(-1)


A = [(2.0, 0.0), (0.0, -2.0), (3.0, 1.0), (-1.0, -1.0)]
"""Mean (1, -1/2), variances 5/2 and 5/4; halves (1, -1) and (1, 0)."""
B = [(2.0, 2.0), (2.0, 0.0), (4.0, -2.0), (0.0, 0.0)]
"""Mean (2, 0), variances 2 and 2; halves (2, 1) and (2, -1)."""
C = [(2.0, 0.0), (3.0, 1.0), (0.0, -2.0), (-1.0, -1.0)]
"""As A; halves (5/2, 1/2) and (-1/2, -3/2), whose product is -2."""
EXPECTED = {
    "norm": (math.sqrt(1.25), 2.0, math.sqrt(1.25)),
    "variance": (3.75, 4.0, 3.75),
    "deviation": (math.sqrt(3), 1.0, math.sqrt(3)),
    "snr": (1 / math.sqrt(3), 1.0, 1 / math.sqrt(3)),
    "cosine": (1.5 / math.sqrt(2.5), 1 / math.sqrt(2), 1.5 / math.sqrt(2.5)),
    "bias": (0.5 / math.sqrt(2), 1.0, 0.5 / math.sqrt(2)),
    "cosine_corrected": (1.5 / math.sqrt(2), 2 / math.sqrt(6), math.nan),
    "bias_corrected": (0.0, 1 / math.sqrt(2), 0.0),
}
"""Of the gradients A, B and C, where the exact one is (1, -1)."""


class TestByHand:
    def script(self) -> list[Tensor]:
        """By draw, of the three lanes."""
        return [torch.tensor(rows).view(3, 1, 1, 2) for rows in zip(A, B, C, strict=True)]

    def check(self, found: dict[str, list[float]], call: str, kinds: list[str]) -> None:
        for kind in kinds:
            assert found[f"{call}.{kind}"] == pytest.approx(EXPECTED[kind], abs=1e-6, nan_ok=True)

    def test_two_outcomes_four_draws(self) -> None:
        task, start = Outcomes(four_times_the_first), at(torch.zeros(3, 1, 2))
        found = measured(task, start, scripted(*self.script()), seeds=[0, 1, 2], draws=4)
        self.check(found, "x", list(EXPECTED))
        self.check(found, "parameters", ["norm", "variance", "deviation", "snr"])
        assert set(found) == {
            *(f"x.{kind}" for kind in EXPECTED),
            *(f"parameters.{kind}" for kind in ("norm", "variance", "deviation", "snr")),
        }

    def test_copies_of_variables_count_by_their_mean(self) -> None:
        """Rows of a minibatch without data: two that differ by 10 on both sides."""
        aside = torch.tensor([10.0, -10.0]).view(1, 2, 1, 1)
        draws = [gradient + aside for gradient in self.script()]
        task = Outcomes(four_times_the_first, copies=2)
        found = measured(task, at(torch.zeros(3, 1, 2)), scripted(*draws), seeds=[0, 1, 2], draws=4)
        self.check(found, "x", list(EXPECTED))
        self.check(found, "parameters", ["norm", "variance"])

    def test_numbers_that_cannot_be_told_are_not_reported(self) -> None:
        """An exact gradient of 0, and a mean of 0."""
        task = Outcomes(lambda draw, z: z.sum((-1, -2)))
        nothing = torch.zeros(1, 1, 1, 2)
        found = measured(task, at(torch.zeros(1, 1, 2)), scripted(nothing, nothing), seeds=[0], draws=2)
        assert {name for name, (value,) in found.items() if math.isfinite(value)} == {
            "x.norm", "x.variance", "parameters.norm", "parameters.variance",
        }  # fmt: skip


class TestEstimators:
    """On the polynomial task with few variables, whose gradient is known."""

    def task(self, latents: int, copies: int, **given: Value) -> Polynomial:
        values: dict[str, Value] = {"p": 2.0, "setting": "A", "target": 0.45, "steps_per_epoch": 5}
        values |= {"latents": latents, "batch_size": copies} | given
        return Polynomial(values, device=torch.device("cpu"), dtype=torch.float64)

    def theta(self, lanes: int, latents: int) -> Variables:
        return at(numbers(lanes, 2, latents).double())

    @pytest.mark.parametrize("setting", ["A", "B"])
    def test_exact_gradients_are_exact(self, setting: str) -> None:
        task, start = self.task(4, 16, setting=setting, p=1.5), self.theta(3, 4)
        found = measured(task, start, bound("exact"), seeds=[0, 1, 2], draws=3)
        for kind, value in {"cosine": 1, "cosine_corrected": 1, "bias": 0, "variance": 0}.items():
            assert found[f"x.{kind}"] == pytest.approx([value] * 3, abs=1e-12)
        assert found["x.bias_corrected"] == pytest.approx([0] * 3, abs=1e-6)  # root of a rounding error
        leaf = start.groups["model"]["theta"].clone().requires_grad_()
        (gradient,) = torch.autograd.grad(task.expected_loss(leaf).sum(), leaf)
        assert found["parameters.norm"] == pytest.approx(gradient.flatten(1).norm(dim=1).tolist(), rel=1e-9)
        assert found["x.norm"] == pytest.approx(found["parameters.norm"], rel=1e-9)

    @pytest.mark.parametrize("estimator", ["rloo", "reinmax"])
    def test_an_unbiased_estimator_has_a_corrected_cosine_near_one(self, estimator: str) -> None:
        """ReinMax is unbiased at p = 2, too.

        With e_1, e_2 the errors of both halves and e their mean, the corrected cosine is, to second order,

            1 - <e_1, e_2> / 2|g|^2 + <g, e>^2 / 2|g|^4

        <e_1, e_2> has a standard deviation of at most 2 v / R, v being the variance of a draw: 6 of them are
        the interval, for both.
        """
        draws = 200
        task, start = self.task(4, 64), self.theta(3, 4)
        found = measured(task, start, bound(estimator), seeds=[0, 1, 2], draws=draws)
        exact = measured(task, start, bound("exact"), seeds=[0, 1, 2], draws=2)
        for lane in range(3):
            noise = found["x.variance"][lane] / draws / exact["x.norm"][lane] ** 2
            assert noise < 0.02, "else the interval says little"
            assert abs(found["x.cosine_corrected"][lane] - 1) < 6 * noise
            assert found["x.bias_corrected"][lane] ** 2 < 6 * 2 * noise
            assert found["x.bias"][lane] ** 2 < 6 * noise

    def test_noise_lowers_the_cosine_and_not_the_corrected_one(self) -> None:
        """Means over 400 lanes that draw 64 times each; the corrected one's standard error is below 0.001.

        What remains of it, to the second order, is half the square of the error along g, over |g|^2.
        """
        lanes = 400
        theta = numbers(1, 2, 8).double().expand(lanes, -1, -1).clone()
        task = self.task(8, 1, setting="B")
        found = measured(task, at(theta), bound("rloo"), seeds=list(range(lanes)), draws=64)
        plain, corrected = (torch.tensor(found[f"x.{kind}"]) for kind in ("cosine", "cosine_corrected"))
        assert corrected.std() < 0.02
        assert plain.mean() < 0.985
        assert abs(corrected.mean() - 1) < 0.01

    def test_straight_through_stalls_where_theory_says(self) -> None:
        """At P(X = 1) = c its mean gradient is 0 for p = 2: all of the exact gradient is bias.

        The gradient of one copy at the first logit is q (1 - q) 2 (X - c), with a standard deviation of
        2 (q (1 - q))^(3/2), and minus that at the second; the exact one is q (1 - q) (1 - 2 c) there. Bounds
        are 5 standard errors.
        """
        copies, draws, q = 4096, 40, 0.45
        theta = torch.zeros(1, 2, 1, dtype=torch.float64)
        theta[:, 0] = math.log(q / (1 - q))
        found = measured(self.task(1, copies), at(theta), bound("st"), seeds=[0], draws=draws)
        spread, exact = 2 * (q * (1 - q)) ** 1.5, q * (1 - q) * (1 - 2 * q)
        stderr = spread / math.sqrt(copies * draws)
        assert 5 * stderr < 0.15 * exact
        assert found["x.norm"][0] < 5 * math.sqrt(2) * stderr
        assert abs(found["x.bias"][0] - 1) < 5 * stderr / exact
        assert abs(found["x.bias_corrected"][0] - 1) < 5 * stderr / exact
        variance = 2 * spread**2 / copies
        assert found["x.variance"][0] == pytest.approx(variance, rel=5 * math.sqrt(2 / draws))

    def test_lanes_have_the_diagnostics_that_they_have_alone(self) -> None:
        task, start = self.task(4, 16), self.theta(3, 4)
        tau = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
        together = measured(task, start, bound("stgs"), seeds=[3, 4, 5], draws=10, lane={"temperature": tau})
        for lane in range(3):
            alone = measured(
                task,
                at(start.groups["model"]["theta"][lane : lane + 1]),
                bound("stgs"),
                seeds=[3 + lane],
                draws=10,
                lane={"temperature": tau[lane : lane + 1]},
            )
            for name, values in together.items():
                assert values[lane] == pytest.approx(alone[name][0], rel=1e-9)
        assert len({round(value, 6) for value in together["x.variance"]}) == 3

    def test_others_have_the_diagnostics_that_they_have_alone(self) -> None:
        """At the same parameters, whoever trains there, with or without a state."""
        task, start = self.task(4, 16), self.theta(2, 4)
        tau = {"temperature": torch.tensor([0.5, 2.0], dtype=torch.float64)}
        others = {"stgs": (bound("stgs"), tau), "reinmax": (bound("reinmax"), {})}
        draw = training("reinforce_ema", seeds=[3, 4])
        task.loss(Phase(), start, None, draw)
        mine = functools.partial(
            measured, task, start, bound("reinforce_ema"), seeds=[3, 4], draws=40, states=draw.states
        )
        alone = {
            id: measured(task, start, estimator, seeds=[3, 4], draws=40, lane=lane)
            for id, (estimator, lane) in others.items()
        }
        of_others = {f"{name}.{id}": values for id, them in alone.items() for name, values in them.items()}
        assert mine(others=others) == mine() | of_others
        assert alone["stgs"]["x.cosine"] != alone["reinmax"]["x.cosine"]

    def test_epochs_and_draws_have_noise_of_their_own(self) -> None:
        task, start = self.task(4, 16), self.theta(1, 4)
        first, second = (
            measured(task, start, bound("rloo"), seeds=[3], draws=10, epoch=epoch) for epoch in (1, 2)
        )
        assert first["x.norm"] != second["x.norm"]
        assert first["x.variance"][0] > 0

    def test_too_many_outcomes_leave_what_needs_no_exact_gradient(self) -> None:
        def f(draw: Draw, z: Tensor) -> Tensor:
            return z[..., 0].sum(-1).square()

        found = measured(Outcomes(f), at(torch.zeros(1, 60, 2)), bound("rloo"), seeds=[0], draws=4)
        assert set(found) == {
            f"{call}.{kind}"
            for call, kind in itertools.product(("x", "parameters"), ("norm", "variance", "deviation", "snr"))
        }


class TestCalls:
    def test_states_are_used_and_kept_as_they_are(self) -> None:
        task, theta = Outcomes(four_times_the_first), numbers(2, 1, 2)
        draw = training("reinforce_ema", seeds=[0, 1])
        for _ in range(5):
            task.loss(Phase(), at(theta), None, draw)
        states = {
            name: {key: t.clone() for key, t in tensors.items()} for name, tensors in draw.states.items()
        }
        with_states = measured(
            task, at(theta), bound("reinforce_ema"), seeds=[0, 1], draws=6, states=draw.states
        )
        assert with_states != measured(task, at(theta), bound("reinforce_ema"), seeds=[0, 1], draws=6)
        for name, tensors in states.items():
            assert all(torch.equal(draw.states[name][key], tensor) for key, tensor in tensors.items())

    def test_a_phase_s_states_are_found_by_its_name(self) -> None:
        theta = numbers(2, 1, 2)
        draw = training("reinforce_ema", seeds=[0, 1])
        for _ in range(5):
            Outcomes(four_times_the_first).loss(Phase(), at(theta), None, draw)
        found = [
            measured(
                Outcomes(four_times_the_first, phases=phases),
                at(theta),
                bound("reinforce_ema"),
                seeds=[0, 1],
                draws=6,
                states={name: draw.states["x"]},
            )
            for phases, name in [
                ((Phase(),), "x"),
                ((Phase(name="first"), Phase(name="second")), "first.x"),
            ]
        ]
        assert found[0] == found[1]

    @pytest.mark.parametrize("estimator", ["exact", "rloo", "st"])
    def test_only_outer_calls_have_an_exact_gradient(self, estimator: str) -> None:
        """The logits of inner ones depend on what the outer ones drew."""

        def f(draw: Draw, z: Tensor) -> Tensor:
            logits = z * torch.tensor([1.0, -1.0])
            inner = draw.expect("inner", logits, lambda x: x[..., 0].sum(-1).square())
            return inner + z[..., 1].sum(-1)

        task, theta = Outcomes(f, copies=64), numbers(2, 1, 2)
        found = measured(task, at(theta), bound(estimator), seeds=[0, 1], draws=30)
        assert {name for name in found if "cosine" in name} == {"x.cosine", "x.cosine_corrected"}
        assert {"inner.norm", "inner.variance", "x.norm"} <= set(found)
        if estimator == "exact":
            assert found["x.cosine"] == pytest.approx([1, 1], abs=1e-6)
            assert found["x.bias"] == pytest.approx([0, 0], abs=1e-6)


class TestWithData:
    def test_the_exact_gradient_of_more_examples_than_are_enumerated_at_a_time(self) -> None:
        """Nine images of the VAE; `exact` must then agree with itself, image by image."""
        spec = trial("categorical_vae", "exact")
        task = small_vae(spec)
        start = task.init(LaneNoise(seed_keys([0, 1]), Purpose.INITIALISATION, step=0), 2)
        order = torch.stack([torch.arange(50), torch.arange(50).flip(0)])
        found = measured(
            task, start, bound("exact"), seeds=[0, 1], draws=2, order={"train": order}, examples=9
        )
        assert found["code.cosine"] == pytest.approx([1, 1], abs=1e-5)
        assert found["code.bias"] == pytest.approx([0, 0], abs=1e-4)
        assert found["code.norm"][0] != found["code.norm"][1]

    def test_the_minibatch_is_the_first_examples_of_the_order(self) -> None:
        spec = trial("categorical_vae", "exact")
        task = small_vae(spec)
        start = task.init(LaneNoise(seed_keys([0]), Purpose.INITIALISATION, step=0), 1)

        def norm(order: Tensor) -> list[float]:
            given = {"train": order.view(1, -1)}
            return measured(
                task, start, bound("exact"), seeds=[0], draws=2, order=given, examples=2
            )["code.norm"]  # fmt: skip

        whole = torch.arange(50)
        assert norm(whole) == norm(torch.cat([whole[:2], whole[2:].flip(0)]))
        assert norm(whole) != norm(whole.roll(1))


def diagnosed(spec: TrialSpec, *epochs: int, others: tuple[Component, ...] = ()) -> TrialSpec:
    diagnostics = Diagnostics(epochs=epochs, draws=4, examples=3, estimators=others)
    return dataclasses.replace(spec, diagnostics=diagnostics)


Point = tuple[str, int, float]


def split(curve: list[Point]) -> tuple[list[Point], list[Point]]:
    """Metrics of training, and those of gradients."""
    gradients = [point for point in curve if point[0].startswith(PREFIX)]
    return [point for point in curve if point not in gradients], gradients


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    """Bitwise statements hold on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class TestTrials:
    @pytest.mark.parametrize(
        ("task", "estimator", "compiled"),
        [
            ("polynomial", "reinmax", False),
            ("polynomial", "reinforce_ema", False),
            ("categorical_vae", "stgs", False),
            ("categorical_vae", "stgs", True),
        ],
    )
    def test_measuring_changes_no_bit_of_a_training(self, task: str, estimator: str, compiled: bool) -> None:
        plain = [trial(task, estimator, seed=seed, lr=1e-2 / (seed + 1)) for seed in (0, 1)]
        expected, _ = run(*plain, compiled=compiled)
        curves, _ = run(*[diagnosed(spec, 1, 2) for spec in plain], compiled=compiled)
        for lane in (0, 1):
            ordinary, gradients = split(curves[lane])
            assert ordinary == expected[lane]
            assert {epoch for _, epoch, _ in gradients} == {1, 2}

    @pytest.mark.parametrize("task", ["polynomial", "categorical_vae"])
    def test_estimators_are_compared_at_the_parameters_that_one_of_them_trains(self, task: str) -> None:
        """Two trials that differ in their estimator alone meet in the first epoch: nothing is trained yet."""
        st, stgs = trial(task, "st"), trial(task, "stgs", temperature=0.7)
        others = (st.estimator, stgs.estimator)
        plain, _ = run(st)
        mine, _ = run(diagnosed(st, 1, 2, others=others))
        theirs, _ = run(diagnosed(stgs, 1, 2, others=others))
        ordinary, gradients = split(mine[0])
        assert ordinary == plain[0]

        def of(id: str, curve: list[Point], epoch: int) -> dict[str, float]:
            return {
                name.removesuffix(f".{id}"): value
                for name, at_epoch, value in curve
                if at_epoch == epoch and name.startswith(PREFIX) and name.endswith(f".{id}")
            }

        own = {name: value for name, epoch, value in gradients if epoch == 2 and name.count(".") == 2}
        assert own
        assert own == of("st", gradients, 2)
        assert of("stgs", gradients, 1) == of("stgs", theirs[0], 1)
        assert of("stgs", gradients, 2) != of("stgs", theirs[0], 2)

    def test_they_are_reported_at_the_named_epochs_and_last_at_the_end(self) -> None:
        """Of lanes of four epochs and of three; the second's last epoch is none of those."""
        curves, ends = run(diagnosed(trial(), 2, 4), diagnosed(trial(seed=1, epochs=3), 2, 4))
        for lane, epochs in ((0, [2, 4]), (1, [2])):
            gradients = split(curves[lane])[1]
            assert sorted({epoch for _, epoch, _ in gradients}) == epochs
            last = {metric: value for metric, epoch, value in gradients if epoch == epochs[-1]}
            assert "gradient.x.cosine" in last
            assert last.items() <= ends[lane].metrics.items()
        _, ends = run(diagnosed(trial(epochs=1), 2, 4))
        assert not any(name.startswith(PREFIX) for name in ends[0].metrics)

    def test_lanes_beside_others_report_what_they_report_alone(self) -> None:
        specs = [diagnosed(trial(seed=seed, temperature=1 + seed / 4), 1, 3) for seed in range(3)]
        curves, _ = run(*specs, group_width=3)
        for lane, spec in enumerate(specs):
            alone, _ = run(spec)
            ours, theirs = split(curves[lane])[1], split(alone[0])[1]
            assert [p[:2] for p in ours] == [p[:2] for p in theirs]
            assert [p[2] for p in ours] == pytest.approx([p[2] for p in theirs], rel=1e-3)
        assert run(*specs)[0] == {lane: run(spec)[0][0] for lane, spec in enumerate(specs)}

    @pytest.mark.parametrize("segments", [1, 2, 3, 4, 5])
    def test_stop_and_resume_reports_each_once(self, segments: int) -> None:
        """Stopped between the measurement and the end of its epoch, and right at the start of one."""
        spec = diagnosed(trial("polynomial", "reinforce_ema"), 1, 2, 3)
        whole = run(spec)[0][0]
        ticks = itertools.count()
        first = cohort(spec, clock=lambda: 1.1 * next(ticks))
        seen = list(itertools.islice(first.segments(), segments))
        state = stored(first.lane_state(0))
        assert state["step"] == [5, 9, 10, 11, 12][segments - 1]
        rest = list(cohort(spec, states={0: state}).segments())
        assert [(p.metric, p.epoch, p.value) for s in [*seen, *rest] for p in s.points] == whole

    def test_they_describe_the_start_of_the_epoch(self) -> None:
        """At the start, where all lanes of one seed agree whatever their rates; later, not."""
        slow, fast = (diagnosed(trial(lr=lr), 1, 2) for lr in (1e-4, 1.0))
        curves, _ = run(slow, fast)
        norms = [[p[2] for p in curve if p[0] == "gradient.x.norm"] for curve in (curves[0], curves[1])]
        assert norms[0][0] == norms[1][0]
        assert norms[0][1] != norms[1][1]
