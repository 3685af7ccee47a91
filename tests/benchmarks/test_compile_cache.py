"""Where compiled programs are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.process import compile_cache


def test_same_place_for_every_process_of_a_machine(tmp_path: Path) -> None:
    first = compile_cache.environment({}, cache=tmp_path)
    assert first == compile_cache.environment({}, cache=tmp_path)
    folder = Path(first[compile_cache.VARIABLE])
    assert folder.is_dir()
    assert folder.parent == tmp_path
    assert Path(first[compile_cache.PROGRAMS]).parent == folder


def test_own_choice_is_kept(tmp_path: Path) -> None:
    mine = {compile_cache.VARIABLE: str(tmp_path / "mine")}
    found = compile_cache.environment(mine, cache=tmp_path)
    assert found == mine | {compile_cache.PROGRAMS: str(tmp_path / "mine" / "programs")}
    own = mine | {compile_cache.PROGRAMS: "/elsewhere"}
    assert compile_cache.environment(own, cache=tmp_path) == own


def test_place_that_cannot_be_made_leaves_the_default(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert compile_cache.environment({}, cache=tmp_path / "file") == {}


@pytest.mark.parametrize("name", ["flags\t\t", "Features\t"])
def test_processors_that_differ_in_instructions_do_not_share(tmp_path: Path, name: str) -> None:
    def named(flags: str, megahertz: int) -> str:
        info = tmp_path / "cpuinfo"
        info.write_text(f"processor\t: 0\ncpu MHz\t: {megahertz}\n{name}: {flags}\n")
        return compile_cache.processor(info)

    assert named("fpu avx2", 2000) == named("fpu avx2", 3000)
    assert named("fpu avx2", 2000) != named("fpu avx2 avx512f", 2000)
