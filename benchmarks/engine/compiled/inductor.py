"""What torch's compiler does for us: the one file that touches interfaces of torch which are not stable.

Where one of them is missing or fails, its public counterpart takes its place; a test runs both.
"""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

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


class TooManyOperations(Exception):
    """A function has more operations than were to be recorded."""


def recorded(
    function: Callable[..., Any], examples: Sequence[Tensor], *, most: int | None = None
) -> GraphModule:
    """What ``function`` does with tensors like ``examples``, with its backward passes, as a graph.

    It runs once on the examples, which it may change.

    Raises:
        TooManyOperations: there are more than ``most``; found when that many have been recorded.
    """
    from torch.fx.experimental.proxy_tensor import make_fx

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
    from torch._inductor import aoti_compile_and_package
    from torch.export import export

    if any(_divides_by_integers(node) for node in graph.graph.nodes):
        raise ValueError("it divides by a tensor of integers")
    function = _repeated(graph, carried) if carried else graph
    given = (examples[0] + 1, *examples) if carried else tuple(examples)
    package = folder / "program.pt2"
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of torch, about itself
        program = export(_Called(function), given, strict=False)
        aoti_compile_and_package(program, package_path=str(package), inductor_configs=cpu_options())
    with zipfile.ZipFile(package) as archive:
        for name in archive.namelist():
            if name.endswith((".so", ".wrapper.json")):
                (folder / f"program{Path(name).suffix}").write_bytes(archive.read(name))
    package.unlink()


def opened(folder: Path) -> Callable[..., list[Tensor]]:
    """The program that :func:`ahead_of_time` left there, without loading torch's compiler.

    Raises:
        ImportError: this version of torch cannot do that.
        RuntimeError: the files are not such a program.
    """
    from torch._C._aoti import AOTIModelContainerRunnerCpu

    run = AOTIModelContainerRunnerCpu(str(folder / "program.so"), 1).run
    return lambda *tensors: run(list(tensors))


def _divides_by_integers(node: Node) -> bool:
    """Whether it is a division whose divisor is a tensor, unless that is known to be of floating point."""
    aten = torch.ops.aten
    divisions = (aten.floor_divide.default, aten.remainder.Tensor, aten.fmod.Tensor, aten.div.Tensor_mode)
    if node.target not in divisions or not isinstance(node.args[1], Node):
        return False
    value = node.args[1].meta.get("val")
    return not (isinstance(value, Tensor) and value.is_floating_point())


class _Called(torch.nn.Module):
    """A function as the module that an exporter wants."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self._function = function

    def forward(self, *tensors: Tensor) -> Any:
        return self._function(*tensors)


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
