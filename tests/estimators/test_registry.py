"""The registry, the lazy package and plug-ins."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import estimators
from estimators import EstimatorInfo, PluginError, available, get
from estimators.registry import GROUP, plugins

ROOT = Path(estimators.__file__).parent.parent

PLUGIN = """
from dataclasses import replace
from estimators import Citation, EstimatorInfo, Properties, get
from estimators.evaluations import ONE

INFO = EstimatorInfo(
    id="mine", title="Mine", parameters=(), cost=ONE, equation="g", version=1, target="myplugin:mine",
    properties=Properties(kind="path", unbiased=False, needs_grad=True),
    citation=Citation(key="me2024", authors="Me", title="Mine", venue="arXiv:1", year=2024, kind="misc"),
)
TAKEN = get("st")
NEWER = replace(INFO, contract=2)

def mine(logits, *, generator=None):
    return logits
"""


def run(code: str, *path: Path) -> str:
    """Output of a fresh interpreter; ``path`` goes in front of the import path."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (*path, ROOT)))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()


def test_the_registry_is_read_without_torch() -> None:
    code = "import sys, estimators; estimators.get('reinmax').citation.bibtex(); estimators.available(); "
    assert run(code + "print('torch' in sys.modules)") == "False"


def test_estimators_are_imported_without_the_compiler() -> None:
    """Which takes a second, in every worker; a process that compiles loads it then."""
    code = "import sys, estimators; [estimators.get(id).load() for id in estimators.available()];"
    assert run(code + "print('torch._dynamo' in sys.modules)") == "False"


def test_names_are_the_functions_even_after_their_modules_are_imported() -> None:
    code = "import estimators; [estimators.get(id).load() for id in estimators.available()]; "
    code += "print(all(callable(getattr(estimators, id)) for id in estimators.available()))"
    assert run(code) == "True"


def test_public_names() -> None:
    assert estimators.__all__ == sorted(estimators.__all__)
    assert set(available()) <= set(estimators.__all__)
    assert set(estimators.__all__) <= set(dir(estimators))
    for name in estimators.__all__:
        assert getattr(estimators, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'reinmacks'"):
        _ = estimators.reinmacks


def test_unknown_ids_are_answered_with_the_known_ones() -> None:
    with pytest.raises(KeyError, match="no estimator 'foo'; there are exact, reinforce"):
        get("foo")


@pytest.mark.parametrize("id", available())
def test_entries_are_complete(id: str) -> None:
    info = get(id)
    assert info.id == id
    assert info.load() is getattr(estimators, id)
    assert all((info.title, info.cost.text, info.equation, info.citation.url))
    for parameter in info.parameters:
        assert parameter.default is not None
        assert parameter.description.endswith(".")


@pytest.mark.parametrize("id", available())
def test_bibtex_is_balanced(id: str) -> None:
    text = get(id).citation.bibtex()
    assert text.startswith(f"@{get(id).citation.kind}{{{get(id).citation.key},\n")
    assert text.count("{") == text.count("}")
    assert all(f"  {field} = {{" in text for field in ("author", "title", "year", "url"))


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that holds an importable module ``myplugin``."""
    (tmp_path / "myplugin.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "myplugin", raising=False)
    return tmp_path


def entry_point(value: str, name: str = "mine") -> EntryPoint:
    return EntryPoint(name=name, value=value, group=GROUP)


@pytest.mark.usefixtures("plugin")
def test_plugins_are_found() -> None:
    found = plugins([entry_point("myplugin:INFO")])
    assert list(found.entries) == ["mine"]
    assert isinstance(found.entries["mine"], EstimatorInfo)
    assert not found.broken


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["nomodule:INFO"], r"mine = 'nomodule:INFO' .* does not load \(ModuleNotFoundError"),
        (["myplugin:NOTHING"], r"does not load \(AttributeError"),
        (
            ["myplugin:mine"],
            "expected an estimators.EstimatorInfo; let the entry point name the registry entry",
        ),
        (["myplugin:TAKEN"], "registers an estimator 'st', an id that is already taken"),
        (["myplugin:INFO", "myplugin:INFO"], "registers an estimator 'mine', an id that is already taken"),
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
    found = plugins([entry_point("nomodule:INFO", "other"), entry_point("myplugin:INFO")])
    assert list(found.entries) == ["mine"]
    assert [one.name for one in found.broken] == ["other"]


@pytest.mark.usefixtures("plugin")
def test_a_plugin_for_another_contract_is_refused() -> None:
    (one,) = plugins([entry_point("myplugin:NEWER")]).broken
    assert "was written for contract 2" in str(one)
    assert "this Heunboard has 1; install versions of the two that go together" in str(one)


def test_an_installed_plugin_is_available(plugin: Path) -> None:
    """Through the metadata of a package, as an installer writes it, in a fresh process."""
    metadata = plugin / "myplugin-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: myplugin\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[{GROUP}]\nmine = myplugin:INFO\n")
    code = "import estimators; print(estimators.available()[-1], estimators.get('mine').load().__module__)"
    assert run(code, plugin) == "mine myplugin"
