"""Keys of many cells at once: the hashes of :mod:`benchmarks.spec`, whose shared parts are written once.

A canonical text is sorted JSON without blanks, so that of a cell is put together from those of its task, its
estimator and its optimizer. Tens of thousands of cells a second get their keys so. Does not import torch.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterable, Mapping
from typing import Literal, NamedTuple

from benchmarks.datasets.catalogue import DataSet
from benchmarks.spec import (
    CellSpec,
    Component,
    Kind,
    lane_parameters,
    neutral_values,
    optimizer_to_json,
    shared_of_optimizer,
    shortened_hash,
)
from benchmarks.tasks import registry as tasks
from estimators.info import Value

Data = Callable[[Mapping[str, Value]], tuple[DataSet, ...]]
"""Parameters -> the data sets that they need."""

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


class KeyedCell(NamedTuple):
    """A cell with what identifies it and the trials of it that are wanted.

    Attributes:
        spec: the cell.
        key, task_key: its ``cell_key`` and ``task_key``.
        signature: as :func:`~benchmarks.spec.cohort_signature`.
        steps: of one trial.
        seeds: trial key -> seed.
        text, task_text: the canonical JSON of the cell and of its task.
    """

    spec: CellSpec
    key: str
    task_key: str
    signature: str
    steps: int
    seeds: dict[str, int]
    text: str
    task_text: str


class _Fields(dict[tuple[str, Value], str]):
    """Parameters as they are written, made on first use; the empty text for those that are left out."""

    def __init__(self, neutral: Mapping[str, Value], without: Container[str]) -> None:
        super().__init__()
        self._neutral, self._without = neutral, without

    def __missing__(self, field: tuple[str, Value]) -> str:
        name, value = field
        left_out = name in self._without or self._neutral.get(name) == value
        self[field] = written = "" if left_out else f"{_written(name)}:{_written(value)}"
        return written


class _Declared:
    """How components of one id are written, in full and without what may differ inside a cohort.

    Values of a parameter are of one type: 1 and 1.0, which are written differently, do not meet.
    """

    def __init__(self, kind: Literal["task", "estimator"], id: str, data: Data) -> None:
        neutral = neutral_values(kind, id)
        self._id, self._data = _written(id), data
        self._all = _Fields(neutral, ())
        self._shared = _Fields(neutral, lane_parameters(kind, id))

    def part(self, component: Component, values: Mapping[str, Value]) -> _Part:
        """The component with its texts; ``values`` are its own."""
        stand_ins = {one.id: one.digest for one in self._data(values) if one.stand_in}
        data = f'"data":{_written(stand_ins)},' if stand_ins else ""
        head, tail = f'{{{data}"id":{self._id},"parameters":{{', f'}},"version":{component.version}}}'
        full = ",".join(filter(None, map(self._all.__getitem__, component.parameters)))
        shared = ",".join(filter(None, map(self._shared.__getitem__, component.parameters)))
        return _Part(component, head + full + tail, head + shared + tail)


class _Part(NamedTuple):
    """A component, its canonical text, and the text of what the trials of a cohort share of it."""

    component: Component
    text: str
    shared: str


class _Task(NamedTuple):
    """A task with its key, and the steps of a trial."""

    part: _Part
    key: str
    steps: int


class KeyMaker:
    """Makes keys; keeps what the next cells need again.

    Cells of one board should come one after the other, and share their components' objects.
    """

    def __init__(self) -> None:
        self._task: _Task | None = None
        self._declared: dict[tuple[Kind, str], _Declared] = {}
        self._parts: dict[int, _Part] = {}
        self._signatures: dict[tuple[int, int], str] = {}

    def keyed(self, spec: CellSpec, seeds: Iterable[int]) -> KeyedCell:
        """A cell with these seeds and its keys.

        Raises:
            KeyError: the registries do not know the task, the estimator or the optimizer.
        """
        task = self._of_task(spec.task)
        estimator, optimizer = self._of_estimator(spec.estimator), self._of_optimizer(spec.optimizer)
        first, last = _extras(spec)
        head = f'{{{first}"estimator":{estimator.text},"lr":{spec.lr!r},"optimizer":{optimizer.text}{last}'
        tail = f',"task":{task.part.text}}}'
        text = head + tail
        return KeyedCell(
            spec=spec,
            key=shortened_hash(text),
            task_key=task.key,
            signature=self._signature(spec, estimator, optimizer, task),
            steps=task.steps,
            seeds={shortened_hash(f'{head},"seed":{seed}{tail}'): seed for seed in seeds},
            text=text,
            task_text=task.part.text,
        )

    def _of_task(self, task: Component) -> _Task:
        """Kept until the next task: there may be a hundred thousand of them."""
        if self._task is None or self._task.part.component is not task:
            info, values = tasks.get(task.id), task.values
            part = self._declaration("task", task.id, info.data).part(task, values)
            self._task = _Task(part, shortened_hash(part.text), info.total_steps(values))
            self._signatures.clear()
        return self._task

    def _of_estimator(self, estimator: Component) -> _Part:
        found = self._parts.get(id(estimator))
        if found is None:
            found = self._declaration("estimator", estimator.id, _no_data).part(estimator, estimator.values)
            self._parts[id(estimator)] = found
        return found

    def _of_optimizer(self, optimizer: Component) -> _Part:
        found = self._parts.get(id(optimizer))
        if found is None:
            shared = shared_of_optimizer(optimizer)
            text = f'"optimizer":{_written(shared["optimizer"])},' if shared else ""
            found = _Part(optimizer, _written(optimizer_to_json(optimizer)), text)
            self._parts[id(optimizer)] = found
        return found

    def _declaration(self, kind: Literal["task", "estimator"], id: str, data: Data) -> _Declared:
        found = self._declared.get((kind, id))
        if found is None:
            found = self._declared[kind, id] = _Declared(kind, id, data)
        return found

    def _signature(self, spec: CellSpec, estimator: _Part, optimizer: _Part, task: _Task) -> str:
        key = (id(estimator), id(optimizer))
        found = self._signatures.get(key)
        if found is None:
            first, last = _extras(spec)
            extra = f"{last[1:]}," if last else ""
            found = self._signatures[key] = shortened_hash(
                f'{{{first}"estimator":{estimator.shared},{optimizer.shared}{extra}"task":{task.part.shared}}}'
            )
        return found


def _no_data(values: Mapping[str, Value]) -> tuple[DataSet, ...]:
    return ()


def _extras(spec: CellSpec) -> tuple[str, str]:
    """Diagnostics, which come first, and the precision, which comes before seed and task."""
    precision = "" if spec.precision == "float32" else f',"precision":{_written(spec.precision)}'
    if spec.diagnostics is None:
        return "", precision
    return f'"diagnostics":{_written(spec.diagnostics.to_json())},', precision


def _written(value: object) -> str:
    return _ENCODER.encode(value)
