"""From a step to a program: the first form that works, remembered for as long as its task lives."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from benchmarks.engine import memory
from benchmarks.engine.batches import StepShape
from benchmarks.engine.compiled import inductor, tree
from benchmarks.engine.compiled.forms import Build, Form, Program, TooLarge, forms_of
from benchmarks.engine.step import Inputs, LaneStep, State
from benchmarks.tasks.contract import Task


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
    """

    def __init__(self, forms: Callable[[State], Mapping[Form, Build]] = forms_of) -> None:
        self._forms = forms
        self._known: WeakKeyDictionary[Task, dict[object, Compilation]] = WeakKeyDictionary()

    def compilation(
        self, task: Task, step: LaneStep, shape: StepShape, state: State, inputs: Inputs, *, key: object
    ) -> Compilation:
        """The program of a step, from memory where this compiler has made it before.

        Compiling takes seconds to a minute, less where another process left its results in the cache of
        torch.

        Args:
            task: what ``step`` belongs to.
            step: what to compile.
            shape: of its minibatches.
            state, inputs: an example of what the program will be given; not changed.
            key: what else the program depends on: estimator, static parameters, optimizers, precision.
        """
        known = self._known.setdefault(task, {})
        whole = (key, shape, tree.signature(state), tree.signature(inputs))
        if whole in known:
            return dataclasses.replace(known[whole], seconds=0.0)
        known[whole] = self._compile(step, shape, state, inputs)
        return known[whole]

    def forget(self, task: Task) -> None:
        """Drop the programs of a task: captured graphs hold their memory until then."""
        self._known.pop(task, None)

    def _compile(self, step: LaneStep, shape: StepShape, state: State, inputs: Inputs) -> Compilation:
        """The first form that works, tried out on a copy."""
        began, failures = time.perf_counter(), []
        for form, build in self._forms(state).items():
            try:
                with inductor.many_programs():
                    program = build(step, shape, state, inputs)
                    program.advance(tree.copied(state), inputs, 1)
            except TooLarge:
                break  # a property of the step: no form is to be tried, and nothing has failed
            except Exception as error:  # compilers fail in ways without number; what they say is passed on
                if memory.is_out_of_memory(error):
                    raise  # fewer lanes may do, another form would need as much
                failures.append(f"{form}: {type(error).__name__}: {_telling_line(error)}")
            else:
                return Compilation(program, tuple(failures), time.perf_counter() - began, step.spent)
        return Compilation(None, tuple(failures), time.perf_counter() - began)


OF_THIS_PROCESS = Compiler()
"""What cohorts use unless they are given another: programs are shared by all cohorts of a process."""


def _telling_line(error: Exception) -> str:
    """What a C++ compiler calls an error, or the first line that is not a mere announcement."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if not line.endswith("raised:")]
    return next((line for line in lines if " error: " in line), (telling or lines or ["no message"])[0])
