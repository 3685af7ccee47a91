"""When a request is repeated, and how long it pauses before.

A request is repeated where a repetition does no harm: what only reads, and what has an Idempotency-Key. One
that never left, for no connection was made, is repeated whatever it is.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import httpx

from service.client.errors import ApiError

PASSING = (429, 502, 503, 504)
"""Statuses of what may be otherwise in a moment."""
LASTING = frozenset(
    f"urn:heunboard:problem:{kind}"
    for kind in ("too-many-trials", "broken-suite", "cannot-store", "database-out-of-date")
)
"""Types of problems with such a status that no waiting mends."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Retry:
    """How long and how often a request is repeated.

    The pause doubles from ``first_s`` to ``longest_s``, less up to half of it at random, so that many
    clients do not come back at the same moment. Where the server says when to come back it is longer.

    Attributes:
        patience_s: seconds after the first try, beyond which no other begins; 0 for one try alone.
        away_s: the same while no connection can be made: mostly nobody is there.
        first_s: the first pause.
        longest_s: the longest one.
        clock: seconds since some moment.
        now: seconds since 1970, for servers that name a date.
        random: a number from 0 to 1.
    """

    patience_s: float = 60.0
    away_s: float = 1.0
    first_s: float = 0.2
    longest_s: float = 10.0
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    random: Callable[[], float] = random.random

    def pause(self, failure: Exception, *, tries: int, waited: float) -> float | None:
        """Seconds until the next try after ``tries`` failed ones; ``None`` where there is none.

        Args:
            failure: what the last try ended with.
            tries: at least 1.
            waited: seconds since the first.
        """
        backoff = min(self.longest_s, self.first_s * 2 ** (tries - 1)) * (1 - self.random() / 2)
        asked = failure.retry_after if isinstance(failure, ApiError) else None
        seconds = backoff if asked is None else asked + backoff
        patience = self.away_s if never_left(failure) else self.patience_s
        return seconds if waited + seconds <= patience else None


def never_left(failure: Exception) -> bool:
    """Whether no connection was made, so that the server has seen nothing of the request."""
    return isinstance(failure, httpx.ConnectError | httpx.ConnectTimeout)


def is_passing(failure: Exception) -> bool:
    """Whether the same request may succeed in a moment."""
    if isinstance(failure, ApiError):
        return failure.status in PASSING and failure.problem.type not in LASTING
    return isinstance(failure, httpx.NetworkError | httpx.TimeoutException | httpx.RemoteProtocolError)


def retry_after(response: httpx.Response, *, now: float) -> float | None:
    """Seconds of the header ``Retry-After``, which holds a number or an HTTP date; ``None`` without one."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(parsedate_to_datetime(text).timestamp() - now, 0.0)
    except ValueError:
        return None
