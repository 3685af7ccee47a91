"""The digest of a plug-in's code changes with its sources, and with nothing else."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from estimators.fingerprints import DIGITS, fingerprint

MODULES = ("fingerprinted.entry", "fingerprinted.deep.path")


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder where packages are found, with one."""
    write(tmp_path, "fingerprinted/__init__.py", "raise RuntimeError('nothing of it is run')\n")
    write(tmp_path, "fingerprinted/deep/path.py", "def mine(): ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    fingerprint.cache_clear()
    yield tmp_path
    fingerprint.cache_clear()


def write(site: Path, name: str, text: str) -> None:
    file = site / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def anew(*modules: str) -> str:
    """As another process would find it."""
    fingerprint.cache_clear()
    found = fingerprint(modules or MODULES)
    assert found is not None
    assert len(found) == DIGITS
    return found


def test_a_change_of_any_source_is_noticed_by_the_next_process(site: Path) -> None:
    before = anew()
    write(site, "fingerprinted/deep/path.py", "def mine(): return 1\n")
    assert fingerprint(MODULES) == before, "a process has the code that it has imported"
    after = anew()
    write(site, "fingerprinted/deep/kernel.cpp", "double f();")
    assert len({before, after, anew()}) == 3


def test_what_is_no_source_and_what_is_elsewhere_do_not_count(site: Path) -> None:
    before = anew()
    write(site, "fingerprinted/results.csv", "1\n")
    write(site, "fingerprinted/__pycache__/path.cpython-311.pyc", "1")
    write(site, "neighbour/__init__.py", "")
    assert anew() == before


def test_of_a_namespace_only_the_own_part_counts(site: Path) -> None:
    write(site, "everybodys/mine/__init__.py", "")
    before = anew("everybodys.mine.path")
    write(site, "everybodys/others/__init__.py", "")
    assert anew("everybodys.mine.path") == before
    write(site, "everybodys/mine/path.py", "")
    assert anew("everybodys.mine.path") != before


def test_a_single_module_counts_alone(site: Path) -> None:
    write(site, "lonely.py", "a = 1\n")
    before = anew("lonely")
    write(site, "fingerprinted/deep/path.py", "def mine(): return 2\n")
    assert anew("lonely") == before
    write(site, "lonely.py", "a = 2\n")
    assert anew("lonely") != before


def test_what_cannot_be_read_has_none(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(site / "packed.zip", "w") as packed:
        packed.writestr("zipped/__init__.py", "")
    monkeypatch.syspath_prepend(str(site / "packed.zip"))
    assert fingerprint(("zipped",)) is None
    assert fingerprint(("nowhere.at.all",)) is None
