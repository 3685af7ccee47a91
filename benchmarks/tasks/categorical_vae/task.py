r"""A variational auto-encoder with L categorical latents of C categories on images.

    encoder  784 - 512 - 256 - (L C)       decoder  (L C) - 256 - 512 - 784

ReLU after the hidden layers, nothing on the encoder's output (reshaped to L x C logits), sigmoid on the
decoder's. Loss per image, averaged over the minibatch:

    BCE(x, decoder(D)) + KL,    KL = sum q ln(q + 1e-10) + L ln C,    q = softmax(logits),  D ~ q

The binary cross-entropy is summed over the 784 pixels; inputs and targets are grey values x/255. The KL term
is differentiated as it stands; only the BCE passes through the estimator. Two more protocols
(:mod:`benchmarks.tasks.categorical_vae.protocols`) have LeakyReLU in place of ReLU, and one of them pixels
that are drawn as 1 with probability x/255 at every use, else as 0.

Source: Liu et al., "Bridging Discrete and Backpropagation: Straight-Through and Beyond", NeurIPS 2023,
section 5.3 and the code released with it; Fan et al., "Training Discrete Deep Generative Models via Gapped
Straight-Through Estimator", ICML 2022, and its code, for the binarised protocol.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.datasets.loading import Images, load, random_images
from benchmarks.tasks.categorical_vae.protocols import PROTOCOLS
from benchmarks.tasks.contract import Batch, Draw, Loss, Parameters, Phase, TaskBase, Variables, linear
from benchmarks.tasks.info import Split
from benchmarks.tasks.pixels import cross_entropy
from estimators import NoiseSource, Value

PIXELS = 784
_HIDDEN = (512, 256)
_LOG_FLOOR = 1e-10  # inside the logarithm of the KL term, as in the released code


class CategoricalVAE(TaskBase):
    """The task for given parameters.

    Args:
        values: ``dataset, protocol, categories, latents, batch_size`` as the registry declares them.
        device: where images and parameters lie.
        data_dir: where data sets lie; default as in :mod:`benchmarks.datasets.loading`.
        images: the images themselves, instead of the data set that ``values`` names.
        made_up: how many random images to take instead, by split.

    Raises:
        DatasetUnavailable: the data set can be neither found nor fetched.
    """

    evaluated: tuple[Split, ...] = ("test",)
    # Most pixels are black, and codes are one-hot, unless they are relaxed.
    sparse_inputs = frozenset({"encoder.0.weight", "decoder.0.weight"})

    def __init__(
        self,
        values: Mapping[str, Value],
        *,
        device: torch.device,
        data_dir: Path | None = None,
        images: Images | None = None,
        made_up: Mapping[Split, int] | None = None,
    ) -> None:
        if made_up is not None:
            images = random_images(train=made_up["train"], test=made_up["test"], pixels=PIXELS)
        elif images is None:
            images = load(str(values["dataset"]), data_dir=data_dir)
        self._protocol = PROTOCOLS[str(values["protocol"])]
        train = images.train[: self._protocol.first]
        self._images: dict[Split, Tensor] = {"train": train.to(device), "test": images.test.to(device)}
        self.splits = {split: len(pixels) for split, pixels in self._images.items()}
        self._device = device
        self.categories = int(values["categories"])
        self.latents = int(values["latents"])
        self.batch_size = int(values["batch_size"])
        self.steps_per_epoch = -(-self.splits["train"] // self.batch_size)

    def init(self, noise: NoiseSource, lanes: int) -> Variables:
        """Weights and biases uniform in +-1/sqrt(fan-in), PyTorch's default."""
        code = self.latents * self.categories
        widths = {"encoder": (PIXELS, *_HIDDEN, code), "decoder": (code, *reversed(_HIDDEN), PIXELS)}
        parameters: Parameters = {}
        for half, sizes in widths.items():
            for layer, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
                for kind, shape in (("weight", (fan_out, fan_in)), ("bias", (fan_out,))):
                    u = noise.uniform((lanes, *shape), dtype=torch.float32, device=self._device)
                    parameters[f"{half}.{layer}.{kind}"] = (2 * u - 1) / math.sqrt(fan_in)
        return Variables(groups={"model": parameters})

    def batch(self, split: Split, index: Tensor, noise: NoiseSource, *, length: int | None) -> Tensor:
        """Grey values ``(lanes, B, 784)`` in [0, 1], or pixels 0 and 1 drawn with them as probabilities."""
        grey = _grey(self._images[split].index_select(0, index.flatten())).view(*index.shape, PIXELS)
        return _binarised(grey, noise) if self._protocol.binarised else grey

    def loss(self, phase: Phase, variables: Variables, batch: Batch, draw: Draw) -> Loss:
        """-ELBO of a minibatch with one estimate of the reconstruction term per image."""
        bce, kl = (part.mean(-1) for part in self._parts(variables, batch, draw))
        loss = bce + kl
        metrics = {"train_neg_elbo": loss, "train_bce": bce, "train_kl": kl}
        return Loss(
            loss=loss,
            metrics={name: value.detach() for name, value in metrics.items()},
            weight=_images(batch).shape[1],
        )

    def evaluate(self, split: Split, variables: Variables, batch: Batch, draw: Draw) -> dict[str, Tensor]:
        """-ELBO of every image, one draw each."""
        bce, kl = self._parts(variables, batch, draw)
        return {f"{split}_neg_elbo": bce + kl}

    def _parts(self, variables: Variables, batch: Batch, draw: Draw) -> tuple[Tensor, Tensor]:
        """Reconstruction and KL terms of every image, ``(lanes, B)``."""
        x, parameters = _images(batch), variables.groups["model"]
        logits = self._encode(parameters, x)
        bce = draw.expect(
            "code", logits, lambda z: cross_entropy(self._decode(parameters, z), x.unsqueeze(1))
        )
        return bce, kl_to_uniform(logits)

    def _encode(self, parameters: Parameters, x: Tensor) -> Tensor:
        """Images ``(lanes, B, 784)`` to logits ``(lanes, B, L, C)``."""
        return self._layers(parameters, "encoder", x).view(*x.shape[:-1], self.latents, self.categories)

    def _decode(self, parameters: Parameters, z: Tensor) -> Tensor:
        """Codes ``(lanes, K, B, L, C)`` to logits of pixels ``(lanes, K, B, 784)``."""
        lanes, samples, batch = z.shape[:3]
        rows = z.reshape(lanes, samples * batch, -1)
        return self._layers(parameters, "decoder", rows).view(lanes, samples, batch, PIXELS)

    def _layers(self, parameters: Parameters, half: str, x: Tensor) -> Tensor:
        slope = self._protocol.slope
        for layer in range(3):
            if layer > 0:
                x = functional.leaky_relu(x, slope) if slope else x.relu()
            weight, bias = parameters[f"{half}.{layer}.weight"], parameters[f"{half}.{layer}.bias"]
            x = linear(x, weight, bias, mostly_zero=layer == 0)
        return x


def _images(batch: Batch) -> Tensor:
    if not isinstance(batch, Tensor):
        raise ValueError("the VAE needs a minibatch of images")
    return batch


def kl_to_uniform(logits: Tensor) -> Tensor:
    """Sum over latents of KL(q || uniform) in nats, ``(..., L, C) -> (...)``, in the released form."""
    q = logits.softmax(-1)
    latents, categories = logits.shape[-2:]
    return (q * (q + _LOG_FLOOR).log()).sum((-2, -1)) + latents * math.log(categories)


def _binarised(grey: Tensor, noise: NoiseSource) -> Tensor:
    """1 with probability x, else 0, every pixel for itself; black stays black and white stays white."""
    u = noise.uniform(tuple(grey.shape), dtype=grey.dtype, device=grey.device)
    return (u < grey).to(grey.dtype)


def _grey(pixels: Tensor) -> Tensor:
    return pixels.float().div_(255)
