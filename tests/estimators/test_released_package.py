"""Side by side with the package ``reinmax`` by the authors of ReinMax, where it is installed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from estimators import reinmax
from tests.estimators.problems import seeded
from tests.support.noise import GivenNoise

released = pytest.importorskip("reinmax", reason="needs the package reinmax (pip install reinmax)")


def uniforms_that_draw(z: Tensor, p: Tensor) -> Tensor:
    """Numbers in the middle of the cells that the one-hot samples have in the cumulative distribution."""
    return ((p.cumsum(-1) - p / 2) * z).sum(-1)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-14)], ids=str)
@pytest.mark.parametrize("temperature", [1.0, 1.3, 2.0])
@pytest.mark.parametrize("shape", [(100, 30, 10), (256, 128, 2)], ids=str)
def test_same_gradients(
    shape: tuple[int, ...], temperature: float, dtype: torch.dtype, tolerance: float
) -> None:
    logits = torch.randn(shape, generator=seeded(), dtype=dtype).requires_grad_()
    weights = torch.randn(shape, generator=seeded(1), dtype=dtype)
    theirs, p = released.reinmax(logits, temperature)
    noise = GivenNoise(uniforms_that_draw(theirs.detach(), p.detach()))
    ours = reinmax(logits, temperature=temperature, generator=noise)
    assert torch.equal(ours, theirs)
    gradients = [torch.autograd.grad(((z - 0.3) ** 2 * weights).sum(), logits)[0] for z in (ours, theirs)]
    torch.testing.assert_close(*gradients, rtol=0, atol=tolerance)
