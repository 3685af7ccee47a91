"""Which part of which file is an attempt's."""

from __future__ import annotations

from pathlib import Path

import pytest

from workers.marked_logs import TAIL_CHARACTERS, mark, tail


def test_it_is_what_follows_the_mark(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    marks = []
    for attempt_id in (1, 12):
        mark(attempt_id)
        marks.append(capsys.readouterr().err)
    (tmp_path / "worker-a.err").write_text(f"{marks[0]}of the first\n{marks[1]}of the second\nits end\n")
    (tmp_path / "worker-b.err").write_text("something else\n")
    (tmp_path / "raylet.err").write_text(f"{marks[0]}not a worker's")
    assert tail(tmp_path, "worker-*.err", 12) == "of the second\nits end"
    assert str(tail(tmp_path, "worker-*.err", 1)).startswith("of the first")
    assert tail(tmp_path, "worker-*.err", 2) is None
    assert tail(tmp_path / "none", "worker-*.err", 1) is None


def test_it_is_the_end_of_much_and_nothing_of_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mark(3)
    begun = capsys.readouterr().err
    (tmp_path / "a.err").write_text(begun + "x" * 5_000 + "the end")
    found = str(tail(tmp_path, "*.err", 3))
    assert (len(found), found[-7:]) == (TAIL_CHARACTERS, "the end")
    (tmp_path / "a.err").write_text(begun)
    assert tail(tmp_path, "*.err", 3) is None
