"""Estimators that carry a state: unbiased at every step, better with time, lane by lane."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from torch import Tensor

from estimators import Estimate, EstimatorInfo, get, initial_state, surrogate
from tests.estimators.battery import ALL, lane_parameters
from tests.estimators.enumeration import by_inversion, enumerated
from tests.estimators.problems import degree, gradient, lanes_for, problem, seeded
from tests.support.noise import LaneNoise
from tests.support.statistics import assert_mean

State = dict[str, Tensor]

STATEFUL = [info for info in ALL if info.stateful]
LEARNING = [info for info in STATEFUL if info.parameter("learning_rate") is not None]
TUNED = [info for info in LEARNING if info.id != "nvil"]
every_stateful = pytest.mark.parametrize("info", STATEFUL, ids=lambda info: info.id)
every_learning = pytest.mark.parametrize("info", LEARNING, ids=lambda info: info.id)
every_tuned = pytest.mark.parametrize("info", TUNED, ids=lambda info: info.id)


def f(samples: Tensor) -> Tensor:
    """A cubic with an offset, which a baseline can take away."""
    return degree(3)(samples) + 3


def fast(info: EstimatorInfo) -> dict[str, float]:
    """A high learning rate, where there is one."""
    return {} if info.parameter("learning_rate") is None else {"learning_rate": 0.03}


def learned(info: EstimatorInfo, steps: int = 60) -> State:
    """The state of one lane after learning on a fixed problem."""
    rows, generator = problem(info).expand(1, 200, -1, -1).clone(), seeded(5)
    state: State = initial_state(info, rows, generator=generator)
    for _ in range(steps):
        state = gradient(info, rows, f, generator, state=state, **fast(info))[1].state
    return state


def estimates(info: EstimatorInfo, state: State, count: int = 40_000) -> Tensor:
    """Independent estimates ``(count, V, n)`` from a state that is held."""
    rows = problem(info).expand(1, count, -1, -1).clone()
    return gradient(info, rows, f, seeded(9), state=state)[0].squeeze(0)


@every_stateful
def test_unbiased_and_better_after_learning(info: EstimatorInfo) -> None:
    exact, _ = gradient(get("exact"), problem(info), f, None)
    first, last = estimates(info, initial_state(info, problem(info))), estimates(info, learned(info))
    assert_mean(last, exact, detects=0.5)
    assert last.var(0).sum() < 0.95 * first.var(0).sum()


@pytest.mark.parametrize("id", ["reinforce_ema", "nvil", "double_cv", "rodeo"])
@pytest.mark.parametrize("steps", [1, 2, 40])
def test_unbiased_at_every_step_by_enumeration(id: str, steps: int) -> None:
    info = get(id)
    logits, samples = problem(info), max(1, info.properties.min_samples)
    numbers = [cell for row in by_inversion(logits.softmax(-1), samples) for cell in row]
    state = learned(info, steps)
    mean, _ = enumerated(id, logits, f, numbers, (2, samples), state=state, num_samples=samples)
    exact, _ = gradient(get("exact"), logits, f, None)
    torch.testing.assert_close(mean, exact, rtol=0, atol=1e-11)


def one_call(info: EstimatorInfo, state: State, **parameters: Any) -> tuple[Tensor, Estimate]:
    rows = problem(info).expand(1, 7, -1, -1).clone()
    return gradient(info, rows, f, seeded(2), state=state, **parameters)


@every_stateful
def test_the_estimate_knows_nothing_of_its_own_update(info: EstimatorInfo) -> None:
    """Learning much or little from a call changes the next state and not a bit of the estimate."""
    state = learned(info, 3)
    name, values = ("decay", (0.0, 0.99)) if info.id == "reinforce_ema" else ("learning_rate", (1e-3, 0.9))
    (first, one), (second, other) = (one_call(info, state, **{name: value}) for value in values)
    assert torch.equal(first, second)
    assert any(not torch.equal(one.state[key], other.state[key]) for key in state)


@every_stateful
def test_the_state_given_stays_as_it_was(info: EstimatorInfo) -> None:
    state = learned(info, 3)
    before = {name: (value._version, value.clone()) for name, value in state.items()}
    _, estimate = one_call(info, state)
    assert estimate.state.keys() == state.keys()
    for name, (version, copy) in before.items():
        assert state[name]._version == version
        assert torch.equal(state[name], copy)
        assert not estimate.state[name].requires_grad


def test_moving_average_baseline_is_from_before_the_call() -> None:
    """No baseline at first; then the mean of the first call; then the average of that and the second."""
    rows, generator = lanes_for(get("reinforce_ema"), 2), seeded()
    state, baseline = None, torch.zeros(2, dtype=torch.float64)
    for call in range(3):
        grad, estimate = gradient(
            get("reinforce_ema"), rows, f, generator, state=state, num_samples=3, decay=0.75
        )
        assert estimate.samples is not None
        advantage = estimate.values - baseline[:, None]
        expected = (advantage[..., None, None] * (estimate.samples - rows.softmax(-1))).mean(0)
        torch.testing.assert_close(grad, expected, rtol=0, atol=1e-12)
        mean = estimate.values.mean((0, 2))
        baseline = mean if call == 0 else 0.75 * baseline + 0.25 * mean
        state = estimate.state
        torch.testing.assert_close(state["baseline"], baseline)


def test_variance_normalisation_divides_by_past_deviation() -> None:
    state = {**learned(get("nvil"), 5), "variance": torch.tensor([9.0], dtype=torch.float64)}
    plain, _ = one_call(get("nvil"), state)
    normalised, _ = one_call(get("nvil"), state, normalisation="on")
    torch.testing.assert_close(normalised, plain / 3)
    small, _ = one_call(get("nvil"), {**state, "variance": state["variance"] / 100}, normalisation="on")
    assert torch.equal(small, plain)
    with pytest.raises(ValueError, match="must be one of off, on, got 'yes'"):
        one_call(get("nvil"), state, normalisation="yes")


@every_tuned
def test_learning_follows_the_derivative_of_the_squared_estimate(info: EstimatorInfo) -> None:
    """The first moment after one call against central differences, for one entry of every parameter."""
    start = learned(info, 5)
    names = [name for name in start if f"{name}.first_moment" in start]
    state = {name: v if name in names else torch.zeros_like(v) for name, v in start.items()}
    _, estimate = one_call(info, state)

    def square(name: str, step: float) -> float:
        moved = state[name].clone()
        moved.view(-1)[0] += step
        grad, _ = one_call(info, {**state, name: moved}, learning_rate=0.0)
        return (grad.square().sum() / 7).item()

    for name in names:
        derivative = (square(name, 1e-5) - square(name, -1e-5)) / 2e-5
        moment = estimate.state[f"{name}.first_moment"].view(-1)[0].item()
        assert 10 * moment == pytest.approx(derivative, rel=1e-5, abs=1e-6), name


@every_learning
def test_a_learning_rate_of_zero_changes_no_parameter(info: EstimatorInfo) -> None:
    state = learned(info, 3)
    _, estimate = one_call(info, state, learning_rate=0.0)
    for name in state:
        if f"{name}.first_moment" in state:
            assert torch.equal(estimate.state[name], state[name])


@every_stateful
def test_without_a_state_the_first_one_is_made(info: EstimatorInfo) -> None:
    logits, parameters = lanes_for(info, 3), lane_parameters(info, 3)
    implicit, first = gradient(info, logits, f, LaneNoise((1, 2, 3)), **parameters)
    noise = LaneNoise((1, 2, 3))
    state = initial_state(info, logits, generator=noise, **parameters)
    explicit, second = gradient(info, logits, f, noise, state=state, **parameters)
    assert torch.equal(implicit, explicit)
    assert all(torch.equal(first.state[name], second.state[name]) for name in state)
    assert all(value.shape[0] == 3 for value in state.values())
    assert all(value.shape[0] == 1 for value in initial_state(info, logits[0, 0]).values())


def run(info: EstimatorInfo, seeds: tuple[int, ...], *, resume: int = 0) -> tuple[Tensor, State]:
    """Five calls for lanes known by their seeds; stopped, stored and resumed after ``resume`` calls."""
    logits = torch.cat([lanes_for(info, 9)[seed : seed + 1] for seed in seeds])
    values = lane_parameters(info, 9)
    parameters = {name: value[list(seeds)] for name, value in values.items()} | fast(info)
    noise = LaneNoise(seeds)
    state = initial_state(info, logits, generator=noise, **parameters)
    for call in range(5):
        if resume and call == resume:
            state = stored(state)
        grad, estimate = gradient(info, logits, f, noise, state=state, **parameters)
        state = estimate.state
    return grad, state


def stored(state: State) -> State:
    """Written lane by lane, read, and stacked again."""
    lanes = []
    for i in range(len(next(iter(state.values())))):
        file = io.BytesIO()
        torch.save({name: value[i].clone() for name, value in state.items()}, file)
        file.seek(0)
        lanes.append(torch.load(file, weights_only=True))
    return {name: torch.stack([lane[name] for lane in lanes]) for name in state}


@every_stateful
def test_a_lane_learns_the_same_alone_together_and_resumed(info: EstimatorInfo) -> None:
    """Resumed to the bit; alone up to the rounding of sums, whose order depends on their number."""
    grads, states = run(info, (4, 6, 8))
    alone, own = run(info, (6,))
    resumed, after = run(info, (4, 6, 8), resume=2)
    torch.testing.assert_close(alone[0], grads[1], rtol=1e-9, atol=1e-9)
    assert torch.equal(resumed, grads)
    for name, value in states.items():
        torch.testing.assert_close(own[name][0], value[1], rtol=1e-9, atol=1e-9)
        assert torch.equal(after[name], value)


@every_stateful
def test_a_diverged_lane_spoils_no_other_state(info: EstimatorInfo) -> None:
    logits = lanes_for(info, 3)
    state = initial_state(info, logits, generator=LaneNoise((1, 2, 3)))
    _, good = gradient(info, logits, f, LaneNoise((4, 5, 6)), state=state)
    logits[1] = torch.nan
    _, bad = gradient(info, logits, f, LaneNoise((4, 5, 6)), state=state)
    for name, value in good.state.items():
        assert torch.equal(bad.state[name][[0, 2]], value[[0, 2]])


def test_states_are_for_stateful_estimators() -> None:
    assert initial_state("rloo", torch.zeros(2, 3)) == {}
    with pytest.raises(ValueError, match="'rloo' has no state"):
        get("rloo").load_initial_state()
    with pytest.raises(TypeError, match="estimator 'rloo' has no parameter state"):
        surrogate("rloo", torch.zeros(2, 3), f, state={})
    with pytest.raises(TypeError, match="estimator 'rebar' has no parameter tau"):
        initial_state("rebar", torch.zeros(2, 3), tau=1.0)
