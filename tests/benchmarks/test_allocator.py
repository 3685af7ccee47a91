"""Settings of the allocator for processes that compute."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from benchmarks.process.allocator import TUNABLES, VARIABLE, environment

FREE_AND_ASK_AGAIN = """
import ctypes, resource
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
for _ in range(20):
    block = libc.malloc(64 << 20)
    ctypes.memset(block, 1, 64 << 20)
    libc.free(block)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


def test_all_settings_are_given_to_glibc() -> None:
    given = environment({}, libc="glibc")
    assert dict(entry.split("=") for entry in given[VARIABLE].split(":")) == TUNABLES


def test_what_the_user_set_stays() -> None:
    theirs = "glibc.malloc.arena_max=2:glibc.malloc.top_pad=7"
    value = environment({VARIABLE: theirs}, libc="glibc")[VARIABLE]
    assert value.startswith(theirs + ":")
    assert value.count("glibc.malloc.top_pad") == 1
    assert "glibc.malloc.mmap_threshold=1073741824" in value


def test_applied_twice_it_is_the_same() -> None:
    once = environment({}, libc="glibc")
    assert environment(once, libc="glibc") == once


@pytest.mark.parametrize("libc", ["", "musl"])
def test_other_libraries_get_nothing(libc: str) -> None:
    assert environment({}, libc=libc) == {}


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="speaks of glibc")
def test_pages_of_a_freed_block_are_kept_for_the_next() -> None:
    """Page faults of a process that frees and takes 64 MiB twenty times: without, every time anew."""
    plain = {name: value for name, value in os.environ.items() if name != VARIABLE}
    without, with_it = (_faults(plain | added) for added in ({}, environment({})))
    assert with_it < without / 4


def _faults(variables: dict[str, str]) -> int:
    command = [sys.executable, "-c", FREE_AND_ASK_AGAIN]
    return int(subprocess.run(command, env=variables, capture_output=True, check=True, timeout=60).stdout)
