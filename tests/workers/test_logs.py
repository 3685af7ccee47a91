"""Lines of logs: their fields, what they belong to, and what they never hold."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import threading
from typing import Any

import pytest

from workers import logs
from workers.logs import JsonLines, LogFormat, TextLines, without_secrets

log = logging.getLogger("somewhere")


def lines(form: LogFormat | None = "json") -> io.StringIO:
    """Where this process logs to from now on."""
    stream = io.StringIO()
    logs.configure("worker", form=form, stream=stream)
    return stream


def parsed(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_has_its_fields_and_what_it_belongs_to() -> None:
    stream = lines()
    with logs.bound(attempt=7, sweep="3"):
        log.warning("lost %d", 2, extra={"trial": "abc", "seconds": 0.5})
    log.info("outside")
    inside, outside = parsed(stream)
    assert inside["time"].endswith("Z")
    assert list(inside)[:4] == ["time", "level", "logger", "message"]
    told = {name: inside[name] for name in ("level", "logger", "message", "process", "attempt", "sweep")}
    assert told == {
        "level": "WARNING",
        "logger": "somewhere",
        "message": "lost 2",
        "process": "worker",
        "attempt": 7,
        "sweep": "3",
    }
    assert (inside["trial"], inside["seconds"]) == ("abc", 0.5)
    assert {"host", "pid"} <= inside.keys()
    assert not {"attempt", "sweep", "trial"} & outside.keys()


def test_times_are_utc_to_the_millisecond() -> None:
    record = logging.makeLogRecord({"created": 1_800_000_000.0625, "msg": "x"})
    assert json.loads(JsonLines("web").format(record))["time"] == "2027-01-15T08:00:00.062Z"
    assert TextLines().format(record).startswith("2027-01-15T08:00:00.062Z ")


def test_an_exception_is_one_field_of_one_line() -> None:
    stream = lines()
    try:
        raise ValueError("bad\nnumber")
    except ValueError:
        log.exception("failed")
    (line,) = parsed(stream)
    assert line["message"] == "failed"
    assert line["exception"].startswith("Traceback (most recent call last):\n")
    assert line["exception"].endswith("ValueError: bad\nnumber")


def test_an_uncaught_exception_is_logged_also_of_a_thread() -> None:
    stream = lines()

    def fail() -> None:
        raise RuntimeError("nobody caught this")

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    (line,) = parsed(stream)
    assert (line["level"], line["message"]) == ("CRITICAL", "uncaught exception: nobody caught this")
    assert "RuntimeError" in line["exception"]


def test_configuring_again_does_not_double_lines() -> None:
    lines()
    stream = lines()
    log.info("once")
    assert len(parsed(stream)) == 1


def test_lines_go_to_what_standard_error_is_by_then(capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.redirect_stderr(io.StringIO()) as before:
        logs.configure("worker", form="json")
        log.info("first")
    log.info("second")
    assert "first" in before.getvalue()
    assert "second" not in before.getvalue()
    assert json.loads(capsys.readouterr().err)["message"] == "second"


def test_text_says_what_a_line_belongs_to() -> None:
    stream = lines("text")
    with logs.bound(request="r1", attempt=7):
        log.info("hello")
    assert stream.getvalue().endswith("INFO somewhere: hello [request r1, attempt 7]\n")


@pytest.mark.parametrize(
    ("variable", "json_lines"), [("text", False), ("json", True), ("odd", True), ("", True)]
)
def test_the_environment_chooses_and_json_is_what_machines_get(
    variable: str, json_lines: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(logs.VARIABLE, variable)
    stream = lines(None)
    log.info("hello")
    assert stream.getvalue().startswith("{") is json_lines


SECRET = "Zk3-x_9QmB7tUe1aPq"


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {SECRET}",
        f"[(b'authorization', b'Bearer {SECRET}')]",
        f"Order(url='http://x', secret='{SECRET}', device='cpu')",
        f'{{"attempt_id": 1, "secret": "{SECRET}"}}',
        f"HEUNBOARD_TOKEN={SECRET}",
        f"token: {SECRET}",
        f"postgresql://heunboard:{SECRET}@db:5432/heunboard",
        f"Cookie: {SECRET}",
        f"Basic {SECRET}",
        f"X-Api-Key: {SECRET}",
        f"a token hb_01234567_{SECRET} by itself",
    ],
)
def test_no_line_holds_a_secret(text: str) -> None:
    stream = lines()
    log.warning("%s", text)
    log.warning("extra", extra={"headers": text, "secret": SECRET})
    try:
        raise ValueError(text)
    except ValueError:
        log.exception("in a traceback")
    assert SECRET not in stream.getvalue()
    assert logs.REMOVED in stream.getvalue()
    assert len(parsed(stream)) == 3, "what is left is JSON"
    assert SECRET not in TextLines().format(logging.makeLogRecord({"msg": text}))


@pytest.mark.parametrize(
    "text",
    [
        "page_token is not one that this list handed out",
        "the secret does not belong to this attempt",
        "http://127.0.0.1:8000/api/v1/sweeps: connection refused",
        "token_id=1234567890",
    ],
)
def test_other_words_stay(text: str) -> None:
    assert without_secrets(text) == text
