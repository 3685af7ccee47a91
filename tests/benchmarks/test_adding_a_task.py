"""The package that docs/how-to/adding-a-task.md spells out works when followed to the letter."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import benchmarks
from benchmarks.tasks import battery
from tests.support.processes import completed

ROOT = Path(benchmarks.__file__).resolve().parents[1]
DOCUMENT = (ROOT / "docs" / "how-to" / "adding-a-task.md").read_text(encoding="utf-8")
PAGE = DOCUMENT.split("## From another package")[1]
FILE = re.compile(r"^`([\w./]+)`[^\n]*:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SWEEP = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ID = "binary_number"

LISTED = """
import json, sys
from benchmarks.tasks import registry
last = registry.available()[-1]
print(json.dumps({"last": last, "title": registry.get(last).title, "torch": "torch" in sys.modules}))
"""

FOUND = f"""
import json
from benchmarks.engine.cohort import Cohort
from benchmarks.sweep import read_sweep
from benchmarks.tasks import registry
sweep = read_sweep({{
    "name": "digits", "task": {{"id": "{ID}"}}, "estimators": ["exact"], "grid": {{"lr": 0.1}}, "seeds": 1
}})
(trial,) = sweep.expand()
(end,) = [end for segment in Cohort([trial]).segments() for end in segment.ended]
(optimum,) = registry.get("{ID}").references(trial.task.values)
print(json.dumps({{"loss": end.metrics["expected_loss"], "optimum": optimum.mean}}))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that pip installed the package of the page into, without a network."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("target")
    for name, text in FILE.findall(PAGE):
        path = source / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet"]
    command = [sys.executable, "-m", "pip", "install", *offline, "--target", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return target


def environment(installed: Path) -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join([str(ROOT), str(installed)]), "OMP_NUM_THREADS": "1"}


def python(installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A new Python that finds the package."""
    return subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | environment(installed),
        capture_output=True,
        text=True,
        timeout=240,
    )


def test_the_page_spells_out_three_files() -> None:
    assert [name for name, _ in FILE.findall(PAGE)] == [
        "pyproject.toml",
        "binary_number/__init__.py",
        "binary_number/task.py",
    ]


def test_the_page_lists_the_checks_of_the_battery() -> None:
    listed = re.findall(r"^\| `(\w+)` \|", DOCUMENT, re.MULTILINE)
    assert listed == [check.name for check in battery.CHECKS]


def test_it_is_listed_without_torch(installed: Path) -> None:
    done = python(installed, "-c", LISTED)
    assert json.loads(done.stdout) == {"last": ID, "title": "Binary number", "torch": False}


def test_it_passes_the_battery(installed: Path) -> None:
    (command,) = re.findall(r"^python -m (.+)$", PAGE, re.MULTILINE)
    done = python(installed, "-m", *command.split())
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAILS" not in done.stdout
    assert f"{len(battery.CHECKS)} of {len(battery.CHECKS)} checks hold" in done.stdout


def test_exact_gradients_find_the_number(installed: Path) -> None:
    done = python(installed, "-c", FOUND)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["optimum"] == 0
    assert found["loss"] < 1e-4


def test_the_sweep_of_the_page_becomes_a_board(installed: Path, tmp_path: Path) -> None:
    """Submitted to a server, computed by a worker and shown, each in a process of its own."""
    (sweep,) = SWEEP.findall(PAGE)
    file = tmp_path / "digits.yaml"
    file.write_text(sweep, encoding="utf-8")
    arguments = ("--launcher", "local", f"--data={tmp_path / 'data'}", f"--sweep={file}")
    ended = completed(*arguments, data=tmp_path, module="service.cli.demo", **environment(installed))
    assert ended.status == 0, ended
    assert "digits succeeded: 8 trials in" in ended.out
    assert "Binary number 5 in 4 digits" in ended.out
    assert all(row in ended.out for row in ("Exact gradient", "RLOO", "ReinMax", "optimum"))
