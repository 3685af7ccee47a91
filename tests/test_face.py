"""The package ``heunboard``: the names that users import, loaded when they are used."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import estimators
import heunboard
from benchmarks.sweep import load_sweep
from service.client import AsyncClient, Client
from workers.version import package_version

ROOT = Path(__file__).resolve().parents[1]


def loaded(code: str) -> set[str]:
    """The modules that Python has after some code in a process of its own."""
    command = [sys.executable, "-c", f"import sys, json; {code}; print(json.dumps(sorted(sys.modules)))"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_it_has_what_it_says_and_nothing_twice() -> None:
    assert heunboard.Client is Client
    assert heunboard.AsyncClient is AsyncClient
    assert heunboard.load_sweep is load_sweep
    assert heunboard.estimators is estimators
    assert heunboard.__version__ == package_version()
    assert dir(heunboard) == sorted(heunboard.__all__)
    with pytest.raises(AttributeError, match="has no 'Cliend'; it has AsyncClient, Client"):
        _ = heunboard.Cliend  # type: ignore[attr-defined]


def test_importing_it_loads_nothing_else() -> None:
    heavy = {"torch", "ray", "httpx", "pydantic", "numpy", "estimators", "benchmarks", "workers", "service"}
    assert not heavy & loaded("import heunboard")


def test_neither_the_client_nor_sweep_files_load_torch_or_a_database() -> None:
    assert not {"torch", "ray", "sqlalchemy"} & loaded("from heunboard import *")


def test_it_is_a_command() -> None:
    command = [sys.executable, "-m", "heunboard", "--version"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == f"heunboard {package_version()}\n"
