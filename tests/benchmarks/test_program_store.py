"""Programs on disk: compiled once a machine, found by name, safe with several processes and with damage."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import shutil
import signal
import sys
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path
from types import FrameType

import pytest
import torch
from torch import Tensor

from benchmarks.engine.compiled import inductor
from benchmarks.engine.compiled.compiler import Compiler, of_this_machine
from benchmarks.engine.compiled.identity import identity, sources
from benchmarks.engine.compiled.recording import Call, Recording
from benchmarks.engine.compiled.store import Store
from benchmarks.kernels import operators
from benchmarks.process import compile_cache
from estimators import registry
from tests.support.processes import in_new_process
from tests.support.trials import cohort, run, small_vae, trial

Curve = list[tuple[str, int, float]]


class Data:
    """A task with data among its attributes."""

    def __init__(self, value: float) -> None:
        self.images = {"train": torch.full((1100,), value)}


def product(data: Data) -> Recording:
    """x -> x times the data's first number, in place."""
    x = torch.ones(1)

    def function(x: Tensor, images: Tensor) -> None:
        x.mul_(images[:1])

    images = data.images["train"]
    return Recording(inductor.recorded(function, [x.clone(), images]), (x,), (images,))


class Workshop:
    """Makes programs of files with a number in it: what they multiply by besides the data."""

    def __init__(self, folder: Path, *, opens: bool = True) -> None:
        self.compiled = self.recorded = 0
        self.store = Store(folder, self._compile, self._opened)

    def call(self, data: Data, name: str | None) -> Call:
        def record() -> Recording:
            self.recorded += 1
            return product(data)

        return self.store.make(data, name, lambda: 7)(record)

    def _compile(self, recording: Recording, folder: Path) -> None:
        self.compiled += 1
        (folder / "number").write_text("10")

    def _opened(self, folder: Path) -> Call:
        text = (folder / "number").read_text()
        if not text:
            raise RuntimeError("cut off")
        number = float(text)
        return lambda x, images: x * images[0] * number


def test_a_named_program_is_recorded_and_compiled_once(tmp_path: Path) -> None:
    """By another store of the folder it is found with the data of the task at hand."""
    first, second = Workshop(tmp_path), Workshop(tmp_path)
    assert first.call(Data(3.0), "name")(torch.ones(1)).item() == 30
    assert second.call(Data(5.0), "name")(torch.ones(1)).item() == 50
    assert (first.recorded, first.compiled) == (1, 1)
    assert (second.recorded, second.compiled) == (0, 0)
    assert second.store.evaluations("name") == 7
    assert second.store.evaluations("other") == second.store.evaluations(None) == 0


def test_without_a_name_what_was_recorded_tells_a_program(tmp_path: Path) -> None:
    first, second = Workshop(tmp_path), Workshop(tmp_path)
    assert first.call(Data(3.0), None)(torch.ones(1)).item() == 30
    assert second.call(Data(5.0), None)(torch.ones(1)).item() == 50
    assert (second.recorded, second.compiled) == (1, 0)


def test_data_that_the_task_does_not_hold_keeps_a_program_nameless(tmp_path: Path) -> None:
    workshop, other = Workshop(tmp_path), Data(3.0)
    for _ in range(2):
        call = workshop.store.make(Data(5.0), "name", lambda: 1)(lambda: product(other))
        assert call(torch.ones(1)).item() == 30
    assert workshop.compiled == 1
    assert workshop.store.evaluations("name") == 0


@pytest.mark.parametrize("name", ["name", None])
@pytest.mark.parametrize("damage", [shutil.rmtree, lambda path: (path / "number").write_text("")])
def test_a_damaged_program_is_made_again(
    tmp_path: Path, damage: Callable[[Path], object], name: str | None
) -> None:
    workshop = Workshop(tmp_path)
    workshop.call(Data(1.0), name)
    (program,) = [path for path in tmp_path.iterdir() if path.is_dir()]
    damage(program)
    assert workshop.call(Data(2.0), name)(torch.ones(1)).item() == 20
    assert workshop.compiled == 2


def test_nothing_is_left_of_a_compilation_that_failed(tmp_path: Path) -> None:
    def fails(recording: Recording, folder: Path) -> None:
        (folder / "number").write_text("1")
        raise RuntimeError("no compiler")

    broken = Store(tmp_path, fails)
    with pytest.raises(RuntimeError, match="no compiler"):
        broken.make(Data(1.0), "name", lambda: 1)(lambda: product(Data(1.0)))
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]
    assert Workshop(tmp_path).call(Data(2.0), "name")(torch.ones(1)).item() == 20


def test_a_recording_s_digest_tells_what_matters(tmp_path: Path) -> None:
    """Shapes, types, numbers in the code and in small tensors, steps or loop: each is another program."""

    def scaled(x: Tensor, factor: Tensor | float) -> Recording:
        graph = inductor.recorded(lambda x: x.mul_(factor), [x.clone()])
        return Recording(graph, (x,), ())

    x = torch.ones(3)
    recordings = [
        scaled(x, 2.0),
        scaled(x, 2.0000001),
        scaled(torch.ones(4), 2.0),
        scaled(x.double(), 2.0),
        scaled(x, torch.tensor([2.0, 3.0, 4.0])),
        scaled(x, torch.tensor([2.0, 3.0, 5.0])),
        Recording(scaled(x, 2.0).graph, (x,), (), carried=1),
    ]
    compiled: list[Path] = []
    store = Store(tmp_path, lambda recording, folder: compiled.append(folder), lambda folder: print)
    for recording in [*recordings, scaled(x, 2.0)]:
        store.make(object.__new__(Data), None, lambda: 1)(lambda recording=recording: recording)  # type: ignore[misc] # it is called at once
    assert len(compiled) == len(recordings)


def test_what_a_program_follows_from_is_known_of_our_own_tasks_and_estimators(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert identity(trial()) == identity(trial(seed=5, lr=0.5, epochs=7)) is not None
    assert identity(trial()) != identity(trial(latents=9))
    assert identity(trial("categorical_vae")) != identity(trial())
    assert len(sources()) == 64
    theirs = dataclasses.replace(registry.get("reinmax"), target="their_package.module:function")
    monkeypatch.setattr(registry, "get", lambda id: theirs)
    assert identity(trial()) is None


def test_a_machine_s_store_is_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(compile_cache.PROGRAMS, raising=False)
    assert of_this_machine() is None
    monkeypatch.setenv(compile_cache.PROGRAMS, str(tmp_path))
    assert of_this_machine() is not None


def trained(task: str) -> tuple[Curve, float, int, bool]:
    """In a process of its own: curve, seconds of compiling, evaluations; whether torch compiled."""
    torch.set_num_threads(1)
    lanes = cohort(trial(task, "rloo"), compiled=True, compiler=Compiler(store=of_this_machine))
    segments = list(lanes.segments())
    points = [(p.metric, p.epoch, p.value) for s in segments for p in s.points]
    execution = lanes.execution
    assert execution.failures == ()
    assert execution.forms == ("loop",)
    return points, execution.compile_seconds, execution.evaluations, "torch._dynamo" in sys.modules


def test_a_second_process_opens_what_the_first_has_compiled(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Bit by bit as the first, and as one that compiles for itself; torch's compiler is not even loaded."""
    monkeypatch.setenv(compile_cache.PROGRAMS, str(tmp_path))
    first, second = (in_new_process(trained, "polynomial", limit=500) for _ in range(2))
    assert first[0] == second[0]
    assert first[2] == second[2] == 4
    assert (first[3], second[3]) == (True, False)
    assert second[1] < first[1]
    alone, _ = run(trial("polynomial", "rloo"), compiled=True, compiler=Compiler())
    assert first[0] == alone[0]


def test_a_program_that_changes_its_state_in_place_computes_the_same_from_the_store(tmp_path: Path) -> None:
    """A VAE with its own kernels, whose images are another task's the second time."""
    torch.set_num_threads(1)
    spec = trial("categorical_vae")
    expected, _ = run(spec, task=small_vae(spec), compiled=True, compiler=Compiler())
    for _ in range(2):
        found, _ = run(
            spec, task=small_vae(spec), compiled=True, compiler=Compiler(store=lambda: Store(tmp_path))
        )
        assert found == expected
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 1


def compile_vae(folder: Path) -> None:
    """In a process of its own: torch makes the files of a program once in a process."""
    spec = trial("categorical_vae")
    lanes = cohort(spec, compiled=True, compiler=Compiler(store=lambda: Store(folder)))
    list(lanes.segments())


@pytest.fixture(scope="module")
def vae_programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("programs")
    in_new_process(compile_vae, folder, limit=500)
    return folder


def ended(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(f"signal {number}")


def noted(_number: int, _frame: FrameType | None) -> None:
    """Nothing is raised: what runs goes on."""


@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize("handler", [ended, noted])
def test_what_the_handler_of_a_signal_raises_is_no_error_of_a_program(
    handler: Callable[[int, FrameType | None], None],
    at: int,
    vae_programs: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A signal comes while a program of C++ runs an operator that is written in Python: at its first call,
    when it is tried out, or at a step. Nobody takes that for a failure of the program, or of the trial."""
    calls: list[Path] = []
    before, library = signal.signal(signal.SIGTERM, handler), operators.library

    def opened(folder: Path) -> Call:
        program = inductor.opened(folder)

        def call(*tensors: Tensor) -> object:
            calls.append(folder)
            if len(calls) == at:
                monkeypatch.setattr(operators, "library", signalled)
            return program(*tensors)

        return call

    def signalled() -> object:
        monkeypatch.setattr(operators, "library", library)
        signal.raise_signal(signal.SIGTERM)
        return library()

    torch.set_num_threads(1)
    spec = trial("categorical_vae")
    store = Store(vae_programs, opened=opened)
    lanes = cohort(spec, compiled=True, compiler=Compiler(store=lambda: store), contain=True)
    try:
        if handler is ended:
            with pytest.raises(SystemExit, match=f"signal {int(signal.SIGTERM)}"):
                list(lanes.segments())
            assert len(calls) == at
        else:
            ends = [end for segment in lanes.segments() for end in segment.ended]
            assert (lanes.execution.forms, lanes.execution.failures) == (("steps",), ())
            assert len(calls) > at
            undisturbed = Compiler(store=lambda: Store(vae_programs))
            assert ends == [run(spec, compiled=True, compiler=undisturbed)[1][0]]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_without_a_place_for_it_a_program_is_made_for_this_process(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    spec = trial(latents=14)
    store = Store(tmp_path / "file" / "programs")
    lanes = cohort(spec, compiled=True, compiler=Compiler(store=lambda: store))
    list(lanes.segments())
    assert lanes.execution.forms == ("loop",)
    assert lanes.execution.failures == ()
    assert "is compiled for this process alone: " in caplog.text


def make_together(folder: Path, made: Path, together: Barrier) -> None:
    """In a process of its own: makes the program when both processes are there."""

    def compile(recording: Recording, program: Path) -> None:
        (made / str(os.getpid())).touch()
        (program / "number").write_text("1")

    store = Store(folder, compile, lambda path: lambda *tensors: (path / "number").read_text())
    together.wait(timeout=60)
    assert store.make(Data(1.0), None, lambda: 1)(lambda: product(Data(1.0)))() == "1"


def test_of_two_processes_one_compiles(tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(2)
    processes = [
        context.Process(target=make_together, args=(tmp_path / "programs", made, together), daemon=True)
        for _ in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    assert len(list(made.iterdir())) == 1


def test_a_program_is_for_its_sizes(tmp_path: Path) -> None:
    """Sizes that are variables share a program in torch's cache, and the second would not be found."""
    for size in (5, 7):
        x = torch.arange(float(size))
        graph = inductor.recorded(lambda x: x * 2 + 1, [x])
        (folder := tmp_path / str(size)).mkdir()
        inductor.ahead_of_time(graph, [x], folder, carried=0)
        (result,) = inductor.opened(folder)(x)
        torch.testing.assert_close(result, x * 2 + 1, rtol=0, atol=0)


def test_a_program_keeps_the_tensors_that_its_graph_holds(tmp_path: Path) -> None:
    """In a loop, too; another process opens it without torch's compiler."""
    factors, state = torch.tensor([2.0, 3.0]), (torch.zeros(1, dtype=torch.long), torch.ones(2))

    def body(step: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        return step + 1, x * factors

    graph = inductor.recorded(body, state)
    inductor.ahead_of_time(graph, state, tmp_path, carried=2)
    steps, powers = inductor.opened(tmp_path)(torch.tensor([4]), *state)
    assert steps.tolist() == [4]
    assert powers.tolist() == [16.0, 81.0]
    assert in_new_process(_run_without_compiler, tmp_path) == ([8.0, 27.0], False)


def _run_without_compiler(folder: Path) -> tuple[list[float], bool]:
    """Three steps of the loop above, and whether torch's compiler was loaded for them."""
    done = inductor.opened(folder)(torch.tensor([3]), torch.zeros(1, dtype=torch.long), torch.ones(2))
    return done[1].tolist(), "torch._inductor" in sys.modules


def test_a_division_by_integers_is_not_compiled_ahead_of_time(tmp_path: Path) -> None:
    """In torch 2.13 such programs divide by what lies behind the divisors, and refuse a 0 there."""
    x, divisors = torch.arange(10), torch.arange(1, 11)

    def ahead_of_time(function: Callable[[Tensor, Tensor], Tensor], divisors: Tensor) -> None:
        graph = inductor.recorded(function, [x, divisors])
        inductor.ahead_of_time(graph, [x, divisors], tmp_path, carried=0)

    for divide in (torch.floor_divide, torch.remainder):
        with pytest.raises(ValueError, match="divides by a tensor of integers"):
            ahead_of_time(divide, divisors)
    graph = inductor.recorded(lambda x, y: x // 3 + torch.remainder(x, y), [x, divisors.float()])
    assert not any(inductor._divides_by_integers(node) for node in graph.graph.nodes)
