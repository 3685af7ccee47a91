"""What is trained: the frozen specification of a trial and its key. Does not import torch.

The canonical form, of which keys are made, leaves out what says nothing: a parameter at its neutral value
(see :class:`estimators.info.Parameter`), float32, no diagnostics, data that everybody has. A parameter that
is declared later renames no stored result, and a specification stored before it was declared reads back with
its neutral value.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

import estimators.registry
from benchmarks.datasets.catalogue import DataSet
from benchmarks.engine.optimizers import registry as optimizers
from benchmarks.engine.optimizers.registry import OptimizerInfo
from benchmarks.tasks import registry as tasks
from benchmarks.tasks.info import TaskInfo
from estimators.info import EstimatorInfo, Parameter, Value

Precision = Literal["float32", "tf32"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

Kind = Literal["task", "estimator", "optimizer"]
"""Which registry the id of a component belongs to."""

KEY_LENGTH = 32  # hexadecimal digits, 128 bits: two of a million trials collide with probability 1e-27


@dataclass(frozen=True, kw_only=True, slots=True)
class Component:
    """A task, an estimator or an optimizer with every parameter written out.

    Attributes:
        id: registry id.
        version: registry version, so that results of changed code get a new key.
        parameters: (name, value) pairs, all declared parameters, sorted by name.
    """

    id: str
    version: int
    parameters: tuple[tuple[str, Value], ...]

    @property
    def values(self) -> dict[str, Value]:
        """The parameters as a dictionary."""
        return dict(self.parameters)

    def stated(self, kind: Kind) -> dict[str, Value]:
        """The parameters that are not at their neutral value, all of them for an unregistered id."""
        neutral = neutral_values(kind, self.id)
        return {name: value for name, value in self.parameters if neutral.get(name) != value}

    def to_json(self, kind: Kind) -> dict[str, Any]:
        """Plain data without neutral values, the inverse of :meth:`from_json`."""
        plain = {"id": self.id, "version": self.version, "parameters": self.stated(kind)}
        stand_ins = {one.id: one.digest for one in self.data(kind) if one.stand_in}
        return plain | ({"data": stand_ins} if stand_ins else {})

    def data(self, kind: Kind = "task") -> tuple[DataSet, ...]:
        """The data sets that a task reads; none of what is no task, or is not registered."""
        if kind != "task" or self.id not in tasks.available():
            return ()
        return tasks.get(self.id).data(self.values)

    @classmethod
    def from_json(cls, data: dict[str, Any], kind: Kind) -> Component:
        """Read what :meth:`to_json` wrote; parameters that are missing take their neutral values.

        A parameter without one, and those of an unregistered id, stay missing.
        """
        values = neutral_values(kind, data["id"]) | data["parameters"]
        return cls(id=data["id"], version=data["version"], parameters=tuple(sorted(values.items())))


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnostics:
    """What is measured of gradients during training.

    Attributes:
        epochs: at the start of which epochs, counted from 1, in rising order.
        draws: repeated estimates at fixed parameters.
        examples: of the fixed batch that they are made on.
        estimators: others that are measured at the same parameters, in order of their ids, which are
            distinct; none of them has a state.
    """

    epochs: tuple[int, ...]
    draws: int
    examples: int
    estimators: tuple[Component, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain data, the inverse of :meth:`from_json`: nothing of estimators where there are none."""
        data = {"epochs": list(self.epochs), "draws": self.draws, "examples": self.examples}
        others = [other.to_json("estimator") for other in self.estimators]
        return data | ({"estimators": others} if others else {})

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Diagnostics:
        """Read what :meth:`to_json` wrote."""
        return cls(
            epochs=tuple(data["epochs"]),
            draws=data["draws"],
            examples=data["examples"],
            estimators=tuple(Component.from_json(it, "estimator") for it in data.get("estimators", ())),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class CellSpec:
    """One task + estimator + hyper-parameters: everything that determines a result but the seed.

    Attributes:
        task: what is trained, with its budget.
        estimator: gradient estimator and its parameters.
        optimizer: update rule and its parameters besides the learning rate.
        lr: learning rate.
        precision: of matmul on a GPU, see :mod:`benchmarks.engine.precision`.
        diagnostics: what is measured of gradients besides, if anything.
    """

    task: Component
    estimator: Component
    optimizer: Component
    lr: float
    precision: Precision = "float32"
    diagnostics: Diagnostics | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data, the inverse of :meth:`from_json`: the canonical form."""
        return {
            "task": self.task.to_json("task"),
            "estimator": self.estimator.to_json("estimator"),
            "optimizer": optimizer_to_json(self.optimizer),
            "lr": self.lr,
        } | _extras(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> CellSpec:
        """Read what :meth:`to_json` wrote, in this version or an older one."""
        diagnostics = data.get("diagnostics")
        return CellSpec(
            task=Component.from_json(data["task"], "task"),
            estimator=Component.from_json(data["estimator"], "estimator"),
            optimizer=optimizer_from_json(data["optimizer"]),
            lr=data["lr"],
            precision=data.get("precision", "float32"),
            diagnostics=None if diagnostics is None else Diagnostics.from_json(diagnostics),
        )

    def seeded(self, seed: int) -> TrialSpec:
        """The trial of this cell with that seed."""
        return TrialSpec(**{field.name: getattr(self, field.name) for field in fields(CellSpec)}, seed=seed)

    @property
    def cell_key(self) -> str:
        """Hash of everything but the seed: the identity of the cell."""
        return digest(CellSpec.to_json(self))

    @property
    def task_key(self) -> str:
        """Hash of the task with its parameters: the identity of the board."""
        return digest(self.task.to_json("task"))


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialSpec(CellSpec):
    """A cell with one seed: everything that determines a result.

    Attributes:
        seed: determines initialisation, data order and noise, each through its own stream.
    """

    seed: int

    def to_json(self) -> dict[str, Any]:
        """Plain data, the inverse of :meth:`from_json`: the canonical form."""
        return CellSpec.to_json(self) | {"seed": self.seed}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> TrialSpec:
        """Read what :meth:`to_json` wrote, in this version or an older one."""
        return CellSpec.from_json(data).seeded(data["seed"])

    @property
    def key(self) -> str:
        """Hash of the canonical specification: the identity of the trial."""
        return digest(self.to_json())

    @property
    def cell(self) -> CellSpec:
        """The same without the seed."""
        return CellSpec(**{field.name: getattr(self, field.name) for field in fields(CellSpec)})


def cohort_signature(spec: CellSpec) -> str:
    """Hash of what the trials of one cohort share.

    Shared are task, estimator, their static parameters, precision, diagnostics, and the optimizer's family
    and parameters. Seed, learning rate and every parameter declared ``lane`` may differ inside a cohort, and
    so may optimizers of one family (Adam and RAdam) whose parameters are equal.

    Raises:
        KeyError: the registries do not know the task, the estimator or the optimizer.
    """
    return digest(
        {
            "task": _without(spec.task.to_json("task"), lane_parameters("task", spec.task.id)),
            "estimator": _without(
                spec.estimator.to_json("estimator"), lane_parameters("estimator", spec.estimator.id)
            ),
        }
        | shared_of_optimizer(spec.optimizer)
        | _extras(spec)
    )


def lane_parameters(kind: Literal["task", "estimator"], id: str) -> set[str]:
    """Names of the parameters in which the lanes of a cohort may differ.

    Raises:
        KeyError: the registry does not know the id.
    """
    info = tasks.get(id) if kind == "task" else estimators.registry.get(id)
    return {p.name for p in info.parameters if p.lane}


def neutral_values(kind: Kind, id: str) -> dict[str, Value]:
    """Neutral values of the declared parameters that have one."""
    return {p.name: p.neutral for p in _declared(kind, id) if p.neutral is not None}


def _declared(kind: Kind, id: str) -> tuple[Parameter, ...]:
    """Declared parameters; none for an id that the registry does not know."""
    registries = {"task": tasks, "estimator": estimators.registry, "optimizer": optimizers}
    try:
        info: TaskInfo | EstimatorInfo | OptimizerInfo = registries[kind].get(id)
    except KeyError:
        return ()
    return info.parameters


def optimizer_to_json(optimizer: Component) -> str | dict[str, Any]:
    """An optimizer of version 1 whose parameters are all neutral is written as its id."""
    data = optimizer.to_json("optimizer")
    return optimizer.id if optimizer.version == 1 and not data["parameters"] else data


def optimizer_from_json(data: str | dict[str, Any]) -> Component:
    """Read the canonical form of an optimizer; an id alone is its version 1 with neutral parameters."""
    plain = {"id": data, "version": 1, "parameters": {}} if isinstance(data, str) else data
    return Component.from_json(plain, "optimizer")


def _extras(spec: CellSpec) -> dict[str, Any]:
    """What a specification says of precision and diagnostics: nothing of float32, nothing of none."""
    precision = {} if spec.precision == "float32" else {"precision": spec.precision}
    return precision if spec.diagnostics is None else precision | {"diagnostics": spec.diagnostics.to_json()}


def _without(component: dict[str, Any], names: set[str]) -> dict[str, Any]:
    """The JSON of a component without some of its parameters."""
    parameters = {name: value for name, value in component["parameters"].items() if name not in names}
    return component | {"parameters": parameters}


def shared_of_optimizer(optimizer: Component) -> dict[str, Any]:
    """Nothing of a plain Adam or RAdam, so that signatures of trials that wait in old queues stay."""
    info = optimizers.get(optimizer.id)
    shared = {
        "family": info.family,
        "version": optimizer.version,
        "parameters": optimizer.stated("optimizer"),
    }
    plain = {"family": "adam", "version": 1, "parameters": {}}
    return {} if shared == plain else {"optimizer": shared}


def digest(data: dict[str, Any]) -> str:
    """SHA-256 of the canonical JSON of ``data``, shortened to 128 bits.

    Keys are sorted, separators have no blanks, text is ASCII, numbers are written as Python's ``repr``
    writes them (the shortest decimal that reads back to the same double, the same since Python 3.1).
    Whether 1 and 1.0 differ is decided before: validation turns every value into its declared type.
    """
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return shortened_hash(text)


def shortened_hash(text: str) -> str:
    """SHA-256 of a text, shortened to 128 bits."""
    return hashlib.sha256(text.encode()).digest()[: KEY_LENGTH // 2].hex()
