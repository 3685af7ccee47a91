"""Other code of a plug-in under the same version: a worker says so, and what it has computed with."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.spec import Component, TrialSpec, optimizer_from_json
from estimators.fingerprints import fingerprint
from tests.support.fakes import FakeReporter, ScriptedCohort, make_segment
from tests.support.plugins import registered
from workers.components import changed, packages_of, plugins_of
from workers.messages import LaneTrial, StartReply
from workers.runner import run_attempt

INFO = """
from dataclasses import replace
from benchmarks.tasks.polynomial.info import INFO as POLYNOMIAL

INFO = replace(POLYNOMIAL, id="edited", target="edited_task.task:Edited")
"""


@pytest.fixture
def package(tmp_path: Path) -> Iterator[Path]:
    """The folder of a package with the task ``edited``."""
    folder = tmp_path / "edited_task"
    folder.mkdir()
    (folder / "__init__.py").write_text(INFO)
    (folder / "task.py").write_text("class Edited: ...\n")
    fingerprint.cache_clear()
    with registered(tmp_path, {"edited": "edited_task:INFO"}):
        yield folder
    sys.modules.pop("edited_task")
    fingerprint.cache_clear()


def spec() -> TrialSpec:
    from benchmarks.tasks import registry

    return TrialSpec(
        task=Component(id="edited", version=registry.get("edited").version, parameters=(("epochs", 1),)),
        estimator=Component(id="exact", version=1, parameters=()),
        optimizer=optimizer_from_json("adam"),
        lr=1e-3,
        seed=0,
    )


def edit(package: Path) -> None:
    """Change the code, and go on as a process that begins after that."""
    (package / "task.py").write_text("class Edited:\n    other = True\n")
    fingerprint.cache_clear()


def test_the_server_says_package_and_code(package: Path) -> None:
    found = packages_of([spec()])
    assert found == {
        "task/edited": "tasks_of_tests==1.0",
        "task/edited/code": fingerprint(("edited_task", "edited_task.task")),
    }
    assert changed([spec()], found) == []


def test_other_code_under_the_same_version_is_named_with_what_to_do(package: Path) -> None:
    server = packages_of([spec()])
    edit(package)
    (line,) = changed([spec()], server)
    mine = packages_of([spec()])["task/edited/code"]
    assert f"(tasks_of_tests 1.0, {mine})" in line
    assert f"(tasks_of_tests==1.0, {server['task/edited/code']})" in line
    assert "raise its version and submit the sweep again" in line
    assert changed([spec()], {"task/edited": "tasks_of_tests==1.0"}) == [], "a server that does not say"


def test_an_attempt_computes_warns_and_says_its_code(package: Path, caplog: pytest.LogCaptureFixture) -> None:
    server = packages_of([spec()])
    edit(package)
    reply = StartReply(
        attempt_id=7,
        cohort_id=1,
        number=1,
        lease_seconds=30.0,
        trials=(LaneTrial(key="t0", spec=spec().to_json()),),
        packages=server,
    )
    reporter = FakeReporter(reply)
    cohort = ScriptedCohort(lambda: iter([make_segment(1, epochs=1, lanes=[0], ends=True)]))
    assert run_attempt(reporter, build=cohort) == "finished"
    assert "task 'edited' version" in caplog.text
    assert reporter.outcome is not None
    assert reporter.outcome.provenance.plugins == plugins_of([spec()])
    ((part, code),) = plugins_of([spec()]).items()
    assert part == f"task/edited@{spec().task.version}"
    assert code == f"tasks_of_tests 1.0, code {packages_of([spec()])['task/edited/code']}"
