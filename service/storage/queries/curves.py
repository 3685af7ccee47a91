"""Curves of trials: the only module that writes and cuts them and reads their values.

A segment holds consecutive values of one metric as an attempt reported them. An attempt that goes on from a
checkpoint reports what comes after it, so the curve of a trial is all of its segments: those of earlier
attempts up to the checkpoint, those of the last one from there. What an attempt reported beyond goes when
another goes on (:func:`keep_up_to`).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection

from service.states import TrialState
from service.storage.models import CurveSegment, Trial
from service.storage.queries import bulk

_DTYPE = np.dtype("<f4")


class Curve(NamedTuple):
    """Values of one metric of one trial.

    Attributes:
        epochs: (n,) rising, counted from 1; without gaps unless reports are missing.
        values: (n,) float64.
    """

    trial_id: int
    cell_id: int
    seed: int
    metric: str
    epochs: NDArray[np.int64]
    values: NDArray[np.float64]


class _Segment(NamedTuple):
    trial_id: int
    cell_id: int
    seed: int
    metric: str
    first: int
    packed: bytes


def pack(values: Sequence[float]) -> bytes:
    """Little-endian float32, NaN included; what float32 cannot hold becomes an infinity."""
    with np.errstate(over="ignore"):
        return np.asarray(values, dtype=np.float64).astype(_DTYPE).tobytes()


def unpack(packed: bytes) -> NDArray[np.float64]:
    """The inverse of :func:`pack`."""
    return np.frombuffer(packed, dtype=_DTYPE).astype(np.float64)


def pack_many(series: Sequence[Sequence[float]]) -> list[bytes]:
    """Bytes of each, as :func:`pack` makes them, all at once: most series are short."""
    ends = list(itertools.accumulate(map(len, series), initial=0))
    packed = pack(list(itertools.chain.from_iterable(series)))
    size = _DTYPE.itemsize
    return [packed[size * first : size * last] for first, last in itertools.pairwise(ends)]


def insert(connection: Connection, rows: Sequence[tuple[int, str, int, int, Sequence[float]]]) -> None:
    """Add segments: ``trial_id, metric, attempt_id, first, values``."""
    packed = pack_many([values for *_, values in rows])
    segments = [(*row[:4], len(row[4]), values) for row, values in zip(rows, packed, strict=True)]
    columns = ("trial_id", "metric", "attempt_id", "first", "count", "packed")
    bulk.insert(connection, CurveSegment, columns, segments)


def keep_up_to(connection: Connection, epochs: Mapping[int, int], *, attempt: int) -> None:
    """Cut what attempts other than this one have reported of trials.

    Args:
        epochs: trial id -> the last epoch that stays; 0: none.
        attempt: id of the attempt that goes on from there.
    """
    anew = [id for id, last in epochs.items() if last == 0]
    others = CurveSegment.attempt_id != attempt
    if anew:
        connection.execute(sa.delete(CurveSegment).where(CurveSegment.trial_id.in_(anew), others))
    cuts = [{"trial": id, "last": last} for id, last in epochs.items() if last > 0]
    if not cuts:
        return
    mine = (CurveSegment.trial_id == sa.bindparam("trial"), others)
    last = sa.bindparam("last", type_=sa.Integer)
    kept = last - CurveSegment.first + 1
    connection.execute(sa.delete(CurveSegment).where(*mine, CurveSegment.first > last), cuts)
    shorter = sa.func.substr(CurveSegment.packed, 1, kept * _DTYPE.itemsize)
    longer = sa.update(CurveSegment).where(*mine, CurveSegment.count > kept)
    connection.execute(longer.values(count=kept, packed=shorter), cuts)


def of_trial(connection: Connection, trial_id: int) -> list[Curve]:
    """All curves of a trial by metric, as far as they were reported."""
    return _curves(connection, Trial.id == trial_id)


def of_cells(
    connection: Connection, cell_ids: Sequence[int], metrics: Sequence[str] | None = None
) -> list[Curve]:
    """Curves of the seeds that have a result, by cell, metric and seed; without ``metrics`` of all."""
    ended = Trial.state.in_((TrialState.SUCCEEDED, TrialState.FAILED))
    named = () if metrics is None else (CurveSegment.metric.in_(metrics),)
    return _curves(connection, Trial.cell_id.in_(cell_ids), *named, ended)


def _curves(connection: Connection, *conditions: ColumnElement[bool]) -> list[Curve]:
    columns = (Trial.id, Trial.cell_id, Trial.seed, CurveSegment.metric)
    rows = connection.execute(
        sa.select(*columns, CurveSegment.first, CurveSegment.packed)
        .join(CurveSegment, CurveSegment.trial_id == Trial.id)
        .where(*conditions)
        .order_by(
            Trial.cell_id,
            CurveSegment.metric,
            Trial.seed,
            Trial.id,
            CurveSegment.attempt_id,
            CurveSegment.first,
        )
    )
    segments = (_Segment(*row) for row in rows)
    return [_joined(list(one)) for _, one in groupby(segments, key=lambda segment: segment[:4])]


def _joined(segments: Sequence[_Segment]) -> Curve:
    """The segments of a curve, in the order of the attempts: of an epoch that two reported the last stays."""
    pieces = [unpack(segment.packed) for segment in segments]
    spans = [np.arange(s.first, s.first + len(piece)) for s, piece in zip(segments, pieces, strict=True)]
    epochs, last = np.unique(np.concatenate(spans)[::-1], return_index=True)
    return Curve(*segments[0][:4], epochs=epochs, values=np.concatenate(pieces)[::-1][last])
