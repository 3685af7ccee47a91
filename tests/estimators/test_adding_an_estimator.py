"""The package that docs/how-to/adding-an-estimator.md spells out works when followed to the letter."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import estimators

ROOT = Path(estimators.__file__).resolve().parents[1]
PAGE = (
    (ROOT / "docs" / "how-to" / "adding-an-estimator.md")
    .read_text(encoding="utf-8")
    .split("## From another package")[1]
)
FILE = re.compile(r"^`([\w./]+)`[^\n]*:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SWEEP = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ID = "st_reinmax_blend"

LISTED = """
import json, sys
import estimators
last = estimators.available()[-1]
title = estimators.get(last).title
print(json.dumps({"last": last, "title": title, "torch": "torch" in sys.modules}))
"""

CERTIFIED = f"""
import json
from estimators.certify import Effort, certify
certificate = certify("{ID}", effort=Effort(stderr=0.01, most=2**14))
against = [finding.name for finding in certificate.contradictions]
print(json.dumps({{"against": against, "order": certificate.order.value}}))
"""

SWEPT = """
import json, sys
from benchmarks.engine.cohort import Cohort
from benchmarks.spec import cohort_signature
from benchmarks.sweep import load_sweep, read_sweep
sweep = read_sweep(load_sweep(sys.argv[1]).to_json())
cohorts = {}
for trial in sweep.expand():
    cohorts.setdefault(cohort_signature(trial), []).append(trial)
print(json.dumps([
    [trials[0].estimator.id, len(trials), [
        end.metrics for segment in Cohort(trials).segments() for end in segment.ended
    ]]
    for trials in cohorts.values()
]))
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


def python(installed: Path, code: str, *arguments: str) -> object:
    """What ``code`` prints, as JSON, in a new process that finds the package."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(installed)]), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_page_spells_out_three_files() -> None:
    assert [name for name, _ in FILE.findall(PAGE)] == [
        "pyproject.toml",
        "blended_estimators/__init__.py",
        "blended_estimators/path.py",
    ]


def test_it_is_listed_without_torch(installed: Path) -> None:
    expected = {"last": ID, "title": "Straight-through and ReinMax, blended", "torch": False}
    assert python(installed, LISTED) == expected


def test_its_certificate_passes(installed: Path) -> None:
    result = python(installed, CERTIFIED)
    assert isinstance(result, dict)
    assert result["against"] == []
    assert abs(result["order"] - 1) < 0.15


def test_the_sweep_of_the_page_runs(installed: Path) -> None:
    (sweep,) = SWEEP.findall(PAGE)
    cohorts = python(installed, SWEPT, sweep)
    assert isinstance(cohorts, list)
    # Two weights and two seeds are four lanes of one program.
    assert [(id, lanes) for id, lanes, _ in cohorts] == [("st", 2), ("reinmax", 2), (ID, 4)]
    for _, lanes, ends in cohorts:
        assert len(ends) == lanes
        assert all("expected_loss" in metrics for metrics in ends)
