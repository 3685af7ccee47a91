"""Compiled steps: every form computes what eager steps compute; what is compiled, when, and what if not."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import pytest
import torch
from torch import Tensor
from torch._dynamo.utils import counters
from torch.fx.experimental.proxy_tensor import make_fx

import estimators
from benchmarks.engine import cohort as cohort_module
from benchmarks.engine.cohort import Cohort
from benchmarks.engine.compiled import programs
from benchmarks.engine.noise import LaneNoise, Purpose, seed_keys
from benchmarks.engine.step import Inputs, LaneStep, State
from benchmarks.spec import TrialSpec
from estimators._streams import draw_keys
from estimators._tracing import traced
from estimators.path._posterior import mean_jacobian_product
from tests.support.processes import in_new_process
from tests.support.trials import cohort, run, small_vae, trial

SHORT = 3
"""Steps of a replayed graph: epochs of five leave a rest."""


def replayed(launch: Callable[[], object]) -> Callable[[], object]:
    """In place of a CUDA graph: runs once while it is captured, then again at every replay."""
    launch()
    return launch


def as_graph(step: LaneStep, state: State, inputs: Inputs) -> programs.Program:
    return programs.Graph(step, state, inputs, capture=replayed, length=SHORT)


FORMS: dict[programs.Form, Callable[[LaneStep, State, Inputs], programs.Program]] = {
    "loop": programs.Loop,
    "steps": programs.Steps,
    "graph": as_graph,
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Bitwise statements hold on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def only(monkeypatch: pytest.MonkeyPatch, *forms: programs.Form) -> None:
    """Have these forms tried, in this order, and nothing remembered."""
    monkeypatch.setattr(programs, "_COMPILED", WeakKeyDictionary())
    monkeypatch.setattr(programs, "_forms", lambda state: {form: FORMS[form] for form in forms})


def mixed(task: str) -> list[TrialSpec]:
    return [
        trial(task, seed=0, lr=1e-2, temperature=1.0),
        trial(task, seed=1, lr=3e-3, temperature=1.3, optimizer="radam"),
        trial(task, seed=7, lr=1e-3, temperature=2.0, epochs=3),
    ]


def values(trials: Sequence[TrialSpec], **options: Any) -> list[list[tuple[str, int, float]]]:
    return curves_of(cohort(*trials, **options))


def curves_of(lanes: Cohort) -> list[list[tuple[str, int, float]]]:
    """Run to the end; no lane diverges."""
    curves: dict[int, list[tuple[str, int, float]]] = {}
    for segment in lanes.segments():
        for point in segment.points:
            curves.setdefault(point.lane, []).append((point.metric, point.epoch, point.value))
        assert all(end.diverged_at is None for end in segment.ended)
    return [curves[lane] for lane in sorted(curves)]


def assert_close(
    some: list[list[tuple[str, int, float]]], others: list[list[tuple[str, int, float]]], rel: float = 1e-4
) -> None:
    """Compiled and eager steps round differently; over a few dozen steps float32 stays within 1e-4."""
    for one, other in zip(some, others, strict=True):
        assert [p[:2] for p in one] == [p[:2] for p in other]
        assert [p[2] for p in one] == pytest.approx([p[2] for p in other], rel=rel)


@pytest.mark.parametrize(
    ("form", "task", "width"),
    [
        ("loop", "polynomial", 1),
        ("loop", "polynomial", 3),
        ("steps", "polynomial", 1),
        ("steps", "categorical_vae", 1),
        ("steps", "categorical_vae", 3),
        ("graph", "polynomial", 3),
        ("graph", "categorical_vae", 3),
    ],
)
def test_every_form_computes_what_eager_steps_compute(
    monkeypatch: pytest.MonkeyPatch, form: programs.Form, task: str, width: int
) -> None:
    """With short last minibatches in the VAE, which are not compiled."""
    only(monkeypatch, form)
    trials = mixed(task)
    lanes = cohort(*trials, compiled=True, group_width=width)
    curves = curves_of(lanes)
    assert lanes.execution.forms == (form,)
    assert lanes.execution.failures == ()
    assert lanes.execution.compile_seconds > 0
    assert_close(curves, values(trials, compiled=False))


BINARY = [id for id in estimators.available() if estimators.get(id).properties.binary_only]
EVERYWHERE = [id for id in estimators.available() if id not in BINARY]


@pytest.mark.parametrize(
    ("task", "estimator"),
    [("polynomial", id) for id in estimators.available()] + [("categorical_vae", id) for id in EVERYWHERE],
)
def test_every_estimator_is_recorded_as_it_runs(
    monkeypatch: pytest.MonkeyPatch, task: str, estimator: str
) -> None:
    """The recorded step, run as it was recorded: nothing in an estimator depends on numbers of one step."""
    monkeypatch.setattr(programs, "_compiled", lambda graph, *_: graph)
    only(monkeypatch, "steps")
    trials = [trial(task, estimator, seed=seed, latents=3) for seed in (0, 1)]
    lanes = cohort(*trials, compiled=True, group_width=2)
    curves = curves_of(lanes)
    assert lanes.execution.failures == ()
    assert lanes.execution.forms == ("steps",)
    assert_close(curves, values(trials, compiled=False, group_width=2), rel=1e-5)


def average_of_draws() -> tuple[float, float]:
    """The largest difference and the largest entry of an average over draws, compiled and eager."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    log_p = torch.randn(16, 3, generator=generator).log_softmax(-1)
    z = torch.eye(3)[torch.randint(3, (16,), generator=generator)]
    g = torch.randn(16, 3, generator=generator)
    key = draw_keys((16,), generator, device=log_p.device)
    inputs = (log_p, z, g, torch.full((16, 1), 0.5), key)

    def average(log_p: Tensor, z: Tensor, g: Tensor, tau: Tensor, key: Tensor) -> Tensor:
        return mean_jacobian_product(log_p, z, g, tau, key, range(20))

    with traced():
        graph = make_fx(average)(*inputs)
    eager = average(*inputs)
    options = programs._cpu_options() | {"cpp.simdlen": 256}
    compiled = torch.compile(graph, fullgraph=True, options=options)(*inputs)
    return (compiled - eager).abs().max().item(), eager.abs().max().item()


def test_compiled_loops_over_draws_end_where_they_should() -> None:
    """With vectors of AVX2's length; in a process of its own, which a loop without an end crashes."""
    difference, scale = in_new_process(average_of_draws)
    assert difference < 1e-5 * scale


RELAXED = ["stgs", "gumbel_softmax", "gumbel_rao", "reinmax_rao", "reinmax_cv"]
"""Estimators whose compiled loops have their own exponentials and logarithms."""


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("n", [2, 5])
@pytest.mark.parametrize("id", RELAXED)
def test_compiled_gradients_of_relaxed_samples_are_those_of_eager_ones(id: str, n: int, masked: bool) -> None:
    """In float32, for lanes of their own temperatures."""
    logits = 3 * torch.randn(2, 7, 4, n, generator=torch.Generator().manual_seed(1))
    if masked:
        logits[..., 0].masked_fill_(torch.arange(4) == 2, -torch.inf)
    weights = torch.randn(2, 7, 4, n, generator=torch.Generator().manual_seed(2))
    tau, keys = torch.tensor([0.5, 1.0]).view(2, 1, 1, 1), seed_keys([3, 4])
    estimator = getattr(estimators, id)

    def gradient(logits: Tensor, weights: Tensor, tau: Tensor, keys: Tensor) -> Tensor:
        leaf = logits.detach().requires_grad_()
        with torch.enable_grad():
            z = estimator(leaf, temperature=tau, generator=LaneNoise(keys, Purpose.TRAINING, step=5))
            return torch.autograd.grad((z * weights).sum(), leaf)[0]

    inputs = (logits, weights, tau, keys)
    with traced():
        graph = make_fx(gradient)(*inputs)
    compiled = torch.compile(graph, fullgraph=True, options=programs._cpu_options())
    with torch.no_grad():
        torch.testing.assert_close(compiled(*inputs), gradient(*inputs), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("task", ["polynomial", "categorical_vae"])
def test_a_compiled_trial_has_the_same_bits_whatever_its_lane_mates(task: str) -> None:
    trials = mixed(task)
    together = values(trials, compiled=True)
    assert [values([alone], compiled=True)[0] for alone in trials] == together


def rest_of(path: Path) -> list[tuple[str, int, float]]:
    """In a process of its own: go on from a file, to the end."""
    torch.set_num_threads(1)
    state = torch.load(path, weights_only=True)
    return values([LONGER], states={0: state}, compiled=True)[0]


LONGER = trial("categorical_vae", seed=1, lr=3e-3, optimizer="radam", epochs=4)


@pytest.mark.parametrize("stop_after", [1, 2, 3])
def test_stop_and_resume_elsewhere_gives_the_same_bits(tmp_path: Path, stop_after: int) -> None:
    """After an epoch of three minibatches, in the middle of the next, and before its last minibatch."""
    whole = values([LONGER], compiled=True)[0]
    ticks = itertools.count()
    first = cohort(LONGER, compiled=True, clock=lambda: 1.1 * next(ticks))
    seen = [
        (p.metric, p.epoch, p.value)
        for segment in itertools.islice(first.segments(), stop_after)
        for p in segment.points
    ]
    state = first.lane_state(0)
    assert state["step"] == [3, 5, 6][stop_after - 1]
    torch.save(state, tmp_path / "state.pt")
    rest = in_new_process(rest_of, tmp_path / "state.pt")
    assert seen + rest == whole


def test_a_divergence_is_found_at_the_same_step_and_leaves_others_alone() -> None:
    wild, tame = trial(seed=0, lr=1e38), trial(seed=1)
    _, eager = run(wild, tame, group_width=2, compiled=False)
    curves, ends = run(wild, tame, group_width=2, compiled=True)
    alone, _ = run(tame, wild, group_width=2, compiled=True)
    assert ends[0] == eager[0]
    assert ends[0].diverged_at is not None
    assert curves[1] == alone[0]


def test_a_process_compiles_a_program_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups of a cohort share it, and so do later cohorts of the same task: of equal width and estimator."""
    compiled = []
    build = programs._compile

    def counting(step: LaneStep, state: State, inputs: Inputs) -> programs.Compilation:
        compiled.append(1)
        return build(step, state, inputs)

    monkeypatch.setattr(programs, "_compile", counting)
    only(monkeypatch, "steps")
    task = small_vae(mixed("categorical_vae")[0])
    first = cohort(*mixed("categorical_vae"), task=task, compiled=True)
    list(first.segments())
    assert len(compiled) == 1
    assert first.execution.compile_seconds > 0
    again = cohort(*mixed("categorical_vae")[:2], task=task, compiled=True)
    list(again.segments())
    assert len(compiled) == 1
    assert again.execution.forms == ("steps",)
    assert again.execution.compile_seconds == 0
    run(mixed("categorical_vae")[0], task=small_vae(mixed("categorical_vae")[0]), compiled=True)
    assert len(compiled) == 2


def test_what_another_task_compiled_comes_from_the_cache_of_torch() -> None:
    """The one that processes share; a graph that inductor cannot keep would be compiled by every process."""
    spec = trial("categorical_vae")
    run(spec, task=small_vae(spec), compiled=True)
    counters["inductor"].clear()
    run(spec, task=small_vae(spec), compiled=True)
    found = {name: count for name, count in counters["inductor"].items() if name.startswith("fxgraph_cache")}
    assert found == {"fxgraph_cache_hit": 1}


def test_without_private_interfaces_steps_are_compiled_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def as_it_is(
        graph: Callable[..., Any], *, fullgraph: bool, options: dict[str, Any]
    ) -> Callable[..., Any]:
        asked.append((fullgraph, options["cpp.threads"]))
        return graph

    spec = trial("categorical_vae")
    expected, _ = run(spec, task=small_vae(spec), compiled=True)
    monkeypatch.delattr("torch._inductor.compile")
    monkeypatch.setattr(torch, "compile", as_it_is)
    curves, _ = run(spec, task=small_vae(spec), compiled=True)
    assert asked == [(True, 1)]
    assert [point[2] for point in curves[0]] == pytest.approx([point[2] for point in expected[0]], rel=1e-4)


def test_registered_tasks_of_equal_parameters_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a warm worker finds its programs again."""
    only(monkeypatch, "steps")
    list(cohort(trial(latents=9), compiled=True).segments())
    again = cohort(trial(latents=9, seed=1), compiled=True)
    list(again.segments())
    assert again.execution.compile_seconds == 0
    other = cohort(trial(latents=9, p=3.0), compiled=True)
    list(other.segments())
    assert other.execution.compile_seconds > 0


def refusing(message: str) -> Callable[[LaneStep, State, Inputs], programs.Program]:
    def build(step: LaneStep, state: State, inputs: Inputs) -> programs.Program:
        raise RuntimeError(message)

    return build


def test_a_form_that_fails_gives_way_to_the_next_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    forms = {"loop": refusing("backend='inductor' raised:\nno  such option\n"), "steps": programs.Steps}
    monkeypatch.setattr(programs, "_forms", lambda state: forms)
    spec = trial(latents=10)
    lanes = cohort(spec, compiled=True)
    list(lanes.segments())
    assert lanes.execution.forms == ("steps",)
    assert lanes.execution.failures == ("loop: RuntimeError: no  such option",)


def test_without_any_form_steps_are_eager_with_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    message = "raised:\nCppCompileError: failed\n/tmp/x.cpp:2:10: fatal error: omp.h: No such file\n"
    monkeypatch.setattr(programs, "_forms", lambda state: {"steps": refusing(message)})
    spec = trial(latents=11)
    lanes = cohort(spec, compiled=True)
    list(lanes.segments())
    assert lanes.execution.forms == ("eager",)
    (failure,) = lanes.execution.failures
    assert failure == "steps: RuntimeError: /tmp/x.cpp:2:10: fatal error: omp.h: No such file"
    assert values([spec], compiled=True) == values([spec], compiled=False)


@pytest.mark.parametrize(("epochs", "form"), [(2, "steps"), (1, "eager")])
def test_the_length_of_a_trial_decides(monkeypatch: pytest.MonkeyPatch, epochs: int, form: str) -> None:
    """Of the trial alone: a resumed trial and one in other company must get the same answer."""
    only(monkeypatch, "steps")
    monkeypatch.setattr(cohort_module, "COMPILED_FROM_STEPS", 10)
    lanes = cohort(trial(epochs=epochs), trial(epochs=epochs, seed=1))
    next(lanes.segments())
    assert lanes.execution.forms == (form,)
    assert lanes.execution.failures == ()


@pytest.mark.parametrize(("latents", "first"), [(8, "loop"), (100_000, "steps")])
def test_small_states_are_looped_over_inside_the_program(
    monkeypatch: pytest.MonkeyPatch, latents: int, first: str
) -> None:
    tried: list[str] = []

    def note(form: str) -> Callable[[LaneStep, State, Inputs], programs.Program]:
        def build(step: LaneStep, state: State, inputs: Inputs) -> programs.Program:
            tried.append(form)
            raise RuntimeError("only noted")

        return build

    for form in ("Loop", "Steps"):
        monkeypatch.setattr(programs, form, note(form.lower()))
    list(cohort(trial(latents=latents, batch_size=1, epochs=1), compiled=True).segments())
    assert tried == (["loop", "steps"] if first == "loop" else ["steps"])
