"""Programs on disk: what one process of a machine has compiled, all others open in milliseconds.

A program has two names. One is the digest of its recording, which says all about it but must be recorded
first, a second of work. The other is the digest of what the recording follows from: source code, task,
estimator, shapes. It is known at once, and leads to the first by way of a small file; it exists only where
task and estimator belong to this package, whose source is known.

Only for CPUs: a CUDA graph is captured in every process.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from torch import Tensor
from torch.fx import GraphModule

from benchmarks.engine.compiled import inductor
from benchmarks.engine.compiled.recording import Call, Make, Record, Recording, data_of, with_constants

Compile = Callable[[Recording, Path], None]
"""Leaves the files of a program in a folder."""


def ahead_of_time(recording: Recording, folder: Path) -> None:
    """Compile with torch's compiler, see :func:`benchmarks.engine.compiled.inductor.ahead_of_time`."""
    given = [*recording.examples, *recording.constants]
    inductor.ahead_of_time(recording.graph, given, folder, carried=recording.carried)


@dataclass(frozen=True, slots=True)
class _Known:
    """What a name that is known before recording leads to.

    Attributes:
        program: name of the program.
        constants: where the task has the data that the program reads.
        evaluations: of f a step and example.
    """

    program: str
    constants: tuple[tuple[str, ...], ...]
    evaluations: int


class Store:
    """Programs in a folder that processes of one machine share.

    Args:
        folder: for machines that understand the same instructions
            (:func:`benchmarks.process.compile_cache.folder`).
        compile: what makes programs that are not there.
        opened: what opens those that are; raises RuntimeError or OSError for a damaged one.
    """

    def __init__(
        self,
        folder: Path,
        compile: Compile = ahead_of_time,
        opened: Callable[[Path], Call] = inductor.opened,
    ) -> None:
        self._folder, self._compile, self._opened = folder, compile, opened

    def make(self, task: object, name: str | None, count: Callable[[], int]) -> Make:
        """What makes programs of a task's steps, or finds them here.

        Args:
            task: what the steps belong to.
            name: what the recording follows from; ``None`` where that is not known.
            count: evaluations of f of a step and example, once it has been recorded.
        """

        def made(record: Record) -> Call:
            if name and (found := self._found(task, name)):
                return found
            recording = record()
            program, call = self._program(recording)
            if name and (places := _places(task, recording.constants)) is not None:
                self._note(name, _Known(program, places, count()))
            return with_constants(call, recording.constants)

        return made

    def evaluations(self, name: str | None) -> int:
        """Of a program that was found by its name; 0 if it was not."""
        known = self._known(name) if name else None
        return known.evaluations if known else 0

    def _found(self, task: object, name: str) -> Call | None:
        known = self._known(name)
        if known is None:
            return None
        call = self._open(known.program)
        data = dict(data_of(task))
        return call and with_constants(call, [data[place] for place in known.constants])

    def _program(self, recording: Recording) -> tuple[str, Call]:
        """The name of a program and itself; compiled by one process, while others wait for it."""
        name = _digest(recording)
        self._folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self._folder / f"{name}.lock"):
            if call := self._open(name):
                return name, call
            with tempfile.TemporaryDirectory(dir=self._folder) as folder:
                made = Path(folder) / name
                made.mkdir()
                self._compile(recording, made)
                made.rename(self._folder / name)
        return name, self._opened(self._folder / name)

    def _open(self, program: str) -> Call | None:
        """A program that is there; a damaged one goes."""
        folder = self._folder / program
        if not folder.exists():
            return None
        try:
            return self._opened(folder)
        except (RuntimeError, OSError):
            shutil.rmtree(folder, ignore_errors=True)
            return None

    def _known(self, name: str) -> _Known | None:
        try:
            text = (self._folder / f"{name}.json").read_text()
        except OSError:
            return None
        data = json.loads(text)
        places = tuple(tuple(place) for place in data["constants"])
        return _Known(data["program"], places, data["evaluations"])

    def _note(self, name: str, known: _Known) -> None:
        text = json.dumps(
            {
                "program": known.program,
                "constants": known.constants,
                "evaluations": known.evaluations,
            }
        )
        part = self._folder / f"{name}.{os.getpid()}.part"
        part.write_text(text)
        part.replace(self._folder / f"{name}.json")


def _places(task: object, constants: Sequence[Tensor]) -> tuple[tuple[str, ...], ...] | None:
    """Where a task has this data; ``None`` if not all of it is among the task's attributes."""
    found = []
    for constant in constants:
        place = next((names for names, tensor in data_of(task) if _is_same(tensor, constant)), None)
        if place is None:
            return None
        found.append(place)
    return tuple(found)


def _is_same(a: Tensor, b: Tensor) -> bool:
    return a.data_ptr() == b.data_ptr() and (a.shape, a.stride(), a.dtype) == (b.shape, b.stride(), b.dtype)


def _digest(recording: Recording) -> str:
    """Of everything that a compiled recording depends on."""
    given = (*recording.examples, *recording.constants)
    parts: list[Any] = [
        torch.__version__,
        sorted(inductor.cpu_options().items()),
        recording.carried,
        [(tuple(t.shape), t.stride(), str(t.dtype)) for t in given],
        *_code(recording.graph),
    ]
    return hashlib.sha256("\n".join(map(repr, parts)).encode()).hexdigest()


def _code(graph: GraphModule) -> list[object]:
    """Code of a graph and of those it calls, and the numbers they hold."""
    code: list[object] = [module.code for module in graph.modules() if isinstance(module, GraphModule)]
    for node in graph.graph.nodes:
        held = getattr(graph, str(node.target), None) if node.op == "get_attr" else None
        if isinstance(held, Tensor):
            code.append((node.target, str(held.dtype), held.tolist()))
    return code
