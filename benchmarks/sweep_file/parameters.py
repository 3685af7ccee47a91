"""Values of declared parameters: read as their declared type, checked against their range.

The type is decided here and nowhere else: 1, 1.0 and "1" are the same learning rate and get the same key.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

from benchmarks.sweep_file.document import number
from benchmarks.sweep_file.grid import Axes
from benchmarks.sweep_file.issues import Issues, at, listed, shown
from benchmarks.sweep_file.limits import MAX_AXIS_VALUES
from estimators.info import Parameter, Value


def read_axes(
    block: Mapping[str, Any], parameters: Sequence[Parameter], path: str, issues: Issues, *, of: str
) -> Axes:
    """The values of every declared parameter, defaults where the block names none.

    Args:
        block: name -> value or list of values; ``id`` is skipped.
        parameters: what is declared.
        path: JSON pointer of the block.
        issues: where mistakes are noted.
        of: what the parameters belong to, for messages.
    """
    check_names(block, [parameter.name for parameter in parameters], path, issues, of=of)
    return axes_of(block, parameters, path, issues)


def check_names(
    block: Mapping[str, Any], names: Sequence[str], path: str, issues: Issues, *, of: str
) -> None:
    """Note keys of a block that are not among ``names``; ``id`` is skipped."""
    known = f"it takes {listed(names)}" if names else "it takes none"
    for key in block:
        if key not in names and key != "id":
            message = f"{of} has no parameter {shown(key)}; {known}."
            issues.add(at(path, key), message, given=key, names=names)


def axes_of(block: Mapping[str, Any], parameters: Sequence[Parameter], path: str, issues: Issues) -> Axes:
    """As :func:`read_axes`, of a block that may hold other keys besides."""
    return tuple((p.name, _axis_or_default(block, p, path, issues)) for p in parameters)


def _axis_or_default(
    block: Mapping[str, Any], parameter: Parameter, path: str, issues: Issues
) -> tuple[Value, ...]:
    path = at(path, parameter.name)
    if parameter.name in block:
        return read_axis(block[parameter.name], parameter, path, issues, most=MAX_AXIS_VALUES)
    if parameter.default is None:
        issues.add(path, f"{parameter.name} must be given: {parameter.expected_text()}.")
        return ()
    return (parameter.default,)


def read_axis(raw: Any, parameter: Parameter, path: str, issues: Issues, *, most: int) -> tuple[Value, ...]:
    """One value or a list of up to ``most`` distinct ones, in the order given."""
    if not isinstance(raw, list):
        value = read_value(raw, parameter, path, issues)
        return () if value is None else (value,)
    if not raw:
        issues.add(path, f"the list is empty; give at least one value: {parameter.expected_text()}.")
    if len(raw) > most:
        issues.add(path, f"the list has {len(raw):,} values, at most {most:,} are allowed; shorten it.")
        return ()
    return _distinct(raw, parameter, path, issues)


def _distinct(raw: list[Any], parameter: Parameter, path: str, issues: Issues) -> tuple[Value, ...]:
    first: dict[Value, int] = {}
    for i, item in enumerate(raw):
        value = read_value(item, parameter, at(path, i), issues)
        if value is None:
            continue
        if value in first:
            same = f"{shown(item)} is already value {first[value]} of the list (counted from 0)"
            issues.add(at(path, i), f"{same}; leave one out.")
        first.setdefault(value, i)
    return tuple(first)


def read_value(raw: Any, parameter: Parameter, path: str, issues: Issues) -> Value | None:
    """One value as the declared type; ``None`` after noting why it is none."""
    if parameter.type is str:
        return _text(raw, parameter, path, issues)
    value = _read_number(raw)
    if value is None or not math.isfinite(_double(value)):
        issues.add(path, f"expected {parameter.expected_text()}, got {shown(raw)}; write a finite number.")
        return None
    objection = parameter.objection(value)
    if objection:
        issues.add(
            path,
            f"{shown(raw)} {objection}; {parameter.name} is {parameter.expected_text()}{_advice(parameter)}.",
        )
        return None
    # Adding 0.0 turns -0.0, equal but spelt otherwise in a key, into 0.0.
    return int(value) if parameter.type is int else float(value) + 0.0


def _advice(parameter: Parameter) -> str:
    return f"; {parameter.advice}" if parameter.advice else ""


def _read_number(raw: Any) -> int | float | None:
    """The number that was meant: a number of Python or numpy, or text that spells one."""
    if isinstance(raw, str):
        return number(raw)
    if isinstance(raw, Integral):
        return None if isinstance(raw, bool) else int(raw)
    return float(raw) if isinstance(raw, Real) else None


def _text(raw: Any, parameter: Parameter, path: str, issues: Issues) -> str | None:
    if isinstance(raw, str) and raw in parameter.choices:
        return raw
    issues.add(
        path, f"expected {parameter.expected_text()}, got {shown(raw)}.", given=raw, names=parameter.choices
    )
    return None


def _double(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer beyond the doubles
        return math.inf
