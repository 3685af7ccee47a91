"""What the host remembers of a lane between evaluations: reduced metrics, plateaus, diagnostics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

from benchmarks.engine.optimizers import schedules
from benchmarks.engine.optimizers.group import GroupOptimizer
from benchmarks.engine.optimizers.schedules import PlateauState
from benchmarks.engine.reductions import History, Reductions
from benchmarks.tasks.info import Metric


class LaneRecord(TypedDict):
    """Plain numbers, text and dictionaries, a part of the lane's state.

    Attributes:
        history: of metrics that are reduced.
        plateaus: by phase whose rate follows a metric.
        diagnostics: as last measured.
        diagnosed: the epoch (counted from 1) they were measured at the start of; 0 for never.
    """

    history: History
    plateaus: dict[str, PlateauState]
    diagnostics: dict[str, float]
    diagnosed: int


class Recorder:
    """Keeps the records of lanes.

    Args:
        metrics: that the task declares.
        optimizers: by phase.
    """

    def __init__(self, metrics: Sequence[Metric], optimizers: Mapping[str, GroupOptimizer]) -> None:
        self._reductions = Reductions(metrics)
        self._following = {name: each for name, each in optimizers.items() if each.plateau is not None}

    def start(self) -> LaneRecord:
        """The record of a lane that has done nothing."""
        return LaneRecord(
            history={},
            plateaus={name: schedules.start() for name in self._following},
            diagnostics={},
            diagnosed=0,
        )

    def advanced(self, record: LaneRecord, lane: int, measured: Mapping[str, float]) -> LaneRecord:
        """The record after an evaluation that measured these values."""
        history = self._reductions.advanced(record["history"], measured)
        values = {**measured, **self._reductions.values(history)}
        plateaus = dict(record["plateaus"])
        for name, optimizer in self._following.items():
            assert optimizer.plateau is not None
            if optimizer.plateau.metric in values:
                plateaus[name] = optimizer.evaluated(lane, plateaus[name], values[optimizer.plateau.metric])
        return LaneRecord(
            history=history,
            plateaus=plateaus,
            diagnostics=record["diagnostics"],
            diagnosed=record["diagnosed"],
        )

    def reported(self, record: LaneRecord, measured: Mapping[str, float], epoch: int) -> dict[str, float]:
        """All metrics of an epoch: those measured, those that follow from them, diagnostics of its start."""
        diagnosed = record["diagnostics"] if record["diagnosed"] == epoch else {}
        return {**measured, **self._reductions.values(record["history"]), **diagnosed}
