"""Estimators and tasks of other packages, in real processes: seen, computed, shown, or named as broken."""

from __future__ import annotations

import os
import re
import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.support.plugins import ESTIMATOR, ESTIMATORS, distribution, install_halved, path_with
from tests.support.processes import LIMIT_SECONDS, end, heunboard, until, up, working_on

COMPUTED_WITHIN = 240.0  # it takes seconds; the machine may be busy, and programs may have to be compiled
TASKS = "heunboard.tasks"

TASK = """
from dataclasses import replace
from benchmarks.tasks.polynomial.info import INFO as POLYNOMIAL

INFO = replace(POLYNOMIAL, id="small_polynomial", title="Small polynomial", target="small.task:Small")
"""
CLASS = """
from benchmarks.tasks.polynomial.task import Polynomial

class Small(Polynomial):
    pass
"""
SETTINGS = {"latents": 4, "batch_size": 8, "epochs": 2, "steps_per_epoch": 20}


def install_small(site: Path) -> None:
    """A package with a task."""
    distribution(
        site,
        "small-task",
        modules={"small/__init__.py": TASK, "small/task.py": CLASS},
        entry_points={TASKS: {"small_polynomial": "small:INFO"}},
    )


def sweep(*estimators: str, task: str = "polynomial") -> dict[str, Any]:
    return {"name": "s", "task": {"id": task, **SETTINGS}, "estimators": list(estimators), "seeds": 1}


@contextmanager
def web(data: Path, site: Path) -> Iterator[str]:
    """The address of a ``heunboard serve`` that finds the packages in ``site``."""
    process = heunboard("serve", "--port=0", data=data, PYTHONPATH=path_with(site))
    try:
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], LIMIT_SECONDS)[0], "not ready"
        yield os.read(process.stdout.fileno(), select.PIPE_BUF).decode().split()[-1]
    finally:
        end(working_on(data))
        process.communicate()


def ended(url: str) -> list[dict[str, Any]] | None:
    """All trials of the first sweep, when they have ended."""
    trials: list[dict[str, Any]] = httpx.get(f"{url}/api/v1/sweeps/1/trials", timeout=LIMIT_SECONDS).json()[
        "trials"
    ]
    return trials if all(one["state"] in ("succeeded", "failed") for one in trials) else None


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_estimator_and_a_task_of_other_packages_come_to_a_board(tmp_path: Path) -> None:
    """Another package is broken: it is named, and keeps nothing from working."""
    site, data = tmp_path / "site", tmp_path / "data"
    install_halved(site)
    install_small(site)
    distribution(site, "sad", version="0.3", entry_points={ESTIMATORS: {"sad": "nowhere:INFO"}})
    with up(data, "--launcher=local", "--slots=1", PYTHONPATH=path_with(site)) as running:
        api = httpx.Client(base_url=f"{running.url}/api/v1", timeout=LIMIT_SECONDS)
        listed = api.get("/estimators").json()
        assert {one["id"]: one["package"] for one in listed["estimators"]}[
            "halved"
        ] == "halved-estimators 1.2"
        assert [(one["id"], one["package"], one["version"]) for one in listed["broken"]] == [
            ("sad", "sad", "0.3")
        ]
        page = httpx.get(f"{running.url}/estimators", timeout=LIMIT_SECONDS).text
        assert "Straight-through, halved" in page
        assert "sad 0.3 cannot be used" in page
        assert api.get("/tasks/small_polynomial").json()["package"] == "small-task 1.0"
        api.post("/sweeps", json=sweep("st", "halved", task="small_polynomial")).raise_for_status()
        trials = until(lambda: ended(running.url), "the trials have ended", limit=COMPUTED_WITHIN)
        assert [(one["state"], one["error"]) for one in trials] == [("succeeded", None)] * 2
        attempts = [api.get(f"/trials/{one['key']}/attempts").json()["attempts"][-1] for one in trials]
        codes = dict(code for one in attempts for code in one["provenance"]["plugins"].items())
        (board,) = api.get("/boards").json()["boards"]
        rows = api.get(f"/boards/{board['id']}").json()["rows"]
        assert {row["estimator"] for row in rows} == {"st", "halved"}
        refused = api.post("/sweeps", json=sweep("sad"))
        api.close()
    assert re.fullmatch(r"halved-estimators 1\.2, code [0-9a-f]{16}", codes["estimator/halved@1"])
    assert refused.status_code == 422
    assert "entry point sad = 'nowhere:INFO' of sad 0.3" in refused.json()["detail"]
    assert "a plug-in cannot be used: entry point sad" in (data / "logs" / "serve.log").read_text()
    assert "a plug-in cannot be used: entry point sad" in (data / "logs" / "dispatch.log").read_text()


def test_the_web_process_reads_plugins_without_torch_and_says_what_was_installed_later(
    tmp_path: Path,
) -> None:
    site = tmp_path / "site"
    install_small(site)
    with web(tmp_path / "data", site) as url:
        assert httpx.get(f"{url}/api/v1/tasks/small_polynomial", timeout=LIMIT_SECONDS).status_code == 200
        (pid,) = [pid for pid in working_on(tmp_path / "data")]
        assert not [part for part in psutil.Process(pid).memory_maps() if "libtorch" in part.path]
        before = httpx.post(f"{url}/api/v1/sweeps", json=sweep("halved"), timeout=LIMIT_SECONDS).json()
        install_halved(site)
        bare = httpx.post(f"{url}/api/v1/sweeps", json=sweep("halved"), timeout=LIMIT_SECONDS).json()
        block = httpx.post(
            f"{url}/api/v1/sweeps", json=sweep() | {"estimators": [{"id": "halved"}]}, timeout=LIMIT_SECONDS
        ).json()
        misspelt = httpx.post(f"{url}/api/v1/sweeps", json=sweep("halvd"), timeout=LIMIT_SECONDS).json()
        page = httpx.get(f"{url}/estimators/halved", headers={"Accept": "text/html"}, timeout=LIMIT_SECONDS)
    assert "no estimator 'halved'; there are" in before["detail"]
    later = (
        "no estimator 'halved' here: halved-estimators 1.2 has it and was installed after this server had "
        "started: restart heunboard serve and heunboard dispatch, or heunboard up"
    )
    assert later in bare["detail"]
    assert later in block["detail"]
    assert "halved-estimators 1.2, which may have it, was installed after" in misspelt["detail"]
    assert page.status_code == 404
    assert "halved-estimators 1.2 has it and was installed after" in page.text


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("of_workers", "told"),
    [
        (None, "has no estimator 'halved': install halved-estimators==1.2 there"),
        (
            ESTIMATOR.replace("version=1", "version=3"),
            "has version 3 of estimator 'halved' (of halved-estimators 1.3), the trial is of version 1: "
            "install halved-estimators==1.2 there",
        ),
    ],
)
def test_workers_without_a_plugin_say_what_to_install_and_where(
    of_workers: str | None, told: str, tmp_path: Path
) -> None:
    site, other, data = tmp_path / "site", tmp_path / "other", tmp_path / "data"
    install_halved(site)
    if of_workers:
        install_halved(other, version="1.3", info=of_workers)
    with web(data, site) as url:
        httpx.post(f"{url}/api/v1/sweeps", json=sweep("halved"), timeout=LIMIT_SECONDS).raise_for_status()
        dispatcher = heunboard(
            "dispatch",
            f"--worker-url={url}",
            "--launcher=local",
            "--slots=1",
            data=data,
            PYTHONPATH=path_with(other),
        )
        (trial,) = until(lambda: ended(url), "the trial has ended", limit=COMPUTED_WITHIN)
    dispatcher.communicate()
    assert trial["state"] == "failed"
    assert (
        f"the worker on {socket.gethostname()} {told} (pip install halved-estimators==1.2)" in trial["error"]
    )
    assert "restart the dispatcher" in trial["error"]
