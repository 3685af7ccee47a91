r"""A variational auto-encoder with L categorical latents of C categories on grey images.

    encoder  784 - 512 - 256 - (L C)       decoder  (L C) - 256 - 512 - 784

ReLU after the hidden layers, nothing on the encoder's output (reshaped to L x C logits), sigmoid on the
decoder's. Loss per image, averaged over the minibatch:

    BCE(x, decoder(D)) + KL,    KL = sum q ln(q + 1e-10) + L ln C,    q = softmax(logits),  D ~ q

The binary cross-entropy is summed over the 784 pixels; inputs and targets are grey values x/255, never
binarised. The KL term is differentiated as it stands; only the BCE passes through the estimator.

Source: Liu et al., "Bridging Discrete and Backpropagation: Straight-Through and Beyond", NeurIPS 2023,
section 5.3 and the code released with it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.datasets.loading import Images, load
from benchmarks.kernels import layers
from benchmarks.tasks.contract import LaneEstimator, Parameters, StepResult, draw, linear
from estimators import NoiseSource, Value

PIXELS = 784
_HIDDEN = (512, 256)
_LOG_FLOOR = 1e-10  # inside the logarithm of the KL term, as in the released code
_TEST_CHUNK = 1000  # test images decoded at a time


class CategoricalVAE:
    """The task for given parameters.

    Args:
        values: ``dataset, categories, latents, batch_size`` as the registry declares them.
        device: where images and parameters lie.
        data_dir: where data sets lie; default as in :mod:`benchmarks.datasets.loading`.
        images: the images themselves, instead of the data set that ``values`` names.

    Raises:
        DatasetUnavailable: the data set can be neither found nor fetched.
        ValueError: the environment asks for a library of products that is not here.
    """

    def __init__(
        self,
        values: Mapping[str, Value],
        *,
        device: torch.device,
        data_dir: Path | None = None,
        images: Images | None = None,
    ) -> None:
        # Chosen now: a measurement cannot be a part of a recorded step.
        skips_zeros = device.type == "cpu" and layers.library() == "native"
        images = images if images is not None else load(str(values["dataset"]), data_dir=data_dir)
        self._train = images.train.to(device)
        self._test = images.test.to(device)
        self.categories = int(values["categories"])
        self.latents = int(values["latents"])
        self.batch_size = int(values["batch_size"])
        self.examples: int | None = len(self._train)
        self.steps_per_epoch = -(-len(self._train) // self.batch_size)
        # Most pixels are black, and codes are one-hot, unless they are relaxed.
        self.input_major = frozenset({"encoder.0.weight", "decoder.0.weight"} if skips_zeros else ())

    def init(self, noise: NoiseSource, lanes: int) -> Parameters:
        """Weights and biases uniform in +-1/sqrt(fan-in), PyTorch's default."""
        code = self.latents * self.categories
        widths = {"encoder": (PIXELS, *_HIDDEN, code), "decoder": (code, *reversed(_HIDDEN), PIXELS)}
        parameters: Parameters = {}
        for half, sizes in widths.items():
            for layer, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
                for kind, shape in (("weight", (fan_out, fan_in)), ("bias", (fan_out,))):
                    u = noise.uniform((lanes, *shape), dtype=torch.float32, device=self._train.device)
                    parameters[f"{half}.{layer}.{kind}"] = (2 * u - 1) / math.sqrt(fan_in)
        return parameters

    def batch(self, index: Tensor) -> Tensor:
        """Grey values ``(lanes, B, 784)`` in [0, 1]."""
        return _grey(self._train.index_select(0, index.flatten())).view(*index.shape, PIXELS)

    def step(
        self, parameters: Parameters, batch: Tensor | None, noise: NoiseSource, estimator: LaneEstimator
    ) -> StepResult:
        """-ELBO of a minibatch with one estimate of the reconstruction term per image."""
        if batch is None:
            raise ValueError("the VAE needs a minibatch")
        logits = self._encode(parameters, batch)
        estimate = estimator(logits, lambda z: _bce(_decode(parameters, z), batch), noise)
        bce, kl = estimate.surrogate.mean(-1), kl_to_uniform(logits).mean(-1)
        loss = bce + kl
        metrics = {"train_neg_elbo": loss, "train_bce": bce, "train_kl": kl}
        return StepResult(
            loss=loss,
            metrics={name: value.detach() for name, value in metrics.items()},
            weight=batch.shape[1],
            state=estimate.state,
        )

    def evaluate(self, parameters: Parameters, noise: NoiseSource) -> dict[str, Tensor]:
        """Mean -ELBO over the test images, one draw each."""
        lanes = next(iter(parameters.values())).shape[0]
        total = torch.zeros(lanes, dtype=torch.float64, device=self._test.device)
        for chunk in self._test.split(_TEST_CHUNK):
            x = _grey(chunk).expand(lanes, -1, -1)
            logits = self._encode(parameters, x)
            bce = _bce(_decode(parameters, draw(logits, noise).unsqueeze(0)), x).squeeze(0)
            total += (bce + kl_to_uniform(logits)).sum(-1, dtype=torch.float64)
        return {"test_neg_elbo": total / len(self._test)}

    def _encode(self, parameters: Parameters, x: Tensor) -> Tensor:
        """Images ``(lanes, B, 784)`` to logits ``(lanes, B, L, C)``."""
        return _layers(parameters, "encoder", x).view(*x.shape[:-1], self.latents, self.categories)


def _layers(parameters: Parameters, half: str, x: Tensor) -> Tensor:
    for layer in range(3):
        x = x if layer == 0 else x.relu()
        weight, bias = parameters[f"{half}.{layer}.weight"], parameters[f"{half}.{layer}.bias"]
        x = linear(x, weight, bias, mostly_zero=layer == 0)
    return x


def _decode(parameters: Parameters, z: Tensor) -> Tensor:
    """Codes ``(K, lanes, B, L, C)`` to logits of pixels ``(K, lanes, B, 784)``."""
    samples, lanes, batch = z.shape[:3]
    rows = z.movedim(0, 1).reshape(lanes, samples * batch, -1)
    return _layers(parameters, "decoder", rows).view(lanes, samples, batch, PIXELS).movedim(1, 0)


def _bce(pixels: Tensor, x: Tensor) -> Tensor:
    """Binary cross-entropy summed over pixels, ``(K, lanes, B)``, from logits y.

    max(y, 0) - y x + ln(1 + e^-|y|), written out so that value and gradient share one exponential; max(y, 0)
    as (y + |y|) / 2 has the right gradient at 0, too. The logarithm is off by at most 6e-8 a pixel, and the
    second derivative is 0 at a logit of exactly 0.
    """
    size = pixels.abs()
    return (0.5 * (pixels + size) - pixels * x + (1 + (-size).exp()).log()).sum(-1)


def kl_to_uniform(logits: Tensor) -> Tensor:
    """Sum over latents of KL(q || uniform) in nats, ``(..., L, C) -> (...)``, in the released form."""
    q = logits.softmax(-1)
    latents, categories = logits.shape[-2:]
    return (q * (q + _LOG_FLOOR).log()).sum((-2, -1)) + latents * math.log(categories)


def _grey(pixels: Tensor) -> Tensor:
    return pixels.float().div_(255)
