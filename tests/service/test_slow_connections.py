"""Connections that send slowly, or nothing at all, are closed."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from service.api.live import hub
from service.processes import web
from service.storage import migrations
from tests.support.databases import engine_of
from tests.support.web import application, served

POST = b"POST /api/v1/sweeps HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/yaml\r\n"
GET = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@pytest.fixture
def app(tmp_path: Path) -> Iterator[FastAPI]:
    with engine_of(f"sqlite:///{tmp_path / 'board.sqlite'}") as engine:
        migrations.upgrade(engine)
        yield application(engine)


def connected(url: str) -> socket.socket:
    address = httpx.URL(url)
    return socket.create_connection((address.host, address.port or 0), timeout=30)


def until_closed(connection: socket.socket) -> bytes:
    """What still comes; without an end to it the socket's timeout fails the test."""
    came = b""
    while True:
        try:
            more = connection.recv(65536)
        except ConnectionResetError:
            return came
        if not more:
            return came
        came += more


@pytest.mark.parametrize("sent", [b"", b"GET / HT", POST, POST + b"X-Slow: a"], ids=len)
def test_a_head_that_does_not_come_ends_the_connection(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(web, "HEAD_S", 0.2)
    with served(app) as url, connected(url) as connection:
        connection.sendall(sent)
        assert until_closed(connection) == b""


def test_a_little_more_of_it_gains_no_time(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    """A header every tenth of the time, for ever."""
    monkeypatch.setattr(web, "HEAD_S", 0.5)
    with served(app) as url, connected(url) as connection:
        connection.sendall(POST)
        connection.settimeout(0.05)
        for _ in range(1000):
            try:
                connection.sendall(b"X-Slow: a\r\n")
                if connection.recv(1) == b"":
                    return
            except TimeoutError:
                continue
            except OSError:
                return
    pytest.fail("it was never closed")


def test_a_body_that_does_not_come_ends_the_connection(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "BODY_S", 0.2)
    with served(app) as url, connected(url) as connection:
        connection.sendall(POST + b"Content-Length: 1000\r\n\r\nname: ")
        assert b"201" not in until_closed(connection)


def test_the_second_request_of_a_connection_has_its_own_time(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "HEAD_S", 1.0)
    with served(app) as url, connected(url) as connection:
        connection.sendall(GET)
        first = connection.recv(65536)
        connection.sendall(GET[:10])
        assert (first + until_closed(connection)).count(b"200 OK") == 1


def test_what_waits_for_its_answer_is_not_slow(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream of events goes on after the time for its request: its heartbeat comes."""
    for name in ("HEAD_S", "BODY_S"):
        monkeypatch.setattr(web, name, 0.3)
    monkeypatch.setattr(hub, "HEARTBEAT_S", 1.0)
    with served(app) as url, httpx.stream("GET", f"{url}/api/v1/events", timeout=60) as answer:
        lines = (line for line in answer.iter_lines() if line.startswith(":"))
        assert next(lines) is not None
