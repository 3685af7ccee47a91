"""What the files of the battery share: marks that run a test for every registered estimator."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from estimators import EstimatorInfo, available, get

ALL = [get(id) for id in available()]
PATH = [info for info in ALL if info.properties.kind == "path"]
TEMPERED = [info for info in PATH if info.temperature_range is not None]
JACOBIAN = [info for info in ALL if info.properties.sums_to_zero]
"""All whose entries sum to zero over the categories, as those of a Jacobian product do."""
TRACEABLE = [
    info for info in ALL if info.properties.kind != "score+grad" and info.parameter("learning_rate") is None
]
"""All but those that differentiate within the call, f or their own squares: ``torch.compile`` refuses."""

every = pytest.mark.parametrize("info", ALL, ids=lambda info: info.id)
every_path = pytest.mark.parametrize("info", PATH, ids=lambda info: info.id)
every_tempered = pytest.mark.parametrize("info", TEMPERED, ids=lambda info: info.id)
every_jacobian = pytest.mark.parametrize("info", JACOBIAN, ids=lambda info: info.id)
every_traceable = pytest.mark.parametrize("info", TRACEABLE, ids=lambda info: info.id)
dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


def lane_parameters(info: EstimatorInfo, count: int) -> dict[str, Tensor]:
    """A different value per lane, ``(count, 1, 1, 1)``, for every parameter that lanes may differ in."""
    return {
        p.name: torch.linspace(0.3, 1.7, count).clamp(p.minimum, p.maximum).reshape(count, 1, 1, 1)
        for p in info.parameters
        if p.lane
    }
