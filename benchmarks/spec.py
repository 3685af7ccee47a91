"""What is trained: the frozen specification of a trial and its key. Does not import torch."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Literal, get_args

import estimators.registry
from benchmarks.tasks import registry as tasks
from benchmarks.tasks.info import TaskInfo
from estimators.info import EstimatorInfo, Value

Precision = Literal["float32", "tf32"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

KEY_LENGTH = 32  # hexadecimal digits, 128 bits: two of a million trials collide with probability 1e-27


@dataclass(frozen=True, kw_only=True, slots=True)
class Component:
    """A task or an estimator with every parameter written out.

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

    def to_json(self) -> dict[str, Any]:
        """Plain data, the inverse of :meth:`from_json`."""
        return {"id": self.id, "version": self.version, "parameters": dict(self.parameters)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Component:
        """Read what :meth:`to_json` wrote."""
        return cls(
            id=data["id"], version=data["version"], parameters=tuple(sorted(data["parameters"].items()))
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialSpec:
    """One task + estimator + hyper-parameters + one seed: everything that determines a result.

    Attributes:
        task: what is trained, with its budget.
        estimator: gradient estimator and its parameters.
        optimizer: ``adam`` or ``radam``.
        lr: learning rate.
        seed: determines initialisation, data order and noise, each through its own stream.
        precision: of matmul on a GPU, see :mod:`benchmarks.engine.precision`.
    """

    task: Component
    estimator: Component
    optimizer: str
    lr: float
    seed: int
    precision: Precision = "float32"

    def to_json(self) -> dict[str, Any]:
        """Plain data, the inverse of :meth:`from_json`; float32 is what no word about precision means."""
        return {
            "task": self.task.to_json(),
            "estimator": self.estimator.to_json(),
            "optimizer": self.optimizer,
            "lr": self.lr,
            "seed": self.seed,
        } | _stated(self.precision)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> TrialSpec:
        """Read what :meth:`to_json` wrote."""
        return cls(
            task=Component.from_json(data["task"]),
            estimator=Component.from_json(data["estimator"]),
            optimizer=data["optimizer"],
            lr=data["lr"],
            seed=data["seed"],
            precision=data.get("precision", "float32"),
        )

    @property
    def key(self) -> str:
        """Hash of the canonical specification: the identity of the trial."""
        return digest(self.to_json())

    @property
    def cell_key(self) -> str:
        """Hash of everything but the seed: the identity of the cell."""
        return digest({k: v for k, v in self.to_json().items() if k != "seed"})

    @property
    def task_key(self) -> str:
        """Hash of the task with its parameters: the identity of the board."""
        return digest(self.task.to_json())


def cohort_signature(spec: TrialSpec) -> str:
    """Hash of what the trials of one cohort share: task, estimator, their static parameters, precision.

    Seed, learning rate, optimizer and every parameter declared ``lane`` may differ inside a cohort.

    Raises:
        KeyError: the registries do not know the task or the estimator.
    """
    return digest(
        {
            "task": _static(spec.task, tasks.get(spec.task.id)),
            "estimator": _static(spec.estimator, estimators.registry.get(spec.estimator.id)),
        }
        | _stated(spec.precision)
    )


def _stated(precision: Precision) -> dict[str, str]:
    """What a specification says of precision: nothing of float32, so that keys are those of old."""
    return {} if precision == "float32" else {"precision": precision}


def _static(component: Component, info: TaskInfo | EstimatorInfo) -> dict[str, Any]:
    lane = {parameter.name for parameter in info.parameters if parameter.lane}
    parameters = {name: value for name, value in component.parameters if name not in lane}
    return {"id": component.id, "version": component.version, "parameters": parameters}


def digest(data: dict[str, Any]) -> str:
    """SHA-256 of the canonical JSON of ``data``, shortened to 128 bits.

    Keys are sorted, separators have no blanks, text is ASCII, numbers are written as Python's ``repr``
    writes them (the shortest decimal that reads back to the same double, the same since Python 3.1).
    Whether 1 and 1.0 differ is decided before: validation turns every value into its declared type.
    """
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH]
