"""Where the time of a sweep goes: arithmetic on what the API says of its attempts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from service.resources.schemas import Attempt

ATTEMPT = ("imports", "data", "first_step", "compiling", "steps", "evaluation", "reports")
"""Phases of an attempt; ``reports`` has whatever lies between its start and its finish besides the others."""
NAMES = ("queue", "start", *ATTEMPT, "visible", "idle")


def spent(attempts: Sequence[Attempt], *, submitted: float, seen: float, slots: int) -> dict[str, float]:
    """Seconds of the sweep by phase; they add up to ``seen - submitted``.

    What happens in attempts is divided by the slots, which work at the same time. ``queue`` is the time until
    the first claim, ``start`` lies between a claim and the worker's first word, ``visible`` between the last
    finish and the look at the API that showed it; in the rest, ``idle``, slots were without work.

    Args:
        attempts: as the API shows them, finished.
        submitted: when the sweep was submitted, seconds of the clock that the server has.
        seen: when its last result was seen, likewise.
        slots: attempts that could run at the same time.
    """
    times = [
        (_seconds(one.claimed_at), _seconds(one.started_at), _seconds(one.finished_at)) for one in attempts
    ]
    found = {
        "queue": min(claimed for claimed, _, _ in times) - submitted,
        "start": math.fsum(started - claimed for claimed, started, _ in times) / slots,
        **dict.fromkeys(ATTEMPT, 0.0),
    }
    for one, (_, started, finished) in zip(attempts, times, strict=True):
        for name, seconds in _inside(one.provenance or {}, finished - started).items():
            found[name] += seconds / slots
    found["visible"] = seen - max(finished for _, _, finished in times)
    found["idle"] = seen - submitted - math.fsum(found.values())
    return found


def _inside(provenance: Mapping[str, Any], seconds: float) -> dict[str, float]:
    """Phases of an attempt that took so long."""
    stated = provenance.get("phases") or {}
    known = {name: stated.get(name, 0.0) for name in ATTEMPT}
    return known | {"reports": seconds - math.fsum(known.values()) + known["reports"]}


def _seconds(moment: datetime | None) -> float:
    assert moment is not None, "a finished attempt has all its times"
    return moment.timestamp()
