"""How a board is computed again: a sweep file of its shown settings, and what it takes."""

from __future__ import annotations

import functools
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ruamel.yaml import YAML

from benchmarks.spec import CellSpec, Component
from benchmarks.sweep_file.limits import MAX_NAME_LENGTH
from estimators.info import Value
from service.resources.board_schemas import AskingSweep, DataDigest, Repeat
from service.states import TrialState
from service.storage.queries.boards import AskingRow, SeedRow

WIDE = 10_000
"""Columns of a line: entries of a sweep file are not broken."""


def asking(rows: Iterable[AskingRow]) -> list[AskingSweep]:
    """Sweeps with the paths of their pages."""
    return [
        AskingSweep(id=str(row.id), name=row.name, owner=row.owner, page=f"/sweeps/{row.id}") for row in rows
    ]


def repeat(
    title: str,
    task: Component,
    specs: Sequence[CellSpec],
    seeds: Sequence[SeedRow],
    provenances: Iterable[Mapping[str, Any]],
    *,
    select: str,
    report: Sequence[str],
    board: str,
    spent: float,
) -> Repeat | None:
    """What it takes to compute the shown settings again; ``None`` where none is shown.

    Args:
        title: of the board.
        task: of the board.
        specs: of the shown settings, best first.
        seeds: of the shown settings.
        provenances: of the attempts that computed them.
        select: the metric that chooses.
        report: metrics beside it.
        board: its key.
        spent: device seconds of all trials.
    """
    if not specs:
        return None
    computed = [seed for seed in seeds if seed.state is TrialState.SUCCEEDED]
    numbers = sorted({seed.seed for seed in computed})
    document = {
        "name": title[:MAX_NAME_LENGTH],
        "task": {"id": task.id, **task.values},
        "estimators": [_entry(spec) for spec in _alike(specs)],
        "seeds": len(numbers) if numbers == list(range(len(numbers))) else numbers,
        "select": {"metric": select},
        "report": [*report] or [select],
    } | _extras(specs[0])
    used = list(provenances)
    return Repeat(
        sweep_file=_yaml(json.dumps(document)) + "".join(f"# {line}\n" for line in _left_out(specs)),
        command=f"heunboard submit board-{board[:12]}.yaml",
        seeds=numbers,
        data=_data(task, used),
        revisions=list(dict.fromkeys(str(one["git_revision"]) for one in used if one.get("git_revision"))),
        trials=len(computed),
        device_seconds=sum(seed.seconds or 0.0 for seed in computed),
        device_seconds_spent=spent,
    )


def _alike(specs: Sequence[CellSpec]) -> list[CellSpec]:
    """Those with the precision and diagnostics of the first: a sweep has one of each."""
    first = specs[0]
    return [s for s in specs if (s.precision, s.diagnostics) == (first.precision, first.diagnostics)]


def _left_out(specs: Sequence[CellSpec]) -> list[str]:
    alike = _alike(specs)
    return [
        f"{spec.estimator.id} is not in this file: its precision or diagnostics are others"
        for spec in specs
        if spec not in alike
    ]


def _entry(spec: CellSpec) -> dict[str, Any]:
    """One setting as an entry under ``estimators``."""
    rule = spec.optimizer.stated("optimizer")
    optimizer: str | dict[str, Value] = {"id": spec.optimizer.id, **rule} if rule else spec.optimizer.id
    return {"id": spec.estimator.id, **spec.estimator.values, "optimizer": optimizer, "lr": spec.lr}


def _extras(spec: CellSpec) -> dict[str, Any]:
    precision = {} if spec.precision == "float32" else {"precision": spec.precision}
    if spec.diagnostics is None:
        return precision
    others = [{"id": other.id, **other.values} for other in spec.diagnostics.estimators]
    block = spec.diagnostics.to_json() | ({"estimators": others} if others else {})
    return precision | {"diagnostics": block}


def _data(task: Component, provenances: Iterable[Mapping[str, Any]]) -> list[DataDigest]:
    """As the attempts say; as the catalogue does where none says."""
    known = {name: digest for one in provenances for name, digest in (one.get("data") or {}).items()}
    known = known or {one.id: one.digest for one in task.data()}
    return [DataDigest(name=name, digest=digest) for name, digest in sorted(known.items())]


@functools.lru_cache(maxsize=64)  # while a board is computed its chosen settings seldom change
def _yaml(document: str) -> str:
    """YAML of a JSON text."""
    writer = YAML()
    writer.width = WIDE
    writer.default_flow_style = None  # blocks without blocks in them on one line
    text = io.StringIO()
    writer.dump(json.loads(document), text)
    return text.getvalue()
