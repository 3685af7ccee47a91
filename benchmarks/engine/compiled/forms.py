"""Training steps as compiled programs, in three forms.

A step is recorded with its backward passes and its updates, and compiled whole:

* ``loop``: the loop over steps is part of the program, which is compiled to C++ alone: a step costs no call
  from Python. For small states on a CPU, since a loop hands on copies.
* ``steps``: one call for each step, which changes the state in place.
* ``graph``: the same, a number of calls at a time captured as a CUDA graph.

The form follows from the device and the size of the state, not from a measurement of the moment: forms round
differently, and a trial that is resumed elsewhere must find the form it had.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol, cast

import torch
from torch import Tensor

from benchmarks.engine.batches import StepShape
from benchmarks.engine.compiled import tree
from benchmarks.engine.compiled.recording import Make, in_process, recorded
from benchmarks.engine.step import Inputs, LaneStep, State
from benchmarks.process.signals import Deferred

Form = Literal["loop", "steps", "graph"]

LOOP_BYTES = 2**20
"""Largest state that is handed from step to step by a loop inside the program."""
GRAPH_STEPS = 20
"""Steps of one CUDA graph."""


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


Build = Callable[[LaneStep, StepShape, State, Inputs, Make], Program]
"""Makes a program of a step whose minibatches have a shape, from an example of what it will be given, with
what makes programs of recordings."""


class Steps:
    """One call a step, in place.

    Args:
        step: what to compile.
        shape: of the minibatches.
        state, inputs: an example; shapes, strides, types and device are fixed by it.
        make: makes a program of the recording.
    """

    form: Form = "steps"

    def __init__(
        self,
        step: LaneStep,
        shape: StepShape,
        state: State,
        inputs: Inputs,
        make: Make = in_process,
    ) -> None:
        width = len(tree.tensors(state))

        def in_place(*tensors: Tensor) -> None:
            new = step(*tree.split(tensors, state, inputs), shape=shape, in_place=True)
            for target, source in zip(tensors[:width], tree.tensors(new), strict=True):
                if source is not target:
                    target.copy_(source)

        self._call = make(lambda: recorded(in_place, state, inputs))

    def advance(self, state: State, inputs: Inputs, count: int) -> State:
        """Do the steps; the state is changed and returned."""
        tensors = tree.tensors(state) + tree.tensors(inputs)
        with torch.no_grad(), Deferred() as signals:
            for _ in range(count):
                self._call(*tensors)
                signals.deliver()
        return state


class Loop:
    """A loop over steps inside the program.

    Args:
        step: what to compile.
        shape: of the minibatches.
        state, inputs: an example; shapes, types and device are fixed by it.
        make: makes a program of the recording.
    """

    form: Form = "loop"

    def __init__(
        self,
        step: LaneStep,
        shape: StepShape,
        state: State,
        inputs: Inputs,
        make: Make = in_process,
    ) -> None:
        def one_step(*tensors: Tensor) -> tuple[Tensor, ...]:
            return tree.tensors(step(*tree.split(tensors, state, inputs), shape=shape))

        self._call = make(lambda: recorded(one_step, state, inputs, carried=len(tree.tensors(state))))

    def advance(self, state: State, inputs: Inputs, count: int) -> State:
        """Do the steps."""
        with torch.no_grad(), Deferred():
            done = self._call(state["step"] + count, *tree.tensors(state), *tree.tensors(inputs))
        return cast(State, tree.like(state, iter(done)))


class Graph:
    """Steps captured as a CUDA graph, replayed.

    A graph remembers addresses: state and inputs are copied into places of its own and the state back.

    Args:
        step: what to compile and capture.
        shape: of the minibatches.
        state, inputs: an example; shapes, types and device are fixed by it.
        make: makes a program of the recording.
        capture: records what a function launches and returns what launches it again.
        length: most steps of one replay; at most the steps of an epoch that are alike.
    """

    form: Form = "graph"

    def __init__(
        self,
        step: LaneStep,
        shape: StepShape,
        state: State,
        inputs: Inputs,
        make: Make = in_process,
        *,
        capture: Callable[[Callable[[], object]], Callable[[], object]] | None = None,
        length: int = GRAPH_STEPS,
    ) -> None:
        self._steps, self._length = Steps(step, shape, state, inputs, make), min(length, step.alike)
        self._state = tree.copied(state)
        self._state["step"].copy_(inputs["before"])  # capturing does steps: as many as are left must exist
        copies = iter([tensor.clone() for tensor in tree.tensors(inputs)])
        self._inputs = cast(Inputs, tree.like(inputs, copies))
        self._replay = (capture or _captured)(
            lambda: self._steps.advance(self._state, self._inputs, self._length)
        )

    def advance(self, state: State, inputs: Inputs, count: int) -> State:
        """Do the steps: whole graphs, then what is left call by call."""
        tree.copy(state, self._state)
        tree.copy(inputs, self._inputs)
        for _ in range(count // self._length):
            self._replay()
        self._steps.advance(self._state, self._inputs, count % self._length)
        tree.copy(self._state, state)
        return state


def forms_of(state: State) -> dict[Form, Build]:
    """The forms for a state, the best first."""
    if tree.device(state).type != "cpu":
        return {"graph": Graph, "steps": Steps}
    size = sum(tensor.nbytes for tensor in tree.tensors(state))
    return {"loop": Loop, "steps": Steps} if size <= LOOP_BYTES else {"steps": Steps}


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
