"""The demonstration with tiny sweeps, and what it does without MNIST."""

from __future__ import annotations

import io
import os
import re
import signal
import socket
from pathlib import Path

import httpx
import pytest
from rich.console import Console

from service.cli import demo
from tests.support.processes import LIMIT_SECONDS, alive, completed, end, until, working_on

TINY = """
name: {name}
task: {{id: polynomial, p: {p}, latents: 4, batch_size: 8, epochs: 2, steps_per_epoch: 20}}
estimators: [st]
seeds: 2
"""
LOCAL = ("--launcher", "local")


def _tiny(folder: Path, name: str, p: int) -> str:
    file = folder / f"{name}.yaml"
    file.write_text(TINY.format(name=name, p=p))
    return f"--sweep={file}"


def test_computes_all_sweeps_under_one_bar_shows_their_boards_and_keeps_the_server(tmp_path: Path) -> None:
    sweeps = [_tiny(tmp_path, "one", 2), _tiny(tmp_path, "two", 3)]
    data = tmp_path / "data"
    try:
        ended = completed(
            *LOCAL, "--keep", f"--data={data}", *sweeps, data=tmp_path, module="service.cli.demo"
        )
        assert ended.status == 0, ended
        assert "one succeeded, two succeeded: 4 trials in" in ended.out
        assert "2 sweeps: 4 succeeded, 100 %" in ended.err
        assert all(f"Polynomial p = {p}" in ended.out and "stall" in ended.out for p in (2, 3))
        boards = re.findall(r"http://\S+/boards/\w+", ended.out)
        assert len(boards) == 2
        assert all("Straight-through" in httpx.get(board, timeout=LIMIT_SECONDS).text for board in boards)
        said = re.search(r"keeps running: \S+ +\(end it: kill (\d+)\)", ended.out)
        assert said
        members = working_on(data)
        assert int(said[1]) in {*members, *working_on(tmp_path)}
        os.kill(int(said[1]), signal.SIGTERM)
        until(lambda: not any(map(alive, members)), "the server has ended", limit=20)
    finally:
        end([*working_on(data), *working_on(tmp_path)])


def test_a_sweep_that_is_refused_ends_it_with_status_1_and_nothing_left(tmp_path: Path) -> None:
    data = tmp_path / "data"
    sweep = _tiny(tmp_path, "wrong", -1)
    ended = completed(*LOCAL, f"--data={data}", sweep, data=tmp_path, module="service.cli.demo")
    assert ended.status == 1
    assert "/task/p" in ended.out
    assert not working_on(data)
    assert not alive(int((data / "lock").read_text()))


def test_without_mnist_it_says_so_in_one_line_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        address = f"http://127.0.0.1:{nobody.getsockname()[1]}"
    _without_mnist(monkeypatch, tmp_path, proxy=address)
    assert _demonstrated() == (
        [demo.POLYNOMIAL],
        "Without MNIST, so without the VAE: neither HEUNBOARD_DATA_DIR nor the cache has "
        "train-images-idx3-ubyte.gz, and no mirror gave it\n",
    )


def test_mirrors_that_never_answer_do_not_hold_it_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "FETCH_LIMIT_S", 0.2)
    monkeypatch.setattr(demo, "MIRROR_LIMIT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        _without_mnist(monkeypatch, tmp_path, proxy=f"http://127.0.0.1:{silent.getsockname()[1]}")
        files, said = _demonstrated()
    assert files == [demo.POLYNOMIAL]
    assert said.endswith("and no mirror answers\n")


def test_with_mnist_the_vae_is_demonstrated_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "load", lambda _name: None)
    assert _demonstrated() == ([demo.POLYNOMIAL, demo.VAE], "")


def _without_mnist(monkeypatch: pytest.MonkeyPatch, folder: Path, *, proxy: str) -> None:
    monkeypatch.setenv("HEUNBOARD_DATA_DIR", str(folder / "empty"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"):
        monkeypatch.setenv(name, proxy)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


def _demonstrated() -> tuple[list[Path], str]:
    text = io.StringIO()
    return demo.sweep_files(Console(file=text, width=60)), text.getvalue()
