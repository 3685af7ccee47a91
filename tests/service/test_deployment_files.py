"""Compose files, scripts and images' contents keep their promises; `make compose-test` runs them for real."""

from __future__ import annotations

import importlib.util
import os
import re
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
COMPOSE = sorted([*ROOT.glob("docker-compose*.yml"), DOCKER / "ray-worker.yml"])
FENCED = re.compile(r"^```ya?ml\n(.*?)^```", re.M | re.S)
PUBLISHED = {"web", "grafana"}
ONCE = {"migrate"}
"""Services that end when they are done, and have no health."""


def load(path: Path) -> Any:
    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))


def services(path: Path) -> dict[str, dict[str, Any]]:
    """Of a compose file, with what they extend."""
    found: dict[str, dict[str, Any]] = load(path)["services"]
    for service in found.values():
        if extended := service.pop("extends", None):
            base = services(path.parent / extended["file"])[extended["service"]]
            service.update(base | service)
    return found


def complete() -> list[Any]:
    """Every service that is defined as a whole, and not only amended."""
    return [
        pytest.param(service, name, id=f"{path.name}-{name}")
        for path in COMPOSE
        for name, service in services(path).items()
        if "image" in service
    ]


@pytest.mark.parametrize(("service", "name"), complete())
def test_every_service_is_hardened_limited_and_watched(service: dict[str, Any], name: str) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert {"cpus", "mem_limit", "pids_limit"} <= service.keys()
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert ("healthcheck" in service) == (name not in ONCE)
    assert not service.keys() & {"privileged", "network_mode", "pid", "ipc"}


@pytest.mark.parametrize(("service", "name"), complete())
def test_only_the_web_is_published_and_on_loopback(service: dict[str, Any], name: str) -> None:
    ports = service.get("ports", [])
    assert bool(ports) == (name in PUBLISHED)
    assert all("127.0.0.1" in port for port in ports)


@pytest.mark.parametrize(("service", "name"), complete())
def test_secrets_are_files(service: dict[str, Any], name: str) -> None:
    """No variable holds one: those that speak of a password, secret or token name a file."""
    environment = service.get("environment", {})
    told = {key: value for key, value in environment.items() if re.search("PASSWORD|SECRET|TOKEN", key)}
    assert all(str(value).startswith("/run/secrets/") for value in told.values())
    assert not re.search(r"://[^/@]*:[^/@]*@", str(environment))  # a password in a URL
    assert "insecure" not in str(service.get("command"))


def test_the_database_is_on_a_network_without_a_way_out() -> None:
    compose = load(ROOT / "docker-compose.yml")
    assert compose["services"]["db"]["networks"] == ["private"]
    assert compose["networks"]["private"] == {"internal": True}
    on = {name: set(one.get("networks", ())) for name, one in compose["services"].items()}
    assert {name for name, networks in on.items() if "private" in networks} == {
        "db",
        "migrate",
        "web",
        "dispatcher",
    }


def test_secrets_are_written_once_behind_a_closed_folder(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"

    def run() -> dict[str, str]:
        subprocess.run([DOCKER / "secrets.sh", folder], check=True, capture_output=True)
        return {file.name: file.read_text() for file in folder.iterdir()}

    first = run()
    named = load(ROOT / "docker-compose.yml")["secrets"]
    assert first.keys() == named.keys() - {"metrics_token"}  # docker/first-tokens.sh makes it
    assert all(re.fullmatch("[0-9a-f]{64}", text) for text in first.values())
    assert len(set(first.values())) == len(first)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    (folder / "grafana_password").unlink()
    second = run()
    assert second.keys() == first.keys()
    assert {name for name in first if first[name] != second[name]} == {"grafana_password"}


def with_ray_token(tmp_path: Path, secret: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "RAY_AUTH_TOKEN_SECRET": str(secret),
        "RAY_AUTH_TOKEN_PATH": str(tmp_path / "token"),
    }
    command = ["sh", str(DOCKER / "with-ray-token.sh"), "echo", "two words"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_rays_token_becomes_a_file_that_others_cannot_read(tmp_path: Path) -> None:
    secret = tmp_path / "mounted"
    secret.write_text("abc")
    secret.chmod(0o444)
    assert with_ray_token(tmp_path, secret).stdout == "two words\n"
    assert (tmp_path / "token").read_text() == "abc"
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600


def test_without_a_mounted_token_the_command_runs_as_it_is(tmp_path: Path) -> None:
    assert with_ray_token(tmp_path, tmp_path / "none").stdout == "two words\n"
    assert not (tmp_path / "token").exists()


def requirements_module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("requirements", DOCKER / "requirements.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_light_image_has_everything_but_torch() -> None:
    project = ROOT / "pyproject.toml"
    declared = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    light = requirements_module().requirements(project, without={"torch"}, extras=["postgresql"])
    torch = {line for line in declared["dependencies"] if line.startswith("torch")}
    assert len(torch) == 1
    assert set(light) == {*declared["dependencies"], *declared["optional-dependencies"]["postgresql"]} - torch
    with pytest.raises(KeyError):
        requirements_module().requirements(project, without={"troch"}, extras=[])


LIGHT = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "ray"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
sys.argv = ["heunboard", "db", "upgrade"]
import service.cli
try:
    service.cli.main()
except SystemExit as end:
    assert not end.code, end.code
from service.app import create_app
from service.settings import load_settings
from service.storage.engine import open_engine
create_app(load_settings(), open_engine(load_settings().database))
"""


def test_migrations_and_the_web_service_need_neither_torch_nor_ray(tmp_path: Path) -> None:
    environment = os.environ | {"HEUNBOARD_DATABASE_URL": f"sqlite:///{tmp_path / 'x.sqlite'}"}
    done = subprocess.run(
        [sys.executable, "-c", LIGHT],
        env=environment | {"HEUNBOARD_DATA_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "upgraded from an empty database" in done.stdout


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_yaml_in_the_documentation_can_be_read(page: Path) -> None:
    for text in FENCED.findall(page.read_text(encoding="utf-8")):
        list(YAML(typ="safe").load_all(text))


def test_the_context_of_the_images_holds_what_they_copy() -> None:
    """`.dockerignore` lets through what the package is built from, and no secret."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "*"
    kept = {line[1:] for line in lines if line.startswith("!")}
    built = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]
    wheel = built["targets"]["wheel"]
    assert {*wheel["packages"], *wheel["force-include"]} <= kept
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", (DOCKER / "Dockerfile").read_text(), re.M)
    assert {name for line in copied for name in line.split()} - {"."} <= kept
    assert not {name for name in kept if "secret" in name or "env" in name}
