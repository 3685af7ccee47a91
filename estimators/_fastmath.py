r"""Exponentials and logarithms of a compiled loop on a CPU.

Inductor calls a function of a library for every vector of numbers. The call itself, and the registers it
spills, take as long as the arithmetic; a polynomial that is a part of the loop takes a fifth to a half of
the time. So in a traced program these are polynomials, for float32 on a CPU; elsewhere they are torch's.

    exp x        = 2^n e^r,                n the integer nearest x / ln 2,      r = x - n ln 2
    log1p x      = e ln 2 + log1p f,       1 + x = 2^e m,  m in [1/sqrt 2, sqrt 2),     f = 2^-e (1 + x) - 1

Powers of two are made of bits. Relative errors are below 3e-7. e^r has degree 6 and log1p(f) / f degree 8,
with the least largest relative error on their intervals (2e-9 and 3e-8) before coefficients are rounded.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from estimators._tracing import is_traced, stored

_EXP = (
    1.0,
    1.0,
    0.49999991059303284,
    0.16666419804096222,
    0.04166822507977486,
    0.008374824188649654,
    0.0013836835278198123,
)
"""Coefficients of e^r for |r| <= ln 2 / 2, of r^0 first."""
_LOG1P = (
    1.0,
    -0.49999988079071045,
    0.3333418667316437,
    -0.25002074241638184,
    0.19956833124160767,
    -0.16562393307685852,
    0.14952267706394196,
    -0.14366839826107025,
    0.08722349256277084,
)
"""Coefficients of log1p(f) / f for 1 / sqrt 2 <= 1 + f < sqrt 2."""

_LN2 = math.log(2)
_LN2_HIGH, _LN2_LOW = 0.693359375, _LN2 - 0.693359375
"""ln 2 in two parts; the first has nine bits, so that its products with exponents are exact."""
_ROUNDING = 1.5 * 2.0**23
"""Added to a small number and taken off again, it leaves the nearest integer; in between, that is in the
last bits."""
_ROUNDING_BITS = 0x4B400000
_LEAST, _MOST = -127, 128
"""Powers of two whose bits are those of 0 and of infinity."""
_SMALLEST, _NEXT_TO_ONE = 2.0**-126, 2.0**-24
_MANTISSA_BITS, _ONE_BITS, _ROOT_HALF_BITS = 23, 0x3F800000, 0x3F3504F3


def exp(x: Tensor) -> Tensor:
    """e^x; in a traced program 0 below 2^-126.5 and infinite above 2^127.5."""
    if not _is_written_out(x):
        return x.exp()
    x = stored(x.clamp(_LEAST * _LN2, _MOST * _LN2))
    rounded = stored(x * (1 / _LN2) + _ROUNDING)
    power = ((rounded.view(torch.int32) - _ROUNDING_BITS - _LEAST) << _MANTISSA_BITS).view(torch.float32)
    n = rounded - _ROUNDING
    return _polynomial(_EXP, stored((x - n * _LN2_HIGH) - n * _LN2_LOW)) * power


def log(x: Tensor) -> Tensor:
    """ln x of positive finite numbers; in a traced program ln 2^-126 of smaller ones, 0 included."""
    if not _is_written_out(x):
        return x.log()
    x = stored(x.clamp_min(_SMALLEST))
    exponent, scale = _exponent(x)
    return _log_of_split(exponent, x * scale - 1)


def log1p(x: Tensor) -> Tensor:
    """ln(1 + x), small results in full precision; in a traced program ln 2^-24 from x = 2^-24 - 1 down."""
    if not _is_written_out(x):
        return x.log1p()
    x = stored(x.clamp_min(_NEXT_TO_ONE - 1))
    exponent, scale = _exponent(1 + x)
    return _log_of_split(exponent, x * scale + (scale - 1))


def _is_written_out(x: Tensor) -> bool:
    return is_traced() and x.device.type == "cpu" and x.dtype == torch.float32


def _exponent(x: Tensor) -> tuple[Tensor, Tensor]:
    """e and 2^-e for x = 2^e m with m in [1 / sqrt 2, sqrt 2)."""
    exponent = (x.view(torch.int32) - _ROOT_HALF_BITS) >> _MANTISSA_BITS
    scale = (_ONE_BITS - (exponent << _MANTISSA_BITS)).view(torch.float32)
    return exponent.to(torch.float32), scale


def _log_of_split(exponent: Tensor, f: Tensor) -> Tensor:
    f = stored(f)
    return exponent * _LN2 + f * _polynomial(_LOG1P, f)


def _polynomial(coefficients: tuple[float, ...], x: Tensor) -> Tensor:
    """Sum of c_i x^i, by Horner's rule."""
    *lower, value = coefficients
    result = x * value + lower.pop()
    while lower:
        result = result * x + lower.pop()
    return result
