"""How memory is to be allocated in processes that compute: settings of the C library, in one place.

A training step frees and asks again for the same buffers of several megabytes. By default glibc takes every
block above a threshold from the kernel and gives it back when it is freed, so each step pays again for
mapping and zeroing its pages; and it spreads weights over pages of 4 KiB, more than the processor's
translation cache holds. Therefore:

    mmap_threshold   blocks up to 1 GiB come from the heap, whose pages stay mapped
    trim_threshold   the heap gives memory back only when 4 GiB at its top are free
    top_pad          the heap grows by 256 MiB at a time
    hugetlb=1        the kernel is advised to use transparent huge pages (glibc >= 2.35)

The price is resident memory: a process keeps what it once needed. glibc reads these settings when a program
starts, so they have to be in the environment of a process before it is started.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping

VARIABLE = "GLIBC_TUNABLES"
TUNABLES = {
    "glibc.malloc.mmap_threshold": str(2**30),
    "glibc.malloc.trim_threshold": str(2**32),
    "glibc.malloc.top_pad": str(2**28),
    "glibc.malloc.hugetlb": "1",
}


def environment(given: Mapping[str, str], *, libc: str | None = None) -> dict[str, str]:
    """Variables to add to the environment of a process that computes.

    Args:
        given: the environment it would have otherwise; a tunable that is set there keeps its value.
        libc: name of the C library, default that of this interpreter.

    Returns:
        One variable with glibc, none elsewhere.
    """
    if (platform.libc_ver()[0] if libc is None else libc) != "glibc":
        return {}
    theirs = given.get(VARIABLE, "")
    named = {entry.partition("=")[0] for entry in theirs.split(":")}
    ours = [f"{name}={value}" for name, value in TUNABLES.items() if name not in named]
    return {VARIABLE: ":".join([*filter(None, [theirs]), *ours])}
