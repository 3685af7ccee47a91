"""Images of zeros and ones that are drawn once a trial.

A pixel is 1 where a number that is uniform in (0, 1) lies below its grey value. Drawn anew at every use,
those numbers are the minibatch's. Drawn once, they have to be the same in every epoch and every evaluation:
they are a function of a key, which a trial draws at its start, and of the image's place in the data set, so
that no image has to be kept.
"""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.engine.noise import LaneNoise, Purpose
from estimators import NoiseSource

_WORD = 2**32


def drawn_key(noise: NoiseSource, lanes: int, *, device: torch.device) -> Tensor:
    """A key of every lane: two words of 32 bits, int64 ``(lanes, 2)``."""
    return (noise.uniform((lanes, 2), dtype=torch.float64, device=device) * _WORD).long()


def binarised(grey: Tensor, u: Tensor) -> Tensor:
    """1 with the grey value as probability, else 0: of the shape and dtype of ``grey``."""
    return (u < grey).to(grey.dtype)


def binarised_once(grey: Tensor, image: Tensor, key: Tensor) -> Tensor:
    """The same zeros and ones for an image whenever it is asked for.

    Args:
        grey: values from 0 to 1, ``(lanes, B, pixels)``.
        image: which images these are, ``(lanes, B)``; below 2^32.
        key: of the lanes, from :func:`drawn_key`. That of an image is the lane's plus its number.
    """
    low = (key[:, :1] + image) % _WORD
    keys = torch.stack([low, key[:, 1:].expand_as(low)], -1).view(-1, 2)
    noise = LaneNoise(keys, Purpose.DATA, step=0)
    u = noise.uniform((len(keys), grey.shape[-1]), dtype=grey.dtype, device=grey.device)
    return binarised(grey, u.view_as(grey))
