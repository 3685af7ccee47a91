"""How often somebody may ask: a token bucket for each token, and for each address of those without one."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable

BURST_S = 10.0
"""Seconds of the rate that may be asked at once."""
MOST_KEPT = 10_000
"""Buckets; the ones that were not asked for longest are forgotten, and are full when they come again."""


class Rates:
    """Buckets that fill at one rate. It belongs to one thread: the event loop's.

    Args:
        per_second: requests that fill up a second; 0 for any number.
        burst: requests that a full bucket holds; by default those of :data:`BURST_S`.
        monotonic: seconds.
    """

    def __init__(
        self,
        per_second: float,
        *,
        burst: float | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rate = per_second
        self._burst = max(1.0, per_second * BURST_S) if burst is None else burst
        self._monotonic = monotonic
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, who: str) -> float:
        """Take one request out of somebody's bucket; seconds to wait where it is empty, otherwise 0."""
        if self._rate == 0:
            return 0.0
        now = self._monotonic()
        left, then = self._buckets.pop(who, (self._burst, now))
        left = min(self._burst, left + (now - then) * self._rate)
        allowed = left >= 1
        self._buckets[who] = (left - 1 if allowed else left, now)
        if len(self._buckets) > MOST_KEPT:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - left) / self._rate


def network(address: str) -> str:
    """An address, or the network of 64 bits that one host of IPv6 has all of."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False))
