"""``heunboard up`` as users meet it: real processes that compute, end, and are killed."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import threading
from pathlib import Path

import httpx
import pytest

from service.client import ADDRESS_FILE, Client
from service.errors import HeunboardError, InvalidSettings
from service.processes import children
from service.processes.children import Child, keep_private, turn_over
from service.processes.up import _identity, listen
from tests.support.processes import Up, alive, command_line, completed, family, until, up

ENDS_WITHIN = 20.0  # it takes 2 s; the machine may be busy

TASK = {"id": "polynomial", "latents": 4, "batch_size": 8, "epochs": 2, "steps_per_epoch": 20}
TINY: dict[str, object] = {
    "name": "tiny",
    "task": TASK,
    "estimators": ["st"],
    "seeds": 2,
}
LONG = TINY | {"name": "long", "task": TASK | {"steps_per_epoch": 100_000}}


def test_computes_guards_its_directory_and_port_and_ends_on_ctrl_c(tmp_path: Path) -> None:
    with up(tmp_path, "--launcher=local", "--slots=1") as running:
        assert (tmp_path / ADDRESS_FILE).read_text().strip() == running.url
        assert running.process.stdout is not None
        said = running.said or os.read(running.process.stdout.fileno(), select.PIPE_BUF).decode()
        assert json.loads(said) == {"workers": "ready"}
        assert _workers(running), "a worker has started although there is nothing to do"
        with Client(running.url) as client:
            assert client.wait(client.submit(TINY).id, timeout=60).state == "succeeded"

        second = completed("up", "--port=0", data=tmp_path)
        assert second.status == 2
        assert f"in use by process {running.process.pid}" in second.err
        port = str(httpx.URL(running.url).port)
        third = completed("up", f"--port={port}", data=tmp_path / "other")
        assert third.status == 2
        assert f"cannot listen on 127.0.0.1:{port}" in third.err

        open_to_others = [path for path in (tmp_path, *tmp_path.rglob("*")) if path.stat().st_mode & 0o077]
        assert not [path for path in open_to_others if path.name != "other"], "the test made that one"
        members = family(running.process.pid)
        assert len(members) >= 3
        for _ in range(2):  # an impatient user
            running.process.send_signal(signal.SIGINT)
        assert running.process.wait(ENDS_WITHIN) == 0
        assert not [command_line(pid) for pid in members if alive(pid)]
        assert not (tmp_path / ADDRESS_FILE).exists()


def test_a_data_directory_becomes_private_and_what_is_written_is(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    before = os.umask(0o022)
    try:
        keep_private(tmp_path / "none")
        keep_private(home)
        (home / "logs").mkdir()
        (home / "logs" / "serve.log").write_text("a traceback")
    finally:
        os.umask(before)
    modes = [path.stat().st_mode & 0o777 for path in (home, home / "logs", home / "logs" / "serve.log")]
    assert modes == [0o700, 0o700, 0o600]


def test_children_that_are_killed_start_again_and_end_with_their_parent(tmp_path: Path) -> None:
    with up(tmp_path, "--launcher=local", "--slots=1") as running:
        _kill_child(running, "serve")
        _kill_child(running, "dispatch")
        with Client(running.url) as client:
            assert client.wait(client.submit(TINY).id, timeout=60).state == "succeeded"
            long = client.submit(LONG).id
            until(lambda: client.sweep(long).progress.steps_done, "a worker computes")
        members = family(running.process.pid)
        assert _workers(running)
        running.process.kill()
        until(lambda: not any(map(alive, members)), "its processes are gone", limit=ENDS_WITHIN)
        _, err = running.process.communicate()
        assert "`heunboard serve` was ended by SIGKILL; starting it again" in err
        assert "`heunboard dispatch` was ended by SIGKILL; starting it again" in err

    status = completed("status", data=tmp_path)
    assert status.status == 1
    assert f"no Heunboard server answers at {running.url}, the address in {tmp_path}" in status.err


@pytest.mark.ray
def test_with_ray_it_computes_and_a_killed_parent_leaves_nothing(tmp_path: Path) -> None:
    with up(tmp_path, "--launcher=ray", "--slots=1") as running:
        with Client(running.url) as client:
            assert client.wait(client.submit(TINY).id, timeout=90).state == "succeeded"
        members = family(running.process.pid)
        assert any("raylet" in command_line(pid) for pid in members)
        running.process.kill()
        until(lambda: not any(map(alive, members)), "its processes are gone", limit=2 * ENDS_WITHIN)


def test_a_child_that_cannot_use_its_arguments_is_not_started_again(tmp_path: Path) -> None:
    log = tmp_path / "serve.log"
    why = r"`heunboard serve` ended with status 2; .*serve\.log ends:"
    with (
        Child(["serve", "--port=-1"], log=log, environment={}) as child,
        pytest.raises(InvalidSettings, match=why),
    ):
        _revive_until_it_raises(child, [])


def test_a_child_that_ends_again_and_again_is_given_up_with_the_end_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "MAX_RESTARTS", 1)
    monkeypatch.setattr(children, "FIRST_PAUSE_S", 0.0)
    told: list[str] = []
    log, home = tmp_path / "serve.log", {"HEUNBOARD_DATA_HOME": str(tmp_path)}
    why = r"(?s)ended with status 1, 2 times .*Bad file descriptor"
    with (
        Child(["serve", "--fd=999"], log=log, environment=home) as child,
        pytest.raises(HeunboardError, match=why),
    ):
        _revive_until_it_raises(child, told)
    assert [line.partition(";")[0] for line in told] == ["`heunboard serve` ended with status 1"]


def test_a_log_that_has_grown_too_long_begins_anew_while_it_is_written(tmp_path: Path) -> None:
    log = tmp_path / "serve.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"1234567890")
        turn_over(log, most=10)
        assert log.read_bytes() == b"1234567890"
        writer.write(b"x")
        turn_over(log, most=10)
        writer.write(b"after")
    assert (log.read_bytes(), (tmp_path / "serve.log.1").read_bytes()) == (b"after", b"1234567890x")


def _workers(running: Up) -> list[int]:
    """Processes of ``up`` that compute."""
    return [pid for pid in family(running.process.pid) if "workers.local_worker" in command_line(pid)]


def _kill_child(running: Up, command: str) -> None:
    """Kill a child of ``up`` and wait for its successor."""
    killed = until(lambda: running.child(command), command)
    os.kill(killed, signal.SIGKILL)
    until(lambda: running.child(command) not in (None, killed), f"{command} is back")


def _revive_until_it_raises(child: Child, told: list[str]) -> None:
    def look() -> bool:
        child.revive(told.append, threading.Event())
        return False

    until(look, "an error")


def test_a_listener_s_sockets_do_not_wait_for_acknowledgements() -> None:
    """Only sockets that know their protocol are told so: else a kept connection costs 40 ms a request."""
    with listen("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP


def test_a_directory_s_dispatcher_keeps_its_name_and_no_other_has_it(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, other = _identity(tmp_path / "a"), _identity(tmp_path / "b")
    assert first == _identity(tmp_path / "a")
    assert first != other
