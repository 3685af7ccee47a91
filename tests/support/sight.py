"""How far apart colours look, also to people who see no red or no green, and how legible they are.

Colours are ``#rrggbb``. Distances are Euclidean in OKLab (Ottosson, 2020), where black and white are 1 apart.
Sight without one kind of cone is that of Machado, Oliveira and Fernandes (2009) at full severity, contrast
that of WCAG 2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

SIGHTS: dict[str, Vector] = {
    "all cones": np.eye(3),
    "no red cones": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "no green cones": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
}

_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


def linear(colour: str) -> Vector:
    """Red, green and blue of a colour, proportional to light."""
    values = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def oklab(colour: str, sight: str = "all cones") -> Vector:
    """Lightness, green to red, blue to yellow, as somebody sees it."""
    seen = np.clip(SIGHTS[sight] @ linear(colour), 0, 1)
    return _LAB @ np.cbrt(_LMS @ seen)


def distance(one: str, other: str, sight: str) -> float:
    """How far apart two colours look."""
    return float(np.linalg.norm(oklab(one, sight) - oklab(other, sight)))


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours, 1 to 21."""
    dark, light = sorted(float(_LUMINANCE @ linear(colour)) for colour in (one, other))
    return (light + 0.05) / (dark + 0.05)
