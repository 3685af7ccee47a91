"""Logs of processes that are kept for many attempts: which part of which file is an attempt's."""

from __future__ import annotations

import sys
from pathlib import Path

TAIL_CHARACTERS = 2_000
"""Of the end of a log that people are told when its process has died."""
LARGEST_BYTES = 20_000_000
"""Of a file that is searched."""


def mark(attempt_id: int) -> None:
    """Say on standard error that what follows belongs to the attempt."""
    sys.stderr.write(_mark(attempt_id) + "\n")
    sys.stderr.flush()


def tail(folder: Path, pattern: str, attempt_id: int) -> str | None:
    """The end of what an attempt wrote after its mark; ``None`` when no file says, or it wrote nothing.

    Args:
        folder: where the files lie.
        pattern: of their names.
        attempt_id: which attempt.
    """
    for path in folder.glob(pattern):
        try:
            if path.stat().st_size > LARGEST_BYTES:
                continue
            text = path.read_text(errors="replace")
        except OSError:  # it has just gone, or is not ours to read
            continue
        _, found, written = text.rpartition(_mark(attempt_id) + "\n")
        if found:
            return written.strip()[-TAIL_CHARACTERS:] or None
    return None


def _mark(attempt_id: int) -> str:
    return f"[heunboard] attempt {attempt_id} begins"
