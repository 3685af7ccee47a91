"""Optimizers that the protocol of a task fixes. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from estimators.info import Value


@dataclass(frozen=True, kw_only=True, slots=True)
class Plateau:
    """A learning rate that falls when a metric has not improved for a while.

    As ``torch.optim.lr_scheduler.ReduceLROnPlateau``: after more than ``patience`` evaluations without an
    improvement by the share ``threshold``, the rate is multiplied by ``factor``.

    Attributes:
        metric: which one, at every evaluation.
        maximize: whether more is better.
        factor: what the rate is multiplied by.
        patience: evaluations without improvement that are let pass.
        threshold: relative improvement that counts.
    """

    metric: str
    maximize: bool
    factor: float = 0.1
    patience: int = 10
    threshold: float = 1e-4


@dataclass(frozen=True, kw_only=True)
class FixedOptimizer:
    """What a task says of the optimizer of a phase; what it leaves open is the sweep's.

    Attributes:
        id: of the optimizer; ``None``: the sweep's, with its parameters.
        lr: learning rate; ``None``: the sweep's.
        parameters: of the optimizer, besides their defaults (or the sweep's).
        plateau: falls of the rate that follow a metric.
    """

    id: str | None = None
    lr: float | None = None
    parameters: Mapping[str, Value] = field(default_factory=dict)
    plateau: Plateau | None = None
