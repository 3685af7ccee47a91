"""What torch's compiler does for us: the one file that touches interfaces of torch which are not stable.

Where one of them is missing or fails, its public counterpart takes its place; a test runs both.
"""

from __future__ import annotations

import operator
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.fx import Graph, GraphModule, Node

from estimators.building_blocks import traced

_MOST_PROGRAMS = 256
"""Loops share the code that dynamo looks at, and it counts versions of a code."""

_CPU_OPTIONS: dict[str, Any] = {
    "cpp.threads": 1,
    "size_asserts": False,  # what a program was compiled for says what shapes and strides it takes
    # Long chains of cheap integer operations (random words) belong into the loop that uses them; what many
    # places read is stored.
    "realize_opcount_threshold": 10_000,
    "realize_reads_threshold": 4,
    "realize_acc_reads_threshold": 8,
    "unroll_reductions_threshold": 64,
}
_CONTRACTION = "enable_floating_point_contract_flag"
"""Makes one instruction of a product and a sum; versions of torch want a name here or a truth value."""

_LIBRARY, _HELD = "program.so", "held.pt"
_ENTRY = "inductor_entry_cpp"
_ADDRESS = "_TORCHINDUCTOR_PYOBJECT_TENSOR_DATA_PTR"


class TooManyOperations(Exception):
    """A function has more operations than were to be recorded."""


def recorded(
    function: Callable[..., Any], examples: Sequence[Tensor], *, most: int | None = None
) -> GraphModule:
    """What ``function`` does with tensors like ``examples``, with its backward passes, as a graph.

    It runs once on the examples, which it may change, and once before on copies: recording takes a hundred
    times as long as running, and most of what is too large is so by far.

    Raises:
        TooManyOperations: there are more than ``most``, found when that many have been recorded, or more than
            twice as many, found before.
    """
    from torch.fx.experimental.proxy_tensor import make_fx

    if most is not None:
        copies = [example.clone() for example in examples]
        with traced(), _counter(2 * most):  # running counts a little otherwise than recording
            function(*copies)

    def counted(*tensors: Tensor) -> Any:
        with _counter(most):
            return function(*tensors)

    with traced():
        return make_fx(function if most is None else counted, tracing_mode="real")(*examples)


def _counter(most: int | None) -> AbstractContextManager[Any]:
    """A context in which operations are counted, and the one after ``most`` is refused."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Counter(TorchDispatchMode):
        count = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            self.count += 1
            if most is not None and self.count > most:
                raise TooManyOperations(f"more than {most:,} operations")
            return func(*args, **(kwargs or {}))

    counter: AbstractContextManager[Any] = Counter()  # type: ignore[no-untyped-call] # untyped in torch
    return counter


def compiled(graph: GraphModule, examples: Sequence[Tensor], *, cpu: bool) -> Callable[..., Any]:
    """A program of a graph for tensors like ``examples``.

    By inductor without dynamo, whose checks of all tensors at every call take a thirtieth of a VAE's step.
    Inductor looks into its cache only in a context that dynamo makes otherwise.
    """
    options = cpu_options() if cpu else {}
    try:
        from torch._guards import TracingContext, tracing
        from torch._inductor import compile as inductor_compile
        from torch._subclasses import FakeTensorMode
        from torch.fx.experimental.symbolic_shapes import ShapeEnv
    except ImportError:
        return publicly_compiled(graph, options)
    given: list[Any] = [*examples]
    with tracing(TracingContext(FakeTensorMode(shape_env=ShapeEnv()))):
        return cast(Callable[..., Any], inductor_compile(graph, given, options))


def publicly_compiled(graph: Callable[..., Any], options: dict[str, Any]) -> Callable[..., Any]:
    """The same by ``torch.compile``."""
    return torch.compile(graph, fullgraph=True, options=options)


def loop(body: GraphModule, width: int) -> Callable[..., tuple[Tensor, ...]]:
    """A program ``(stop, *carried, *fixed) -> carried`` that repeats ``body`` until the first of the carried
    tensors, a counter, has reached ``stop``.

    Args:
        body: from carried and fixed tensors to carried ones.
        width: number of carried tensors.

    Raises:
        ImportError: this version of torch has no loops.
    """
    program = torch.compile(
        _repeated(body, width), fullgraph=True, options={**cpu_options(), "cpp_wrapper": True}
    )

    def call(*tensors: Tensor) -> tuple[Tensor, ...]:
        with torch._dynamo.config.patch(recompile_limit=_MOST_PROGRAMS):
            done: tuple[Tensor, ...] = program(*tensors)
            return done

    return call


def ahead_of_time(graph: GraphModule, examples: Sequence[Tensor], folder: Path, *, carried: int) -> None:
    """Compile for a CPU, into files that :func:`opened` makes a program of in any process of the machine.

    Inductor can write a program's calls in C++, too; what it then loads is a library that needs nothing of
    inductor itself. Programs for ``torch.export`` hold a second such layer, which takes g++ three seconds.

    Args:
        graph: what to compile; a loop's is its body, as for :func:`loop`.
        examples: of its tensors.
        folder: where the files go.
        carried: as :func:`loop`'s width; 0 for a graph that changes its tensors in place.

    Raises:
        ImportError: this version of torch cannot do that.
        ValueError: the graph divides by a tensor of integers. Such a program (torch 2.13) also divides by
            what lies behind the tensor's end, and refuses a 0 there.
    """
    from torch._guards import TracingContext, tracing
    from torch._inductor import compile as inductor_compile
    from torch._subclasses import FakeTensorMode
    from torch.fx.experimental.symbolic_shapes import ShapeEnv

    if any(_divides_by_integers(node) for node in graph.graph.nodes):
        raise ValueError("it divides by a tensor of integers")
    bare, held = _without_tensors(graph)
    given: list[Any] = [*examples, *held]
    if carried:
        bare, given = _loop_of(bare, carried), [examples[0] + 1, *given]
    fake = FakeTensorMode(shape_env=ShapeEnv())
    for node, tensor in zip(bare.graph.find_nodes(op="placeholder"), given, strict=True):
        node.meta["val"] = fake.from_tensor(tensor, static_shapes=True)  # else sizes would be variables
    before = set(sys.modules)
    with torch.no_grad(), tracing(TracingContext(fake)):
        inductor_compile(bare, given, cpu_options() | {"cpp_wrapper": True})
    libraries = [sys.modules[name] for name in sys.modules.keys() - before if name.endswith(f".{_ENTRY}")]
    if len(libraries) != 1:
        raise ImportError(f"inductor made {len(libraries)} libraries of a program")
    shutil.copy(str(libraries[0].__file__), folder / _LIBRARY)
    torch.save(held, folder / _HELD)


def opened(folder: Path) -> Callable[..., list[Tensor]]:
    """The program that :func:`ahead_of_time` left there, without loading torch's compiler.

    Raises:
        AttributeError: this version of torch cannot do that.
        RuntimeError, OSError: the files are not such a program.
    """
    from torch._C import _aoti, _dynamo

    held: list[Tensor] = torch.load(folder / _HELD)
    # The library finds the data of tensors by this address.
    guards: Any = _dynamo.guards
    os.environ[_ADDRESS] = str(guards._torchinductor_pyobject_tensor_data_ptr)
    spec = spec_from_file_location(f"{folder.name}.{_ENTRY}", folder / _LIBRARY)
    if spec is None or spec.loader is None:
        raise RuntimeError(f"{folder / _LIBRARY} is no library")
    try:
        library = module_from_spec(spec)
        spec.loader.exec_module(library)
    except ImportError as error:
        raise RuntimeError(str(error)) from error
    run, handles, tensors = (
        getattr(library, _ENTRY),
        _aoti.unsafe_alloc_void_ptrs_from_tensors,
        _aoti.alloc_tensors_by_stealing_from_void_ptrs,
    )

    def call(*given: Tensor) -> list[Tensor]:
        done: list[Tensor] = tensors([one for one in run(handles([*given, *held])) if one is not None])
        return done

    return call


def _without_tensors(graph: GraphModule) -> tuple[GraphModule, list[Tensor]]:
    """The graph with the tensors it holds as further arguments, and these tensors."""
    held = {
        str(node.target): cast(Tensor, getattr(graph, str(node.target)))
        for node in graph.graph.nodes
        if node.op == "get_attr"
    }
    bare, places = Graph(), {}
    for node in graph.graph.nodes:
        if node.op == "placeholder":
            places[node] = bare.placeholder(node.name)
    names = {name: bare.placeholder(f"held{i}") for i, name in enumerate(held)}
    for node in graph.graph.nodes:
        if node.op == "get_attr":
            places[node] = names[str(node.target)]
        elif node.op != "placeholder":
            places[node] = bare.node_copy(node, places.__getitem__)
    return GraphModule({}, bare), list(held.values())


def _loop_of(body: GraphModule, width: int) -> GraphModule:
    """The program of :func:`loop` as a graph, without tracing it."""
    from torch._higher_order_ops.while_loop import while_loop_op

    count = sum(node.op == "placeholder" for node in body.graph.nodes)
    going_on = Graph()
    tensors = [going_on.placeholder(f"tensor{i}") for i in range(count + 1)]  # as the body's, then the stop
    before = going_on.call_function(torch.ops.aten.lt.Tensor, (tensors[0], tensors[-1]))
    going_on.output(going_on.call_function(torch.ops.aten.squeeze.dim, (before, 0)))
    last = [node for node in body.graph.nodes if node.op == "placeholder"][-1]
    with body.graph.inserting_after(last):
        body.graph.placeholder("stop")
    body.recompile()
    whole = Graph()
    stop, *given = (whole.placeholder(f"tensor{i}") for i in range(count + 1))
    functions = whole.get_attr("going_on"), whole.get_attr("body")
    fixed = (*given[width:], stop)
    done = whole.call_function(while_loop_op, (*functions, tuple(given[:width]), fixed))
    whole.output(tuple(whole.call_function(operator.getitem, (done, i)) for i in range(width)))
    return GraphModule({"going_on": GraphModule({}, going_on), "body": body}, whole)


def _divides_by_integers(node: Node) -> bool:
    """Whether it is a division whose divisor is a tensor, unless that is known to be of floating point."""
    aten = torch.ops.aten
    divisions = (aten.floor_divide.default, aten.remainder.Tensor, aten.fmod.Tensor, aten.div.Tensor_mode)
    if node.target not in divisions or not isinstance(node.args[1], Node):
        return False
    value = node.args[1].meta.get("val")
    return not (isinstance(value, Tensor) and value.is_floating_point())


def _repeated(body: GraphModule, width: int) -> Callable[..., tuple[Tensor, ...]]:
    from torch._higher_order_ops.while_loop import while_loop

    def run(stop: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        fixed = tensors[width:]

        def going_on(step: Tensor, *_: Tensor) -> Tensor:
            return (step < stop).squeeze(0)

        def again(*carried: Tensor) -> tuple[Tensor, ...]:
            return tuple(body(*carried, *fixed))

        return tuple(while_loop(going_on, again, tensors[:width]))

    return run


def cpu_options() -> dict[str, Any]:
    """Options of inductor on a CPU: ours, and multiplications fused with sums where torch can do that."""
    from torch._inductor import config  # imported here: it takes a second, and compiling needs it anyway

    fused: dict[type, object] = {str: "fast", bool: True}
    kind = type(getattr(config.cpp, _CONTRACTION, None))
    return _CPU_OPTIONS | ({f"cpp.{_CONTRACTION}": fused[kind]} if kind in fused else {})
