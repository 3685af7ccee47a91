"""Steps as graphs of tensor operations, ready for a compiler.

Large tensors of the task that a step reads (its data) become arguments of the graph: a program is then the
same for every process that trains the task, whatever addresses its data have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.fx import GraphModule

from benchmarks.engine.compiled import inductor, tree
from benchmarks.engine.step import Inputs, State

MOST_OPERATIONS = 2000
"""Largest step that is compiled. A Tree-LSTM's over ten symbols has 2,800 operations and takes inductor
minutes, for every length of a minibatch; those of the VAE have 500 to 1,400."""
SMALL_BYTES = 2**12
"""Tensors up to this size that a step reads besides its arguments are part of the program."""


class TooLarge(Exception):
    """A step has too many operations to be worth compiling."""


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """What a step does.

    Attributes:
        graph: a function of the tensors of state and inputs, and of ``constants``.
        examples: of the tensors of state and inputs.
        constants: the task's data that it reads.
        carried: how many of the tensors a loop hands on from step to step; 0 where the step changes them in
            place.
    """

    graph: GraphModule
    examples: tuple[Tensor, ...]
    constants: tuple[Tensor, ...]
    carried: int = 0


Record = Callable[[], Recording]
Call = Callable[..., Any]
"""A compiled graph as a function of the tensors of state and inputs; a loop's of a last step and these."""
Make = Callable[[Record], Call]
"""Makes a program of what it may record."""


def in_process(record: Record) -> Call:
    """Compile for this process alone."""
    recording = record()
    if recording.carried:
        call = inductor.loop(recording.graph, recording.carried)
    else:
        given = [*recording.examples, *recording.constants]
        call = inductor.compiled(recording.graph, given, cpu=given[0].device.type == "cpu")
    return with_constants(call, recording.constants)


def with_constants(call: Call, constants: Sequence[Tensor]) -> Call:
    """The call with its last arguments filled in."""
    return (lambda *tensors: call(*tensors, *constants)) if constants else call


def recorded(function: Callable[..., Any], state: State, inputs: Inputs, *, carried: int = 0) -> Recording:
    """A function of the tensors of both, recorded on copies.

    Raises:
        TooLarge: there are more than ``MOST_OPERATIONS``.
    """
    examples = (*tree.tensors(tree.copied(state)), *tree.tensors(inputs))
    try:
        graph = inductor.recorded(function, examples, most=MOST_OPERATIONS)
    except inductor.TooManyOperations as error:
        raise TooLarge(f"{error}, which are not compiled") from None
    return Recording(graph, examples, _constants_as_arguments(graph), carried)


def _constants_as_arguments(graph: GraphModule) -> tuple[Tensor, ...]:
    """Make arguments of the large tensors that the graph holds; returns them."""
    nodes = graph.graph.nodes
    last = [node for node in nodes if node.op == "placeholder"][-1]
    held: dict[str, Any] = {}
    for node in [node for node in nodes if node.op == "get_attr"]:
        value = getattr(graph, str(node.target), None)
        if not isinstance(value, Tensor) or value.nbytes <= SMALL_BYTES:
            continue
        if node.target not in held:
            with graph.graph.inserting_after(last):
                last = graph.graph.placeholder(f"constant{len(held)}")
            held[node.target] = (value, last)
        node.replace_all_uses_with(held[node.target][1])
        graph.graph.erase_node(node)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return tuple(value for value, _ in held.values())


def data_of(task: object) -> Iterator[tuple[tuple[str, ...], Tensor]]:
    """Tensors among a task's attributes, and in mappings there, with the names that lead to them."""
    return _tensors(vars(task), ())


def _tensors(found: Mapping[Any, object], names: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Tensor]]:
    for name, value in found.items():
        if isinstance(value, Tensor):
            yield (*names, str(name)), value
        elif isinstance(value, Mapping):
            yield from _tensors(value, (*names, str(name)))
