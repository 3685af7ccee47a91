"""Compiled steps: every form computes what eager steps compute; what is compiled, when, and what if not."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor
from torch._dynamo.utils import counters
from torch.fx.experimental.proxy_tensor import make_fx

import estimators
from benchmarks.engine import cohort as cohort_module
from benchmarks.engine.batches import StepShape
from benchmarks.engine.cohort import Cohort
from benchmarks.engine.compiled import forms, inductor, recording, tree
from benchmarks.engine.compiled.compiler import Compiler
from benchmarks.engine.compiled.forms import Build, Form, Program
from benchmarks.engine.compiled.recording import Make, in_process
from benchmarks.engine.noise import LaneNoise, Purpose, seed_keys
from benchmarks.engine.step import Inputs, LaneStep, State
from benchmarks.spec import TrialSpec
from estimators._streams import draw_keys
from estimators._tracing import is_traced, traced
from estimators.path import _two_categories
from estimators.path._posterior import mean_jacobian_product
from tests.support.processes import in_new_process
from tests.support.trials import cohort, run, small_vae, trial

SHORT = 3
"""Steps of a replayed graph: epochs of five leave a rest."""


def replayed(launch: Callable[[], object]) -> Callable[[], object]:
    """In place of a CUDA graph: runs once while it is captured, then again at every replay."""
    launch()
    return launch


def as_graph(step: LaneStep, shape: StepShape, state: State, inputs: Inputs, make: Make) -> Program:
    return forms.Graph(step, shape, state, inputs, make, capture=replayed, length=SHORT)


FORMS: dict[Form, Build] = {"loop": forms.Loop, "steps": forms.Steps, "graph": as_graph}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Bitwise statements hold on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def trying(builds: Mapping[Form, Build]) -> Compiler:
    """A compiler that tries these forms, in this order, and remembers nothing yet."""
    return Compiler(forms=lambda state: builds)


def only(form: Form) -> Compiler:
    return trying({form: FORMS[form]})


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
def test_every_form_computes_what_eager_steps_compute(form: Form, task: str, width: int) -> None:
    """With short last minibatches in the VAE, which are not compiled."""
    trials = mixed(task)
    lanes = cohort(*trials, compiled=True, group_width=width, compiler=only(form))
    curves = curves_of(lanes)
    assert lanes.execution.forms == (form,)
    assert lanes.execution.failures == ()
    assert lanes.execution.compile_seconds > 0
    assert_close(curves, values(trials, compiled=False))


def test_compiled_means_over_all_draws_are_those_of_eager_steps() -> None:
    trials = [exact_rao(seed=seed, temperature=tau) for seed, tau in enumerate((0.4, 1.3))]
    assert_close(values(trials, compiled=True, compiler=only("loop")), values(trials, compiled=False))


@pytest.mark.parametrize("width", [1, 2])
def test_recordings_take_an_integral_for_each_outcome_and_not_for_each_copy(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copies of the polynomial task share their logits, and a recording sees it: 8 variables, 2 outcomes."""
    taken = set()
    integral = _two_categories._integral

    def counted(log_p_j: Tensor, p_i: Tensor, tau: Tensor) -> Tensor:
        taken.add((is_traced(), p_i.numel()))
        return integral(log_p_j, p_i, tau)

    monkeypatch.setattr(_two_categories, "_integral", counted)
    trials = [exact_rao(seed=seed, temperature=tau) for seed, tau in enumerate((0.4, 1.3))]
    values(trials, compiled=True, group_width=width, compiler=trying({"steps": recorded_only}))
    assert taken == {(True, width * 8 * 2), (False, width * 8 * 2)}


def recorded_only(step: LaneStep, shape: StepShape, state: State, inputs: Inputs, make: Make) -> Program:
    """Records a step and compiles nothing: steps are then done one by one."""

    def refuse(record: recording.Record) -> recording.Call:
        record()
        raise RuntimeError("recorded, which is all that is wanted")

    return forms.Steps(step, shape, state, inputs, refuse)


def exact_rao(**given: Any) -> TrialSpec:
    """A trial of Gumbel-Rao with the mean over all draws."""
    spec = trial("polynomial", "gumbel_rao", **given)
    parameters = tuple((spec.estimator.values | {"expectation": "exact"}).items())
    return replace(spec, estimator=replace(spec.estimator, parameters=parameters))


class Recorded:
    """Steps as they were recorded, not compiled."""

    form: Form = "steps"

    def __init__(
        self, step: LaneStep, shape: StepShape, state: State, inputs: Inputs, make: Make = in_process
    ) -> None:
        def one_step(*tensors: Tensor) -> tuple[Tensor, ...]:
            return tree.tensors(step(*tree.split(tensors, state, inputs), shape=shape, in_place=True))

        examples = [*tree.tensors(tree.copied(state)), *tree.tensors(inputs)]
        self._graph = inductor.recorded(one_step, examples)

    def advance(self, state: State, inputs: Inputs, count: int) -> State:
        """One after the other."""
        for _ in range(count):
            done = self._graph(*tree.tensors(state), *tree.tensors(inputs))
            state = tree.like(state, iter(done))
        return state


BINARY = [id for id in estimators.available() if estimators.get(id).properties.binary_only]
EVERYWHERE = [id for id in estimators.available() if id not in BINARY]


@pytest.mark.parametrize(
    ("task", "estimator"),
    [("polynomial", id) for id in estimators.available()] + [("categorical_vae", id) for id in EVERYWHERE],
)
def test_every_estimator_is_recorded_as_it_runs(task: str, estimator: str) -> None:
    """The recorded step, run as it was recorded: nothing in an estimator depends on numbers of one step."""
    trials = [trial(task, estimator, seed=seed, latents=3) for seed in (0, 1)]
    lanes = cohort(*trials, compiled=True, group_width=2, compiler=trying({"steps": Recorded}))
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
    options = inductor.cpu_options() | {"cpp.simdlen": 256}
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
    compiled = torch.compile(graph, fullgraph=True, options=inductor.cpu_options())
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


def test_a_compiler_makes_a_program_once() -> None:
    """Groups of a cohort share it, and so do later cohorts of the same task: of equal width and estimator."""
    compiled = []

    def counted(step: LaneStep, shape: StepShape, state: State, inputs: Inputs, make: Make) -> Program:
        compiled.append(1)
        return forms.Steps(step, shape, state, inputs, make)

    compiler = trying({"steps": counted})
    task = small_vae(mixed("categorical_vae")[0])
    first = cohort(*mixed("categorical_vae"), task=task, compiled=True, compiler=compiler)
    list(first.segments())
    assert len(compiled) == 1
    assert first.execution.compile_seconds > 0
    again = cohort(*mixed("categorical_vae")[:2], task=task, compiled=True, compiler=compiler)
    list(again.segments())
    assert len(compiled) == 1
    assert again.execution.forms == ("steps",)
    assert again.execution.compile_seconds == 0
    other = small_vae(mixed("categorical_vae")[0])
    run(mixed("categorical_vae")[0], task=other, compiled=True, compiler=compiler)
    assert len(compiled) == 2
    compiler.forget(task)
    run(mixed("categorical_vae")[0], task=task, compiled=True, compiler=compiler)
    assert len(compiled) == 3


def test_evaluations_are_known_where_a_program_was_there_before() -> None:
    """A lane that is resumed with a program from memory does no step as it is."""
    spec, compiler = trial(estimator="rloo"), trying({"steps": Recorded})
    first = cohort(spec, compiled=True, compiler=compiler)
    assert first.execution.evaluations == 0
    next(first.segments())
    assert first.execution.evaluations == 4
    state = first.lane_state(0)
    again = cohort(spec, compiled=True, compiler=compiler, states={0: state})
    next(again.segments())
    assert again.execution.compile_seconds == 0
    assert again.execution.evaluations == 4


def test_cohorts_of_a_process_share_a_compiler() -> None:
    spec = mixed("categorical_vae")[0]
    task = small_vae(spec)
    seconds = []
    for _ in range(2):
        lanes = cohort(spec, task=task, compiled=True)
        list(lanes.segments())
        seconds.append(lanes.execution.compile_seconds)
    assert seconds[0] > 0
    assert seconds[1] == 0


def test_what_another_task_compiled_comes_from_the_cache_of_torch() -> None:
    """The one that processes share; a graph that inductor cannot keep would be compiled by every process."""
    spec = trial("categorical_vae")
    run(spec, task=small_vae(spec), compiled=True)
    counters["inductor"].clear()
    run(spec, task=small_vae(spec), compiled=True)
    found = {name: count for name, count in counters["inductor"].items() if name.startswith("fxgraph_cache")}
    assert found == {"fxgraph_cache_hit": 1}


def test_without_private_interfaces_steps_are_compiled_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the public way, which is told the same."""
    asked = []
    public = inductor.publicly_compiled

    def noting(graph: Callable[..., Any], options: dict[str, Any]) -> Callable[..., Any]:
        asked.append(options)
        return public(graph, options)

    spec = trial("categorical_vae")
    expected, _ = run(spec, task=small_vae(spec), compiled=True, compiler=only("steps"))
    monkeypatch.delattr("torch._inductor.compile")
    monkeypatch.setattr(inductor, "publicly_compiled", noting)
    lanes = cohort(spec, compiled=True, compiler=only("steps"))
    curves = curves_of(lanes)
    assert asked == [inductor.cpu_options()]
    assert asked[0]["cpp.threads"] == 1
    assert (lanes.execution.forms, lanes.execution.failures) == (("steps",), ())
    assert_close(curves, [expected[0]])


def test_both_ways_to_compile_agree() -> None:
    """A function with noise, an update in place and a sum, by the private interface and by the public one."""
    keys, weight = seed_keys([3, 4]), torch.linspace(-1, 1, 2 * 5 * 7).view(2, 5, 7)

    def function(keys: Tensor, weight: Tensor, total: Tensor) -> None:
        noise = LaneNoise(keys, Purpose.TRAINING, step=2)
        u = noise.uniform((2, 5, 7), dtype=torch.float32, device=keys.device)
        total.add_((weight * u.log()).softmax(-1).square().sum((1, 2)))

    def after(call: Callable[..., Any]) -> Tensor:
        total = torch.ones(2)
        for _ in range(3):
            call(keys, weight, total)
        return total

    graphs = [inductor.recorded(function, [keys, weight, torch.ones(2)]) for _ in range(2)]
    private = inductor.compiled(graphs[0], [keys, weight, torch.ones(2)], cpu=True)
    public = inductor.publicly_compiled(graphs[1], inductor.cpu_options())
    expected = after(function)
    assert (expected > 1.1).all()
    torch.testing.assert_close(after(private), expected, rtol=1e-5, atol=0)
    torch.testing.assert_close(after(public), after(private), rtol=1e-6, atol=0)


def test_registered_tasks_of_equal_parameters_are_one() -> None:
    """So that a warm worker finds its programs again."""
    compiler = only("steps")
    list(cohort(trial(latents=9), compiled=True, compiler=compiler).segments())
    again = cohort(trial(latents=9, seed=1), compiled=True, compiler=compiler)
    list(again.segments())
    assert again.execution.compile_seconds == 0
    other = cohort(trial(latents=9, p=3.0), compiled=True, compiler=compiler)
    list(other.segments())
    assert other.execution.compile_seconds > 0


def refusing(message: str) -> Build:
    def build(step: LaneStep, shape: StepShape, state: State, inputs: Inputs, make: Make) -> Program:
        raise RuntimeError(message)

    return build


def test_a_form_that_fails_gives_way_to_the_next_and_says_so() -> None:
    fails = refusing("backend='inductor' raised:\nno  such option\n")
    spec = trial(latents=10)
    lanes = cohort(spec, compiled=True, compiler=trying({"loop": fails, "steps": forms.Steps}))
    list(lanes.segments())
    assert lanes.execution.forms == ("steps",)
    assert lanes.execution.failures == ("loop: RuntimeError: no  such option",)


def test_without_any_form_steps_are_eager_with_the_same_bits() -> None:
    message = "raised:\nCppCompileError: failed\n/tmp/x.cpp:2:10: fatal error: omp.h: No such file\n"
    spec = trial(latents=11)
    lanes = cohort(spec, compiled=True, compiler=trying({"steps": refusing(message)}))
    curves = curves_of(lanes)
    assert lanes.execution.forms == ("eager",)
    (failure,) = lanes.execution.failures
    assert failure == "steps: RuntimeError: /tmp/x.cpp:2:10: fatal error: omp.h: No such file"
    assert curves == values([spec], compiled=False)


def test_a_step_of_very_many_operations_is_run_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no failure: what is compiled follows from the step."""
    monkeypatch.setattr(recording, "MOST_OPERATIONS", 10)
    spec = trial(latents=12)
    lanes = cohort(spec, compiled=True, compiler=Compiler())
    curves = curves_of(lanes)
    assert (lanes.execution.forms, lanes.execution.failures) == (("eager",), ())
    assert curves == values([spec], compiled=False)


def test_recording_ends_with_the_first_operation_too_many() -> None:
    done: list[int] = []

    def function(x: Tensor) -> Tensor:
        for i in range(50):
            x = x.sin()
            done.append(i)
        return x

    with pytest.raises(inductor.TooManyOperations, match="more than 40 operations"):
        inductor.recorded(function, [torch.ones(1)], most=20)
    assert done == list(range(40)), "far too many: found by running, before anything is recorded"
    done.clear()
    with pytest.raises(inductor.TooManyOperations, match="more than 30 operations"):
        inductor.recorded(function, [torch.ones(1)], most=30)
    assert done == [*range(50), *range(30)], "too many by less than twice: found by recording"
    done.clear()
    assert torch.equal(
        inductor.recorded(function, [torch.ones(1)], most=50)(torch.ones(1)), function(torch.ones(1))
    )


def test_minibatches_as_long_as_those_that_were_too_large_are_not_recorded() -> None:
    """The first length that is refused answers for all longer ones, of the same estimator."""
    tried: list[StepShape] = []

    def refused(step: Any, shape: StepShape, state: Any, inputs: Any, make: Make) -> Program:
        tried.append(shape)
        raise recording.TooLarge("more than 2,000 operations")

    compiler = Compiler(forms=lambda state: {"loop": refused, "steps": refused})
    task, nothing = small_vae(trial("categorical_vae")), cast(Any, {"step": torch.zeros(1)})

    def ask(key: str, size: int, length: int | None) -> None:
        shape = StepShape(size=size, lengths=(length, None))
        found = compiler.compilation(task, cast(Any, None), shape, nothing, nothing, key=key)
        assert (found.program, found.failures) == (None, ())

    for key, size, length in [
        ("st", 4, 8), ("st", 4, 8), ("st", 4, 9), ("st", 5, 8), ("st", 4, 7), ("st", 3, 9), ("rloo", 4, 9)
    ]:  # fmt: skip
        ask(key, size, length)
    assert [(shape.size, shape.lengths[0]) for shape in tried] == [(4, 8), (4, 7), (3, 9), (4, 9)]


@pytest.mark.parametrize(("epochs", "form"), [(2, "steps"), (1, "eager")])
def test_the_length_of_a_trial_decides(monkeypatch: pytest.MonkeyPatch, epochs: int, form: str) -> None:
    """Of the trial alone: a resumed trial and one in other company must get the same answer."""
    monkeypatch.setattr(cohort_module, "worth_compiling", lambda task, estimator, steps, device: steps >= 10)
    lanes = cohort(trial(epochs=epochs), trial(epochs=epochs, seed=1), compiler=only("steps"))
    next(lanes.segments())
    assert lanes.execution.forms == (form,)
    assert lanes.execution.failures == ()


@pytest.mark.parametrize(("latents", "tried"), [(8, ["loop", "steps"]), (100_000, ["steps"])])
def test_small_states_are_looped_over_inside_the_program(latents: int, tried: list[str]) -> None:
    """A cohort asks for the forms of the state that it has."""
    asked: list[list[str]] = []

    def noted(state: State) -> dict[Form, Build]:
        found = forms.forms_of(state)
        asked.append(list(found))
        return {form: refusing("only noted") for form in found}

    spec = trial(latents=latents, batch_size=1, epochs=1)
    lanes = cohort(spec, compiled=True, compiler=Compiler(forms=noted))
    list(lanes.segments())
    assert asked == [tried]
    assert lanes.execution.failures == tuple(f"{form}: RuntimeError: only noted" for form in tried)


def test_forms_are_built_by_their_own_programs() -> None:
    """Unless a cohort is given others."""
    lanes = cohort(trial(latents=13), compiled=True)
    list(lanes.segments())
    assert (lanes.execution.forms, lanes.execution.failures) == (("loop",), ())
    state = lanes._groups[0].group._state
    assert forms.forms_of(state) == {"loop": forms.Loop, "steps": forms.Steps}


@pytest.mark.parametrize("mates", [[], [1000]])
def test_a_short_trial_is_not_compiled_for_the_sake_of_long_ones(mates: list[int]) -> None:
    """Of 5 steps, beside one of 5000 in a wide group: its bits are those that it has alone."""
    short = trial(epochs=1)
    long = [trial(seed=1, epochs=epochs) for epochs in mates]
    lanes = cohort(short, *long, group_width=8, compiler=only("steps"))
    groups = [placed.lanes for placed in lanes._groups]
    assert groups == [[0], *([[1]] if long else [])]
    segments = itertools.islice(lanes.segments(), 8)
    points = [(p.metric, p.epoch, p.value) for s in segments for p in s.points if p.lane == 0]
    assert points == values([short], compiled=False)[0]
    assert lanes.execution.forms == (("eager", "steps") if long else ("eager",))
