"""The network of the Bernoulli VAE, every lane with weights of its own.

    encoder  784 - 200 - 200 - L       decoder  L - 200 - 200 - 784

Leaky ReLU of slope 0.3 after the hidden layers, nothing on either output.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.tasks.bernoulli_vae.info import HIDDEN
from benchmarks.tasks.contract import Parameters, linear
from estimators import NoiseSource

PIXELS = 784
SLOPE = 0.3
"""Of the leaky ReLU."""
SPARSE_INPUTS = frozenset({"encoder.0.weight"})
"""Most pixels are 0; codes are not mostly zeros."""


def initial(
    noise: NoiseSource, lanes: int, latents: int, *, glorot: bool, device: torch.device
) -> Parameters:
    """Where training starts: ``HALF.LAYER.weight`` ``(lanes, o, i)`` and ``HALF.LAYER.bias`` ``(lanes, o)``.

    Args:
        noise: of initialisation.
        lanes: number of lanes.
        latents: L.
        glorot: weights uniform in +-sqrt(6 / (i + o)) and biases 0, Keras's default; otherwise both uniform
            in +-1/sqrt(i), PyTorch's.
        device: where they lie.
    """
    parameters: Parameters = {}

    def uniform(bound: float, *shape: int) -> Tensor:
        return bound * (2 * noise.uniform((lanes, *shape), dtype=torch.float32, device=device) - 1)

    widths = {"encoder": (PIXELS, HIDDEN, HIDDEN, latents), "decoder": (latents, HIDDEN, HIDDEN, PIXELS)}
    for half, sizes in widths.items():
        for layer, (i, o) in enumerate(itertools.pairwise(sizes)):
            bound = math.sqrt(6 / (i + o)) if glorot else 1 / math.sqrt(i)
            parameters[f"{half}.{layer}.weight"] = uniform(bound, o, i)
            parameters[f"{half}.{layer}.bias"] = (
                torch.zeros(lanes, o, device=device) if glorot else uniform(bound, o)
            )
    return parameters


def encoded(parameters: Parameters, x: Tensor) -> Tensor:
    """Images ``(lanes, B, 784)`` to the encoder's output ``(lanes, B, L)``."""
    return _layers(parameters, "encoder", x)


def decoded(parameters: Parameters, bits: Tensor) -> Tensor:
    """Codes ``(lanes, ..., L)`` to logits of pixels ``(lanes, ..., 784)``."""
    return _layers(parameters, "decoder", bits)


def _layers(parameters: Parameters, half: str, x: Tensor) -> Tensor:
    for layer in range(3):
        x = x if layer == 0 else functional.leaky_relu(x, SLOPE)
        name = f"{half}.{layer}.weight"
        x = linear(x, parameters[name], parameters[f"{half}.{layer}.bias"], mostly_zero=name in SPARSE_INPUTS)
    return x
