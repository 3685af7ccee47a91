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


@pytest.mark.parametrize("which", [compile_cache.VARIABLE, compile_cache.PROGRAMS])
def test_a_place_that_others_can_write_to_is_not_used(
    tmp_path: Path, which: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Its content is executed."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)  # as /tmp: others add files and do not take any away
    found = compile_cache.environment({which: str(shared)}, cache=tmp_path)
    assert str(shared) not in found.values()
    assert "others can write" in caplog.text
    shared.chmod(0o755)
    assert compile_cache.environment({which: str(shared)}, cache=tmp_path)[which] == str(shared)


def test_the_place_of_the_user_that_others_can_write_to_is_not_used_either(tmp_path: Path) -> None:
    made = compile_cache.folder({}, cache=tmp_path)
    assert made is not None
    assert made.stat().st_mode & 0o777 == 0o700
    made.chmod(0o777)
    assert compile_cache.folder({}, cache=tmp_path) is None


def test_what_belongs_to_another_user_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not compile_cache.others_can_write(tmp_path)
    owner = tmp_path.stat().st_uid
    monkeypatch.setattr("os.getuid", lambda: owner + 1)
    assert compile_cache.others_can_write(tmp_path) is (owner != 0)


@pytest.mark.parametrize("name", ["flags\t\t", "Features\t"])
def test_processors_that_differ_in_instructions_do_not_share(tmp_path: Path, name: str) -> None:
    def named(flags: str, megahertz: int) -> str:
        info = tmp_path / "cpuinfo"
        info.write_text(f"processor\t: 0\ncpu MHz\t: {megahertz}\n{name}: {flags}\n")
        return compile_cache.processor(info)

    assert named("fpu avx2", 2000) == named("fpu avx2", 3000)
    assert named("fpu avx2", 2000) != named("fpu avx2 avx512f", 2000)
