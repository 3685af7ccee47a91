"""Golden data: problems with the conditional means, means and variances that each estimator must show.

Records are named ``ID`` or ``ID@SETTING``. Tests ask for the records of the estimators in the registry, so
that a new registry entry is held against its records without a change here.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from estimators import available

DATA = Path(__file__).parent / "data"
FILES = ("path_cases", "path_nonlinear", "score_cases")

PARAMETER_NAMES = {"K": "num_draws", "gap": "gap", "eta": "eta"}
"""Names of path parameters in the files and in the registry."""


@dataclass(frozen=True)
class Golden:
    """One record of one case."""

    file: str
    case: dict[str, Any]
    name: str

    @property
    def id(self) -> str:
        """Registry id of the estimator."""
        return estimator_id(self.name)

    @property
    def record(self) -> dict[str, Any]:
        """What the file says of this estimator on this case."""
        return records(self.case)[self.name]

    def __str__(self) -> str:
        return f"{self.case['id']}-{self.name}"


def estimator_id(name: str) -> str:
    """Registry id of a record name."""
    return name.split("@")[0]


@functools.cache
def cases(file: str) -> list[dict[str, Any]]:
    """All cases of a golden file."""
    loaded: list[dict[str, Any]] = json.loads((DATA / f"{file}.json").read_text())["cases"]
    return loaded


def records(case: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The records of a case, those that files keep inside others written out.

    ``gumbel_rao`` holds one variance per number of draws and shares its mean with ``stgs``, as does
    ``gumbel_softmax``; what released code gives instead of a definition is the record ``ID_released``.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, record in case["estimators"].items():
        shared = case["estimators"].get(record.get("same_cond_grad_as"), {})
        for K, numbers in record.get("by_K", {}).items():
            found[f"{name}@{K}"] = {**shared, **numbers, "params": {"K": int(K)}}
        if "by_K" not in record:
            found[name] = record
        if "official_code_cond_grad" in record:
            found[f"{name}_released"] = {
                "kind": record["kind"],
                "params": record["params"],
                "cond_grad": record["official_code_cond_grad"],
                "cond_var": record.get("official_code_cond_var"),
            }
    if "cond_grad" in found.get("stgs", {}):
        found["gumbel_softmax"] = found["stgs"]
    return found


def goldens(file: str) -> list[Golden]:
    """Records of ``file`` that speak of a registered estimator."""
    known = set(available())
    every = [Golden(file, case, name) for case in cases(file) for name in records(case)]
    return [golden for golden in every if golden.id in known]


def unregistered() -> set[str]:
    """Estimators that the files speak of and the registry does not know."""
    names = {estimator_id(name) for file in FILES for case in cases(file) for name in case["estimators"]}
    return names - set(available())


def tensor(numbers: Any) -> Tensor:
    """Float64 tensor of nested lists in which ``"-inf"`` and ``null`` (an impossible outcome) may stand."""
    return torch.tensor(_readable(numbers), dtype=torch.float64)


def _readable(numbers: Any) -> Any:
    if isinstance(numbers, list):
        return [_readable(number) for number in numbers]
    return float("nan") if numbers is None else float(numbers)


def conditional(golden: Golden, field: str) -> Tensor:
    """A field of the record as ``(n, n)``: row i belongs to outcome i, NaN where it is impossible."""
    n = golden.case["n"]
    rows = golden.record[field]
    return torch.stack([torch.full((n,), torch.nan) if row is None else tensor(row) for row in rows])
