"""What ``heunboard doctor`` finds, each thing wrong once."""

from __future__ import annotations

import json
import socket
from importlib import metadata
from pathlib import Path

import pytest
from packaging.version import Version
from typer.testing import CliRunner

from service.cli.main import app
from service.processes import diagnosis
from service.storage.engine import open_engine
from service.storage.migrations import upgrade


def states(findings: list[diagnosis.Finding]) -> list[tuple[str, str]]:
    return [(one.subject, one.state) for one in findings]


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of our own."""
    monkeypatch.setenv("HEUNBOARD_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HEUNBOARD_DATABASE_URL", "")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))


def test_this_machine_can_run_it() -> None:
    answer = CliRunner().invoke(app, ["doctor", "--json", "--port", "1"])
    findings = json.loads(answer.stdout)
    named = {one["subject"] for one in findings}
    assert {"Python", "Heunboard", "PyTorch", "Compiler", "Ray", "Database", "Data sets", "Disk"} <= named
    assert [one for one in findings if one["state"] == "wrong"] == []
    assert answer.exit_code == 0


def test_the_status_is_1_where_something_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEUNBOARD_MAX_LANES", "many")
    answer = CliRunner().invoke(app, ["doctor"])
    assert answer.exit_code == 1
    assert "HEUNBOARD_MAX_LANES" in answer.stdout
    assert "change or unset that variable" in answer.stdout


def test_a_package_of_the_same_name_that_hides_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "workers").mkdir()
    monkeypatch.setattr(
        diagnosis, "_place", lambda name, real=diagnosis._place: _hidden(tmp_path, name) or real(name)
    )
    (found,) = diagnosis.packages()
    assert (found.state, str(tmp_path / "workers") in found.text) == ("wrong", True)
    assert found.advice.startswith("rename the other workers")


def _hidden(folder: Path, name: str) -> Path | None:
    return folder / name if name == "workers" else None


def test_where_a_package_is_found_without_importing_it() -> None:
    assert diagnosis._place("service") == Path(diagnosis.__file__).resolve().parents[1]
    assert diagnosis._place("no_such_package") is None


@pytest.mark.parametrize(
    ("version", "mode", "state"),
    [("2.60.0", 0o600, "right"), ("2.60.1", 0o644, "wrong"), ("2.60.1", 0o600, "right")],
)
def test_a_token_that_others_can_read(
    version: str, mode: int, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("secret")
    (tmp_path / "token").chmod(mode)
    monkeypatch.setattr(diagnosis, "_installed", lambda name: Version(version))
    (found,) = diagnosis.ray()
    assert found.state == state
    assert "secret" not in found.text


def test_what_is_not_installed_is_a_note_where_it_can_be_done_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(diagnosis, "_installed", lambda name: None)
    assert states([*diagnosis.ray(), *diagnosis.torch()]) == [("Ray", "note"), ("PyTorch", "wrong")]
    assert diagnosis._installed("torch") is None


def test_an_old_torch_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "_installed", lambda name: Version("2.5.1"))
    (found,) = diagnosis.torch()
    assert (found.state, found.advice) == ("wrong", "pip install 'torch>=2.6'")


def test_installed_versions_are_read_from_their_metadata() -> None:
    assert diagnosis._installed("typer") == Version(metadata.version("typer"))


def test_no_compiler_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (found,) = diagnosis.compiler()
    assert (found.state, "apt install g++" in found.advice) == ("note", True)


def test_databases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (new,) = diagnosis.database()
    assert (new.state, "made by the first start" in new.text) == ("right", True)
    url = f"sqlite:///{tmp_path / 'old.sqlite'}"
    engine = open_engine(url)
    upgrade(engine, "0001")
    monkeypatch.setenv("HEUNBOARD_DATABASE_URL", url)
    (old,) = diagnosis.database()
    assert (old.state, "revision 0001" in old.text) == ("note", True)
    upgrade(engine)
    engine.dispose()
    (current,) = diagnosis.database()
    assert current.state == "right"
    monkeypatch.setenv("HEUNBOARD_DATABASE_URL", "postgresql://me:hush@127.0.0.1:1/none")
    (away,) = diagnosis.database()
    assert (away.state, "hush" in away.text) == ("wrong", False)


def test_data_sets_that_are_missing_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEUNBOARD_DATA_DIR", str(tmp_path / "nowhere"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    wrong, missing = diagnosis.data_sets()
    assert (wrong.state, missing.state) == ("wrong", "note")
    assert "mnist" in missing.text


def test_a_full_disk_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "ROOM_GB", 1e9)
    assert {one.state for one in diagnosis.room()} == {"note"}


def test_a_port_that_is_taken_is_noted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (found,) = diagnosis.listening(port)
    assert found.state == "note"
    (free,) = diagnosis.listening(port)
    assert free.state == "right"


@pytest.mark.parametrize("own", ["service.py", "heunboard.py", "estimators/__init__.py"])
def test_a_module_of_ones_own_in_the_working_directory_is_named(
    own: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Heunboard itself is found, and what is started in that folder would find the other."""
    (tmp_path / own).parent.mkdir(exist_ok=True)
    (tmp_path / own).touch()
    (tmp_path / "workers").mkdir()  # without __init__.py it hides nothing
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "")
    good, found = diagnosis.packages()
    assert (good.state, found.state) == ("right", "wrong")
    assert f"{tmp_path / own} hides Heunboard's {own.partition('/')[0].removesuffix('.py')}" in found.text
    assert found.advice == "rename it, or work in another folder"
    assert CliRunner().invoke(app, ["doctor", "--port", "1"]).exit_code == 1


def test_a_module_on_the_python_path_is_named_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "workers.py").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert [one.state for one in diagnosis.packages()] == ["right", "wrong"]
