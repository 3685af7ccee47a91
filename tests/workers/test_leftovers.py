"""What nobody will ask for again goes, and nothing else."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from workers import leftovers
from workers.leftovers import DAY, remove_leftovers


def file(path: Path, *, days: float, size: int = 1) -> Path:
    """A file of some age."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    at = time.time() - days * DAY
    os.utime(path, (at, at))
    return path


def test_half_written_files_of_yesterday_and_logs_of_last_month_go(tmp_path: Path) -> None:
    cache, logs = tmp_path / "cache", tmp_path / "attempts"
    old = [file(cache / "decoded" / "a.part", days=1.1), file(logs / "1.log", days=31)]
    kept = [
        file(cache / "decoded" / "b.part", days=0.9),
        file(cache / "programs" / "c.json", days=400),
        file(logs / "2.log", days=29),
        file(logs / "notes.txt", days=400),
    ]
    remove_leftovers(logs, cache=cache)
    assert not any(path.exists() for path in old)
    assert all(path.exists() for path in kept)


def test_of_too_many_bytes_of_logs_the_oldest_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "MOST_LOG_BYTES", 250)
    made = [file(tmp_path / f"{days}.log", days=days, size=100) for days in (4, 1, 3, 2)]
    remove_leftovers(tmp_path, cache=tmp_path / "none")
    assert [path.name for path in made if path.exists()] == ["1.log", "2.log"]


def test_folders_that_do_not_exist_are_empty(tmp_path: Path) -> None:
    remove_leftovers(tmp_path / "no", cache=tmp_path / "none")
