r"""A variational auto-encoder with L = 200 Bernoulli latents on binarised images, in three protocols.

    -ELBO(x) = E_q[ -ln p(x|b) ] + KL(q(b|x) | p(b)),      b ~ q(b|x)

The encoder's output a gives a pair of logits a latent, of which the first is that of b = 1; the decoder sees
b. The network is in :mod:`benchmarks.tasks.bernoulli_vae.network`.

============== ============================== =========================================
..             rodeo                          released, fixed
============== ============================== =========================================
pixels         drawn at every use             drawn once a trial, in all splits
pair           (a, 0): P(b=1) = sigmoid(a)    (a, 1 - a): P(b=1) = sigmoid(2a - 1)
prior          1/2                            sigmoid(r), r learned from 0
KL             sampled, part of the objective analytic, differentiated as it stands
start          Glorot                         PyTorch's default
train          whole split, K codes           mean over the epoch while weights move
valid, test    bound of K codes               one code
============== ============================== =========================================

The objective of `rodeo` is -ln p(x|b) + ln q(b|x) - ln p(b). In it ln q depends on the encoder through b
alone: E_q[d ln q / d logits] = 0, and an estimate of 0 would only add noise, so its own logits are constants,
as in the code. The bound of K codes is -ln (1/K) sum_k p(x, b_k) / q(b_k|x).

The KL of `fixed` is, with P = sigmoid(r) the prior and Q the posterior of b = 1,

    sum_i  Q_i ln (Q_i + e) / (P_i + e)  +  (1 - Q_i) ln (1 - Q_i + e) / (1 - P_i + e),      e = 1e-10

The released code flattens the prior as (P_1 .. P_L, 1 - P_1 .. 1 - P_L) and the posterior as (Q_1, 1 - Q_1,
Q_2, ..), so that each latent meets two unrelated numbers of the prior. `released` does as it does.

K passes of a path estimator share the image, and with it the encoder's output: they are K independent codes
of one encoding, whose losses are averaged. That is what K complete passes compute.

Source: Liu et al., "Bridging Discrete and Backpropagation: Straight-Through and Beyond", NeurIPS 2023, Table
6, and the code released with it; Shi et al., "Gradient Estimation with Discrete Stein Operators", NeurIPS
2022, and the code released with that.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.datasets.loading import Images, load, random_images
from benchmarks.tasks.bernoulli_vae.binarisation import binarised, binarised_once, drawn_key
from benchmarks.tasks.bernoulli_vae.info import VALIDATION
from benchmarks.tasks.bernoulli_vae.network import PIXELS, SPARSE_INPUTS, decoded, encoded, initial
from benchmarks.tasks.contract import Batch, Draw, Loss, Parameters, Phase, TaskBase, Variables
from benchmarks.tasks.info import Split
from benchmarks.tasks.pixels import cross_entropy
from estimators import NoiseSource, Objective, Value

_LOG_FLOOR = 1e-10  # inside the logarithms of the KL term, as in the released code
_KEY = "binarisation"
_SPLITS: tuple[Split, ...] = ("train", "valid", "test")  # in the order of the numbers of their images


class BernoulliVAE(TaskBase):
    """The task for given parameters.

    Args:
        values: ``dataset, protocol, samples, latents, batch_size`` as the registry declares them.
        device: where images and parameters lie.
        data_dir: where data sets lie; default as in :mod:`benchmarks.datasets.loading`.
        images: grey values 0 to 255 as bytes ``(N, 784)`` by split, instead of those that ``values`` name.
        made_up: how many random images to take instead, by split.

    Raises:
        DatasetUnavailable: the data set can be neither found nor fetched.
    """

    evaluated: tuple[Split, ...] = ("train", "valid", "test")
    sparse_inputs = SPARSE_INPUTS

    def __init__(
        self,
        values: Mapping[str, Value],
        *,
        device: torch.device,
        data_dir: Path | None = None,
        images: Mapping[Split, Tensor] | None = None,
        made_up: Mapping[Split, int] | None = None,
    ) -> None:
        if images is None:
            images = split_images(values, data_dir) if made_up is None else _random_images(made_up)
        self._images = {split: images[split].to(device) for split in _SPLITS}
        self.splits = {split: len(pixels) for split, pixels in self._images.items()}
        self._first = dict(zip(_SPLITS, itertools.accumulate(self.splits.values(), initial=0), strict=False))
        self._device = device
        self._is_rodeo = values["protocol"] == "rodeo"
        self._is_released = values["protocol"] == "released"
        self._samples = int(values["samples"])
        self._latents = int(values["latents"])
        self.batch_size = int(values["batch_size"])
        self.steps_per_epoch = -(-self.splits["train"] // self.batch_size)

    def init(self, noise: NoiseSource, lanes: int) -> Variables:
        """Weights as the protocol draws them; prior logits of 0 and a key for images, where it has those."""
        model = initial(noise, lanes, self._latents, glorot=self._is_rodeo, device=self._device)
        if self._is_rodeo:
            return Variables(groups={"model": model})
        model["prior"] = torch.zeros(lanes, self._latents, device=self._device)
        return Variables(
            groups={"model": model}, buffers={_KEY: drawn_key(noise, lanes, device=self._device)}
        )

    def batch(
        self, split: Split, index: Tensor, noise: NoiseSource, *, length: int | None
    ) -> dict[str, Tensor]:
        """Zeros and ones ``pixels``, or what they are drawn from: ``grey`` values and ``image`` numbers."""
        rows = self._images[split].index_select(0, index.flatten())
        grey = rows.float().div_(255).view(*index.shape, PIXELS)
        if self._is_rodeo:
            u = noise.uniform(tuple(grey.shape), dtype=grey.dtype, device=grey.device)
            return {"pixels": binarised(grey, u)}
        return {"grey": grey, "image": index + self._first[split]}

    def loss(self, phase: Phase, variables: Variables, batch: Batch, draw: Draw) -> Loss:
        """-ELBO of a minibatch, by K codes of each image."""
        x = _pixels(variables, batch)
        total, kl = (part.mean(-1) for part in self._neg_elbo(variables.groups["model"], x, draw))
        metrics = {"train_kl": kl} if self._is_rodeo else {"train_kl": kl, "train_neg_elbo": total}
        return Loss(
            loss=total,
            metrics={name: value.detach() for name, value in metrics.items()},
            weight=x.shape[1],
        )

    def evaluate(self, split: Split, variables: Variables, batch: Batch, draw: Draw) -> dict[str, Tensor]:
        """What the protocol reports of every image; of training images, with pixels that are drawn anew."""
        model, fresh = variables.groups["model"], split == "train"
        if not self._is_rodeo:
            x = _fresh_pixels(batch, draw) if fresh else _pixels(variables, batch)
            name = "train_neg_elbo_fresh" if fresh else f"{split}_neg_elbo"
            return {name: self._neg_elbo(model, x, draw)[0]}
        losses = self._sampled_losses(model, _pixels(variables, batch), draw)
        if fresh:
            return dict.fromkeys(("train_neg_elbo", "train_neg_elbo_fresh"), losses.mean(1))
        return {f"{split}_neg_elbo": math.log(self._samples) - (-losses).logsumexp(1)}

    def _neg_elbo(self, model: Parameters, x: Tensor, draw: Draw) -> tuple[Tensor, Tensor]:
        """-ELBO of every image, and its KL term, ``(lanes, B)``."""
        logits = self._logits(model, x)
        estimate = draw.expect("code", logits, self._objective(model, x, logits), passes=self._samples)
        if self._is_rodeo:
            return estimate, _kl(logits.detach(), torch.full_like(logits[:, 0], 0.5))
        kl = _kl(logits, self._prior(model))
        return estimate + kl, kl

    def _sampled_losses(self, model: Parameters, x: Tensor, draw: Draw) -> Tensor:
        """The objective at K codes of every image, ``(lanes, K, B)``."""
        logits = self._logits(model, x)
        # The axis of examples comes first, where an evaluation looks for it.
        copies = logits.unsqueeze(2).expand(-1, -1, self._samples, -1, -1)
        return self._objective(model, x, logits)(draw.sample("code", copies).transpose(1, 2))

    def _logits(self, model: Parameters, x: Tensor) -> Tensor:
        """Pairs of logits ``(lanes, B, L, 2)``, that of b = 1 first."""
        a = encoded(model, x)
        return torch.stack([a, torch.zeros_like(a) if self._is_rodeo else 1 - a], -1)

    def _objective(self, model: Parameters, x: Tensor, logits: Tensor) -> Objective:
        """What is estimated, ``(lanes, K, B, L, 2) -> (lanes, K, B)``: in rodeo, the KL is a part of it."""

        def misfit(z: Tensor) -> Tensor:
            return cross_entropy(decoded(model, z[..., 0]), x.unsqueeze(1))

        if not self._is_rodeo:
            return misfit
        log_q = logits.detach().log_softmax(-1).unsqueeze(1)
        return lambda z: misfit(z) + (z * log_q).sum((-2, -1)) + self._latents * math.log(2)

    def _prior(self, model: Parameters) -> Tensor:
        """Probabilities ``(lanes, L, 2)`` that the posterior's are held against."""
        on = model["prior"].sigmoid()
        if self._is_released:
            return torch.cat([on, 1 - on], -1).view(*on.shape, 2)
        return torch.stack([on, 1 - on], -1)


def _kl(logits: Tensor, prior: Tensor) -> Tensor:
    """Sum over latents of the KL term, ``(lanes, B, L, 2), (lanes, L, 2) -> (lanes, B)``, in nats."""
    q = logits.softmax(-1)
    log_ratio = (q + _LOG_FLOOR).log() - (prior + _LOG_FLOOR).log().unsqueeze(1)
    return (q * log_ratio).sum((-2, -1))


def _pixels(variables: Variables, batch: Batch) -> Tensor:
    """Zeros and ones ``(lanes, B, 784)`` as the protocol draws them."""
    images = _by_name(batch)
    if "pixels" in images:
        return images["pixels"]
    return binarised_once(images["grey"], images["image"], variables.buffers[_KEY])


def _fresh_pixels(batch: Batch, draw: Draw) -> Tensor:
    grey = _by_name(batch)["grey"]
    return binarised(grey, draw.uniform("pixels", tuple(grey.shape), dtype=grey.dtype))


def _by_name(batch: Batch) -> Mapping[str, Tensor]:
    if not isinstance(batch, Mapping):
        raise ValueError("the VAE needs a minibatch of images by name")
    return batch


def split_images(values: Mapping[str, Value], data_dir: Path | None = None) -> dict[Split, Tensor]:
    """Images of the data set that ``values`` name, as bytes ``(N, 784)``, by split.

    Raises:
        DatasetUnavailable: the data set can be neither found nor fetched.
    """
    name = str(values["dataset"])
    return _divided(load(name, data_dir=data_dir), VALIDATION[name])


def _random_images(counts: Mapping[Split, int]) -> dict[Split, Tensor]:
    train = counts["train"] + counts["valid"]
    return _divided(random_images(train=train, test=counts["test"], pixels=PIXELS), counts["valid"])


def _divided(images: Images, valid: int) -> dict[Split, Tensor]:
    """The last images of the training file are for validation."""
    train = len(images.train) - valid
    return {"train": images.train[:train], "valid": images.train[train:], "test": images.test}
