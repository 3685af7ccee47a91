"""From a step to a program: the first form that works, remembered for as long as its task lives."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakKeyDictionary

import torch

from benchmarks.engine import memory
from benchmarks.engine.batches import StepShape
from benchmarks.engine.compiled import tree
from benchmarks.engine.compiled.forms import Build, Form, Program, forms_of
from benchmarks.engine.compiled.recording import Call, Make, Record, TooLarge, in_process
from benchmarks.engine.compiled.store import Store
from benchmarks.engine.step import Inputs, LaneStep, State
from benchmarks.kernels import layers
from benchmarks.process import compile_cache
from benchmarks.tasks.contract import Task

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Compilation:
    """What came of compiling a step.

    Attributes:
        program: what to run; ``None`` when nothing could be compiled, or the step is too large to be.
        failures: a line for every form that was tried and did not work.
        seconds: what it took; 0 for what was there.
        evaluations: of f a step and example, as the step was recorded.
    """

    program: Program | None
    failures: tuple[str, ...]
    seconds: float
    evaluations: int = 0


class Compiler:
    """Compiles steps, and remembers the programs.

    Args:
        forms: the forms to try for a state, in order.
        store: where programs are kept besides; asked for when something is to be compiled for a CPU.
    """

    def __init__(
        self,
        forms: Callable[[State], Mapping[Form, Build]] = forms_of,
        store: Callable[[], Store | None] = lambda: None,
    ) -> None:
        self._forms, self._store = forms, store
        self._known: WeakKeyDictionary[Task, dict[object, Compilation]] = WeakKeyDictionary()
        self._too_large: WeakKeyDictionary[Task, list[tuple[object, StepShape]]] = WeakKeyDictionary()

    def compilation(
        self,
        task: Task,
        step: LaneStep,
        shape: StepShape,
        state: State,
        inputs: Inputs,
        *,
        key: object,
        identity: str | None = None,
    ) -> Compilation:
        """The program of a step, from memory where this compiler has made it before.

        Compiling takes seconds to a minute; a program that is in the store is there at once.

        Args:
            task: what ``step`` belongs to.
            step: what to compile.
            shape: of its minibatches.
            state, inputs: an example of what the program will be given; not changed.
            key: what else the program depends on: estimator, static parameters, optimizers, precision.
            identity: of the code and the task (:mod:`benchmarks.engine.compiled.identity`), if it is known.
        """
        known = self._known.setdefault(task, {})
        whole = (key, shape, tree.signature(state), tree.signature(inputs))
        if whole in known:
            return dataclasses.replace(known[whole], seconds=0.0)
        refused = self._too_large.setdefault(task, [])
        if any(key == other and _reaches(shape, smaller) for other, smaller in refused):
            return Compilation(None, (), 0.0)
        makers = _Makers(self._store, task, step, (identity, *whole) if identity else None)
        try:
            known[whole] = self._compile(step, shape, state, inputs, makers)
        except TooLarge:  # a property of the step: no form is to be tried, and nothing has failed
            refused.append((key, shape))
            known[whole] = Compilation(None, (), 0.0)
        return known[whole]

    def forget(self, task: Task) -> None:
        """Drop the programs of a task: captured graphs hold their memory until then."""
        self._known.pop(task, None)

    def _compile(
        self, step: LaneStep, shape: StepShape, state: State, inputs: Inputs, makers: _Makers
    ) -> Compilation:
        """The first form that works, tried out on a copy.

        Raises:
            TooLarge: the step has too many operations.
        """
        began, failures = time.perf_counter(), []
        for form, build in self._forms(state).items():
            try:
                program = build(step, shape, state, inputs, makers.of(form, tree.device(state)))
                program.advance(tree.copied(state), inputs, 1)
            except TooLarge:
                raise
            except Exception as error:  # compilers fail in ways without number; what they say is passed on
                if memory.is_out_of_memory(error):
                    raise  # fewer lanes may do, another form would need as much
                failures.append(f"{form}: {type(error).__name__}: {_telling_line(error)}")
            else:
                seconds = time.perf_counter() - began
                return Compilation(program, tuple(failures), seconds, step.spent or makers.evaluations(form))
        return Compilation(None, tuple(failures), time.perf_counter() - began)


class _Makers:
    """What makes a step's programs in each form.

    Args:
        store: as the compiler's.
        task: what the step belongs to.
        step: the step.
        name: what its programs follow from, if that is known.
    """

    def __init__(
        self, store: Callable[[], Store | None], task: Task, step: LaneStep, name: object | None
    ) -> None:
        self._store, self._task, self._step, self._name = store, task, step, name

    def of(self, form: Form, device: torch.device) -> Make:
        """Programs for a CPU come from the store, where there is one, if it can keep them."""
        store = self._store() if device.type == "cpu" else None
        if store is None:
            return in_process
        stored = store.make(self._task, self._name_of(form), lambda: self._step.spent)

        def made(record: Record) -> Call:
            try:
                return stored(record)
            except TooLarge:
                raise
            except Exception as error:  # whatever compilers and disks do; there is another way
                _log.warning("a program is compiled for this process alone: %s", _telling_line(error))
                return in_process(record)

        return made

    def evaluations(self, form: Form) -> int:
        """Of a program that was not recorded here."""
        store = self._store()
        return store.evaluations(self._name_of(form)) if store else 0

    def _name_of(self, form: Form) -> str | None:
        if self._name is None:
            return None
        whole = repr((self._name, form, layers.library(), torch.__version__))
        return hashlib.sha256(whole.encode()).hexdigest()


def of_this_machine() -> Store | None:
    """The programs that processes of this machine share.

    They lie in a folder that the environment names, which :mod:`benchmarks.process.compile_cache` chooses for
    processes that compute trials.
    """
    named = os.environ.get(compile_cache.PROGRAMS)
    return Store(Path(named)) if named else None


OF_THIS_PROCESS = Compiler(store=of_this_machine)
"""What cohorts use unless they are given another: programs are shared by all cohorts of a process."""


def _reaches(shape: StepShape, other: StepShape) -> bool:
    """Whether minibatches are at least as large, so that a step has at least as many operations."""
    pairs = zip(shape.lengths, other.lengths, strict=True)
    return shape.size >= other.size and all((mine or 0) >= (theirs or 0) for mine, theirs in pairs)


def _telling_line(error: Exception) -> str:
    """What a C++ compiler calls an error, or the first line that is not a mere announcement."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if not line.endswith("raised:")]
    return next((line for line in lines if " error: " in line), (telling or lines or ["no message"])[0])
