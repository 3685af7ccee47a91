"""Training steps as compiled programs.

A step is recorded by ``make_fx`` with its backward pass and its updates, and compiled whole. Three forms:

* ``loop``: the loop over steps is part of the program, which is compiled to C++ alone: a step costs no call
  from Python. For small states on a CPU, since a loop hands on copies.
* ``steps``: one call for each step, which changes the state in place.
* ``graph``: the same, a number of calls at a time captured as a CUDA graph.

The form follows from the device and the size of the state, not from a measurement of the moment: forms round
differently, and a trial that is resumed elsewhere must find the form it had. ``while_loop`` and the C++
wrapper are no stable interfaces of torch; where they fail, ``steps`` is what remains.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

from benchmarks.engine import memory
from benchmarks.engine.step import Inputs, LaneStep, State
from benchmarks.kernels import operators
from benchmarks.tasks.contract import Parameters, Task
from estimators._tracing import traced

Form = Literal["loop", "steps", "graph"]

LOOP_BYTES = 2**20
"""Largest state that is handed from step to step by a loop inside the program."""
GRAPH_STEPS = 20
"""Steps of one CUDA graph."""
_MOST_PROGRAMS = 256
"""Loops share the code that dynamo looks at, and it counts versions of a code."""

_CPU_OPTIONS: dict[str, Any] = {
    "cpp.threads": 1,
    "size_asserts": False,  # a program's name says what shapes and strides it takes
    # Long chains of cheap integer operations (random words) belong into the loop that uses them; what many
    # places read is stored.
    "realize_opcount_threshold": 10_000,
    "realize_reads_threshold": 4,
    "realize_acc_reads_threshold": 8,
    "unroll_reductions_threshold": 64,
}
_CONTRACTION = "enable_floating_point_contract_flag"
"""Makes one instruction of a product and a sum; versions of torch want a name here or a truth value."""


class Program(Protocol):
    """Something that does steps.

    Attributes:
        form: how.
    """

    @property
    def form(self) -> Form:
        """How steps are done."""

    def advance(self, state: State, inputs: Inputs, count: int) -> State:
        """The state ``count`` steps on; the state given may be changed and is not to be used again."""


class Steps:
    """One call a step, in place.

    Args:
        step: what to compile.
        state, inputs: an example; shapes, types and device are fixed by it.
    """

    form: Form = "steps"

    def __init__(self, step: LaneStep, state: State, inputs: Inputs) -> None:
        def in_place(*tensors: Tensor) -> None:
            old = tensors[: len(_tensors(state))]
            new = step(*_split(tensors, state, inputs), in_place=True)
            for target, source in zip(old, _tensors(new), strict=True):
                if source is not target:
                    target.copy_(source)

        graph = _recorded(in_place, state, inputs)
        options = _cpu_options() if _device(state).type == "cpu" else {}
        self._input_major = step.input_major
        self._call = _compiled(graph, [*_tensors(copied(state)), *_tensors(inputs)], options)

    def advance(self, state: State, inputs: Inputs, count: int) -> State:
        """Do the steps; the state is changed and returned."""
        state = laid_out(state, self._input_major)
        tensors = _tensors(state) + _tensors(inputs)
        with torch.no_grad():
            for _ in range(count):
                self._call(*tensors)
        return state


class Loop:
    """A loop over steps inside the program.

    Args:
        step: what to compile.
        state, inputs: an example; shapes, types and device are fixed by it.
    """

    form: Form = "loop"

    def __init__(self, step: LaneStep, state: State, inputs: Inputs) -> None:
        # Imported here: a part of torch that is not stable and that other forms do without.
        from torch._higher_order_ops.while_loop import while_loop

        width = len(_tensors(state))

        def one_step(*tensors: Tensor) -> tuple[Tensor, ...]:
            return _tensors(step(*_split(tensors, state, inputs)))

        graph = _recorded(one_step, state, inputs)

        def loop(stop: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
            fixed = tensors[width:]

            def going_on(step: Tensor, *_: Tensor) -> Tensor:
                return (step < stop).squeeze(0)

            def body(*carried: Tensor) -> tuple[Tensor, ...]:
                return tuple(graph(*carried, *fixed))

            return tuple(while_loop(going_on, body, tensors[:width]))

        self._call = torch.compile(loop, fullgraph=True, options={**_cpu_options(), "cpp_wrapper": True})

    def advance(self, state: State, inputs: Inputs, count: int) -> State:
        """Do the steps."""
        with torch.no_grad():
            done = self._call(state["step"] + count, *_tensors(state), *_tensors(inputs))
        return cast(State, _like(state, iter(done)))


class Graph:
    """Steps captured as a CUDA graph, replayed.

    A graph remembers addresses: state and inputs are copied into places of its own and the state back.

    Args:
        step: what to compile and capture.
        state, inputs: an example; shapes, types and device are fixed by it.
        capture: records what a function launches and returns what launches it again.
        length: most steps of one replay, which never go past an epoch's end.
    """

    form: Form = "graph"

    def __init__(
        self,
        step: LaneStep,
        state: State,
        inputs: Inputs,
        *,
        capture: Callable[[Callable[[], object]], Callable[[], object]] | None = None,
        length: int = GRAPH_STEPS,
    ) -> None:
        self._steps, self._length = Steps(step, state, inputs), min(length, step.full_steps)
        self._state = copied(state)
        self._state["step"].copy_(inputs["before"])  # capturing does steps: as many as are left must exist
        self._inputs = cast(Inputs, _like(inputs, iter([tensor.clone() for tensor in _tensors(inputs)])))
        self._replay = (capture or _captured)(
            lambda: self._steps.advance(self._state, self._inputs, self._length)
        )

    def advance(self, state: State, inputs: Inputs, count: int) -> State:
        """Do the steps: whole graphs, then what is left call by call."""
        _copy(state, self._state)
        _copy(inputs, self._inputs)
        for _ in range(count // self._length):
            self._replay()
        self._steps.advance(self._state, self._inputs, count % self._length)
        _copy(self._state, state)
        return state


@dataclass(frozen=True, slots=True)
class Compilation:
    """What came of compiling a step.

    Attributes:
        program: what to run; ``None`` when nothing could be compiled.
        failures: a line for every form that was tried and did not work.
        seconds: what it took; 0 for what was there.
    """

    program: Program | None
    failures: tuple[str, ...]
    seconds: float


_COMPILED: WeakKeyDictionary[Task, dict[object, Compilation]] = WeakKeyDictionary()
"""What was compiled in this process, by task and by what else a program depends on."""


def compilation(task: Task, step: LaneStep, state: State, inputs: Inputs, *, name: object) -> Compilation:
    """The program of a step, from memory where this process has compiled it before.

    Compiling takes seconds to a minute, less where another process left its results in the cache of torch.

    Args:
        task: what ``step`` belongs to.
        step: what to compile.
        state, inputs: an example of what the program will be given; not changed.
        name: what else the program depends on: the estimator, its static parameters, the precision.
    """
    state = laid_out(state, step.input_major)
    known = _COMPILED.setdefault(task, {})
    key = (name, _signature(state), _signature(inputs))
    if key in known:
        return dataclasses.replace(known[key], seconds=0.0)
    known[key] = _compile(step, state, inputs)
    return known[key]


def forget(task: Task) -> None:
    """Drop the programs of a task: captured graphs hold their memory until then."""
    _COMPILED.pop(task, None)


def _compile(step: LaneStep, state: State, inputs: Inputs) -> Compilation:
    """The first form that works, tried out on a copy."""
    began, failures = time.perf_counter(), []
    for form, build in _forms(state).items():
        try:
            with torch._dynamo.config.patch(recompile_limit=_MOST_PROGRAMS):
                program = build(step, state, inputs)
                program.advance(copied(state), inputs, 1)
        except Exception as error:  # compilers fail in ways without number; what they say is passed on
            if memory.is_out_of_memory(error):
                raise  # fewer lanes may do, another form would need as much
            failures.append(f"{form}: {type(error).__name__}: {_telling_line(error)}")
        else:
            return Compilation(program, tuple(failures), time.perf_counter() - began)
    return Compilation(None, tuple(failures), time.perf_counter() - began)


def _forms(state: State) -> dict[Form, Callable[[LaneStep, State, Inputs], Program]]:
    if _device(state).type != "cpu":
        return {"graph": Graph, "steps": Steps}
    size = sum(tensor.nbytes for tensor in _tensors(state))
    return {"loop": Loop, "steps": Steps} if size <= LOOP_BYTES else {"steps": Steps}


def _cpu_options() -> dict[str, Any]:
    """What inductor is told on a CPU: ours, and products fused with sums where this version of torch can."""
    from torch._inductor import config  # imported here: it takes a second, and compiling needs it anyway

    fused: dict[type, object] = {str: "fast", bool: True}
    kind = type(getattr(config.cpp, _CONTRACTION, None))
    return _CPU_OPTIONS | ({f"cpp.{_CONTRACTION}": fused[kind]} if kind in fused else {})


def _compiled(graph: GraphModule, examples: list[Tensor], options: dict[str, Any]) -> Callable[..., Any]:
    """A program of a graph for tensors like ``examples``.

    By inductor without dynamo, whose checks of all tensors at every call take a thirtieth of a VAE's step.
    Inductor looks into its cache only in a context that dynamo makes otherwise. Neither is a stable interface
    of torch: where one is missing, ``torch.compile`` does the same.
    """
    try:
        from torch._guards import TracingContext, tracing
        from torch._inductor import compile as inductor_compile
        from torch._subclasses import FakeTensorMode
        from torch.fx.experimental.symbolic_shapes import ShapeEnv
    except ImportError:
        return torch.compile(graph, fullgraph=True, options=options)
    given: list[Any] = [*examples]
    with tracing(TracingContext(FakeTensorMode(shape_env=ShapeEnv()))):
        return cast(Callable[..., Any], inductor_compile(graph, given, options))


def _captured(launch: Callable[[], object]) -> Callable[[], object]:
    """The CUDA graph of what ``launch`` launches; it runs some times before and while it is captured."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        launch()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        launch()
    return graph.replay


def _recorded(function: Callable[..., Any], state: State, inputs: Inputs) -> GraphModule:
    """``function`` of the tensors of both as a graph; it runs once, on copies."""
    examples = (*_tensors(copied(state)), *_tensors(inputs))
    with traced():
        return make_fx(function, tracing_mode="real")(*examples)


def copied(state: State) -> State:
    """A state of its own memory."""
    return cast(State, _like(state, iter([tensor.clone() for tensor in _tensors(state)])))


def laid_out(state: State, names: Collection[str]) -> State:
    """A state in the order of memory that programs want: ``names`` are input-major."""
    if not names:
        return state

    def turned(tensors: Parameters) -> Parameters:
        return {name: operators.input_major(t) if name in names else t for name, t in tensors.items()}

    return cast(
        State,
        {**state} | {kind: turned(state[kind]) for kind in ("parameters", "first_moment", "second_moment")},
    )


def _split(tensors: Sequence[Tensor], state: State, inputs: Inputs) -> tuple[State, Inputs]:
    """Tensors in the order of :func:`_tensors`, back in their places."""
    rest = iter(tensors)
    return cast(State, _like(state, rest)), cast(Inputs, _like(inputs, rest))


def _tensors(tree: object) -> tuple[Tensor, ...]:
    """All tensors of nested dictionaries, in their order."""
    if isinstance(tree, Tensor):
        return (tree,)
    return tuple(tensor for part in cast(Mapping[str, Any], tree).values() for tensor in _tensors(part))


def _like(tree: object, tensors: Iterator[Tensor]) -> Any:
    """Nested dictionaries like ``tree`` of the next tensors."""
    if isinstance(tree, Tensor):
        return next(tensors)
    return {name: _like(part, tensors) for name, part in cast(Mapping[str, Any], tree).items()}


def _copy(source: State | Inputs, target: State | Inputs) -> None:
    for to, value in zip(_tensors(target), _tensors(source), strict=True):
        to.copy_(value)


def _signature(tree: State | Inputs) -> tuple[object, ...]:
    names = _names(tree)
    return names, *((t.shape, t.stride(), t.dtype, t.device) for t in _tensors(tree))


def _names(tree: object) -> tuple[object, ...]:
    if isinstance(tree, Tensor):
        return ()
    return tuple((name, _names(part)) for name, part in cast(Mapping[str, Any], tree).items())


def _device(state: State) -> torch.device:
    return state["step"].device


def _telling_line(error: Exception) -> str:
    """What a C++ compiler calls an error, or the first line that is not a mere announcement."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if not line.endswith("raised:")]
    return next((line for line in lines if " error: " in line), (telling or lines or ["no message"])[0])
