"""The registry of tasks: built-in entries, plug-ins, and errors that name their package."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import benchmarks
from benchmarks.tasks.info import TaskInfo
from benchmarks.tasks.registry import GROUP, available, get, plugins
from estimators import PluginError

ROOT = Path(benchmarks.__file__).parent.parent

PLUGIN = """
import dataclasses
from benchmarks.tasks.polynomial.info import INFO as TAKEN

INFO = dataclasses.replace(TAKEN, id="mine", target="mytask:Mine")
NEWER = dataclasses.replace(INFO, contract=2)

class Mine:
    pass
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that holds an importable module ``mytask``."""
    (tmp_path / "mytask.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "mytask", raising=False)
    return tmp_path


def entry_point(value: str, name: str = "mine") -> EntryPoint:
    return EntryPoint(name=name, value=value, group=GROUP)


def test_built_in_tasks_come_first() -> None:
    assert available()[:3] == ("polynomial", "categorical_vae", "bernoulli_vae")


def test_an_unknown_task_is_told_with_those_there_are() -> None:
    with pytest.raises(KeyError, match="no task 'polynomal'; there are polynomial, categorical_vae"):
        get("polynomal")


@pytest.mark.usefixtures("plugin")
def test_plugins_are_found() -> None:
    found = plugins([entry_point("mytask:INFO")])
    assert list(found.entries) == ["mine"]
    assert isinstance(found.entries["mine"], TaskInfo)
    assert not found.broken


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["nomodule:INFO"], r"mine = 'nomodule:INFO' .* does not load \(ModuleNotFoundError"),
        (["mytask:NOTHING"], r"does not load \(AttributeError"),
        (["mytask:Mine"], "expected a benchmarks.tasks.info.TaskInfo; let the entry point name the registry"),
        (["mytask:TAKEN"], "registers a task 'polynomial', an id that is already taken"),
        (["mytask:INFO", "mytask:INFO"], "registers a task 'mine', an id that is already taken"),
    ],
)
def test_broken_plugins_are_named(values: list[str], message: str) -> None:
    found = plugins([entry_point(value) for value in values])
    assert not found.entries, "an id that two want belongs to neither"
    assert len(found.broken) == len(values)
    assert all(re.search(message, str(one)) for one in found.broken)
    with pytest.raises(PluginError, match=message):
        found.require_whole(found.broken[0].id)


@pytest.mark.usefixtures("plugin")
def test_a_broken_plugin_leaves_the_others_alone() -> None:
    found = plugins([entry_point("nomodule:INFO", "other"), entry_point("mytask:INFO")])
    assert list(found.entries) == ["mine"]
    assert [one.name for one in found.broken] == ["other"]


@pytest.mark.usefixtures("plugin")
def test_a_plugin_for_another_contract_is_refused() -> None:
    (one,) = plugins([entry_point("mytask:NEWER")]).broken
    assert "was written for contract 2" in str(one)
    assert "this Heunboard has 1; install versions of the two that go together" in str(one)


def test_an_installed_plugin_is_available_without_torch(plugin: Path) -> None:
    """Through the metadata of a package, as an installer writes it, in a fresh process."""
    metadata = plugin / "mytask-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: mytask\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[{GROUP}]\nmine = mytask:INFO\n")
    code = (
        "import sys; from benchmarks.tasks import registry; print(registry.available()[-1], "
        "'torch' in sys.modules, registry.get('mine').load().__module__)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (plugin, ROOT)))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["mine", "False", "mytask"]
