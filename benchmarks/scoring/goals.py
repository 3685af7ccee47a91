"""Which end of a metric is the good one."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Goal = Literal["minimize", "maximize"]
"""As in task facts and sweep files."""


def costs(values: ArrayLike, goal: Goal) -> NDArray[np.float64]:
    """The values, or their negatives if large ones are good: small costs are good.

    Values that are not finite are failures, whatever their sign: they cost infinity.
    """
    array = np.asarray(values, dtype=np.float64)
    signed = -array if goal == "maximize" else array
    return np.where(np.isfinite(array), signed, np.inf)
