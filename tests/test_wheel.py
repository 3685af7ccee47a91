"""The wheel as somebody has it who never saw this checkout: installed, and used from an empty folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from service.storage import migrations
from tests.support.processes import end, working_on

ROOT = Path(__file__).resolve().parents[1]
LIMIT_SECONDS = 240
MOST_MEGABYTES = 4.0

SWEEP = """
name: from the wheel
task: {id: polynomial, latents: 4, batch_size: 8, epochs: 2, steps_per_epoch: 20}
estimators: [st, reinmax]
seeds: 2
"""

USE = """
import json, sys
from pathlib import Path
import httpx
import heunboard, benchmarks, estimators, service, workers
from heunboard import Client, load_sweep
from service.cli.demo import POLYNOMIAL
from service.processes.server import server

text = sys.argv[1]
with server(Path(sys.argv[2]), ["--launcher", "local", "--slots", "1"]) as up, Client(up["url"]) as client:
    sweep = client.submit(text).wait(timeout=200)
    board = sweep.board()
    html = {"Accept": "text/html"}
    pages = [httpx.get(f"{up['url']}{path}", headers=html, timeout=60) for path in sys.argv[3:]]
    print(json.dumps({
        "state": sweep.state,
        "rows": {row.estimator: row.n for row in board.rows},
        "picture": board.figure()[:5].decode(),
        "pages": [page.status_code for page in pages],
        "homes": [module.__file__ for module in (heunboard, benchmarks, estimators, service, workers)],
        "example": load_sweep(POLYNOMIAL.read_text()).name,
    }))
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (file,) = folder.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment with the wheel and the libraries of this one, no checkout."""
    home = tmp_path_factory.mktemp("installed")
    venv.create(home, with_pip=False)
    programs = home / "bin"
    python = str(programs / "python")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index"]
    done = subprocess.run([*pip, str(wheel)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (packages,) = home.glob("lib/python*/site-packages")
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return programs


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in an empty folder, with nothing said of the checkout."""
    folder.joinpath("work").mkdir(exist_ok=True)
    own = {"HEUNBOARD_DATA_HOME": str(folder / "data"), "HEUNBOARD_DATABASE_URL": "", "OMP_NUM_THREADS": "1"}
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | own
    try:
        return subprocess.run(
            command,
            cwd=folder / "work",
            env=environment,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )
    finally:
        end(working_on(folder / "data"))


def test_the_wheel_has_what_is_no_code_and_stays_small(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for file in (
        "heunboard/__init__.py",
        "service/_alembic/env.py",
        "service/_examples/polynomial.yaml",
        "service/web/static/style.css",
        "service/web/templates/board.html",
        "benchmarks/kernels/kernels.cpp",
        "benchmarks/suites/reinmax-2023/suite.yaml",
        "estimators/certificates/reinmax.json",
    ):
        assert file in names
    assert not any(name.startswith(("tests/", "docs/", "alembic/", "docker/")) for name in names)
    assert wheel.stat().st_size < MOST_MEGABYTES * 1e6


def test_the_commands_run_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    program = str(installed / "heunboard")
    version = run([program, "--version"], tmp_path)
    assert (version.returncode, version.stdout[:10]) == (0, "heunboard "), version.stderr
    upgraded = run([program, "db", "upgrade", "--json"], tmp_path)
    assert json.loads(upgraded.stdout)["after"] == migrations.head(), upgraded.stderr
    doctor = run([program, "doctor", "--json"], tmp_path)
    found = {one["subject"]: one for one in json.loads(doctor.stdout)}
    assert found["Heunboard"]["state"] == found["Database"]["state"] == "right", doctor.stdout
    assert str(installed.parent) in found["Heunboard"]["text"]


def test_the_face_of_the_packages_computes_a_sweep(installed: Path, tmp_path: Path) -> None:
    paths = ["/", "/sweeps/1", "/estimators/reinmax", "/static/style.css", "/openapi.json"]
    command = [str(installed / "python"), "-c", USE, SWEEP, str(tmp_path / "data"), *paths]
    done = run(command, tmp_path)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["state"], said["rows"]) == ("succeeded", {"st": 2, "reinmax": 2})
    assert said["picture"] == "<?xml"
    assert said["pages"] == [200] * len(paths)
    assert all(home.startswith(str(installed.parent)) for home in said["homes"])
    assert said["example"]
