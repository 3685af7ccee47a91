"""What the files of the battery share: marks that run a test for every registered estimator."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from estimators import EstimatorInfo, available, get

ALL = [get(id) for id in available()]
PATH = [info for info in ALL if info.properties.kind == "path"]
every = pytest.mark.parametrize("info", ALL, ids=lambda info: info.id)
every_path = pytest.mark.parametrize("info", PATH, ids=lambda info: info.id)
dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


def lane_parameters(info: EstimatorInfo, count: int) -> dict[str, Tensor]:
    """A different value per lane, ``(count, 1, 1, 1)``, for every parameter that lanes may differ in."""
    return {
        p.name: torch.linspace(0.3, 1.7, count).clamp_min(p.minimum).reshape(count, 1, 1, 1)
        for p in info.parameters
        if p.lane
    }
