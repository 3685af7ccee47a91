"""How numbers are written on pages: as many digits as the interval supports, uncertain ones marked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from benchmarks.engine.optimizers import registry as optimizers
from estimators.info import Value

MAX_DECIMALS = 6
CLOSE = 1.25
"""Factor within which the two ends of a time are shown as one."""
SYMBOLS = {"temperature": "τ", "num_samples": "K", "num_draws": "K"}


def decimals_for(uncertainty: float | None, value: float) -> int:
    """Decimals that show two significant digits of ``uncertainty``, or five of ``value`` without one."""
    if uncertainty is None or not math.isfinite(uncertainty) or uncertainty <= 0:
        scale = 0 if value == 0 or not math.isfinite(value) else math.floor(math.log10(abs(value)))
        return min(max(4 - scale, 0), MAX_DECIMALS)
    return min(max(1 - math.floor(math.log10(uncertainty)), 0), MAX_DECIMALS)


def text(value: float | None, decimals: int, *, signed: bool = False) -> str:
    """``value`` with a true minus sign; an en dash stands for a missing value."""
    if value is None or not math.isfinite(value):
        return "–"
    rounded = round(value, decimals) or 0.0  # no minus zero
    sign = "+" if signed and rounded else ""
    return f"{rounded:{sign},.{decimals}f}".replace("-", "−")


def split_digits(value: float, half_width: float | None) -> tuple[str, str]:
    """``value`` as (certain, uncertain) digits: those worth at most ``half_width`` are uncertain.

    >>> split_digits(125.08, 0.485)
    ('125.', '08')
    >>> split_digits(0.20301, 0.00012)
    ('0.203', '01')
    """
    digits = text(value, decimals_for(half_width, value))
    if half_width is None or not math.isfinite(half_width) or half_width <= 0:
        return digits, ""
    first_uncertain = math.floor(math.log10(half_width))  # power of ten of the first uncertain digit
    point = digits.index(".") if "." in digits else len(digits)
    cut = point - first_uncertain if first_uncertain < 0 else _integer_cut(digits, point, first_uncertain)
    return digits[:cut], digits[cut:]


def _integer_cut(digits: str, point: int, power: int) -> int:
    """Index of the digit worth ``10**power`` left of the decimal point, group separators skipped."""
    places = [i for i in range(point - 1, -1, -1) if digits[i].isdigit()]
    return places[power] if power < len(places) else places[-1]


def rate(value: float) -> str:
    """A learning rate as people write it: ``5e-4``, ``0.01``."""
    if value >= 0.01:
        return f"{value:g}"
    mantissa, _, exponent = f"{value:e}".partition("e")
    return f"{float(mantissa):g}e{int(exponent)}".replace("-", "−")


def setting(
    parameters: Mapping[str, Value],
    optimizer: str,
    lr: float,
    precision: str,
    optimizer_parameters: Mapping[str, Value] | None = None,
) -> str:
    """One line: ``τ 1.3 · Adam 5e−4``; a precision other than float32 is named at the end."""
    values = assignments(parameters)
    title = optimizers.get(optimizer).title if optimizer in optimizers.available() else optimizer
    rule = f"{title} {rate(lr)}"
    if optimizer_parameters:
        rule += f", {assignments(optimizer_parameters)}"
    if precision != "float32":
        rule += f" · {precision.upper()}"
    return f"{values} · {rule}" if values else rule


def assignments(values: Mapping[str, Value]) -> str:
    """``τ 1.3, K 4``; empty of nothing."""
    return ", ".join(
        f"{k} {v}" if isinstance(v, str) else f"{SYMBOLS.get(k, k)} {v:g}" for k, v in values.items()
    )


def duration(seconds: float | None) -> str:
    """``48 s``, ``3 min 20 s``, ``2 h 5 min``, ``3 d 4 h``; empty when unknown."""
    if seconds is None or not math.isfinite(seconds):
        return ""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 48 * 3600:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400:,} d {whole % 86400 // 3600} h"


def rough_duration(seconds: float) -> str:
    """``less than a minute``, ``18 min``, ``3 h 5 min``: for a time that is known roughly."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than a minute"
    return f"{minutes} min" if minutes < 60 else duration(60 * minutes)


def duration_between(low: float | None, high: float | None) -> str:
    """``about 4 min 10 s`` where the two are close, else ``3 min 20 s to 14 min 0 s``; empty when unknown."""
    if low is None or high is None or not duration(high):
        return ""
    if high <= CLOSE * low:
        return f"about {duration((low + high) / 2)}"
    return f"{duration(low)} to {duration(high)}"


def compact(value: float) -> str:
    """A standard deviation in two significant digits, at least two decimals of a large one."""
    if not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    return text(value, min(max(1 - math.floor(math.log10(abs(value))), 0), 7) if value < 10 else 1)


def five_digits(value: float | None) -> str:
    """A number in about five significant digits."""
    if value is None or not math.isfinite(value):
        return "–"
    return text(value, decimals_for(None, value))


def fillers(texts: Sequence[str]) -> list[str]:
    """What each number of a column lacks behind its last digit; shown invisibly, it aligns the points.

    >>> fillers(["125.08", "99.3", "7"])
    ['', '0', '.00']
    """
    points = [text.find(".") for text in texts]
    tails = [len(text) - point if point >= 0 else 0 for text, point in zip(texts, points, strict=True)]
    longest = "." + "0" * (max(tails, default=0) - 1)
    return [longest[tail:] if any(tails) else "" for tail in tails]


def reference_decimals(mean: float, sd: float | None) -> int:
    """Decimals that a reference is shown with: as its source prints them when it has a spread."""
    return decimals_for(None, mean) if sd is None else max(decimals_for(sd, mean), 2)


def counted(number: int, noun: str) -> str:
    """``1 trial``, ``3,600 trials``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def percent(done: int, total: int) -> str:
    """A share rounded down, so that 100 % is shown only when all is done."""
    return f"{100 * done // total if total else 0} %"


def origin(source: str, *, n: int | None, slip: str) -> str:
    """Where a reference is from, of how many seeds, and what is wrong with it as it was printed."""
    seeds = "" if n is None else f", {n} seed{'' if n == 1 else 's'}"
    known = f"; known slip: {slip.rstrip('.')}" if slip else ""
    return f"{source.rstrip('.')}{seeds}{known}"
