"""Logs of all processes in one form: a line of JSON or of text, with what it belongs to, without secrets."""

from __future__ import annotations

import contextvars
import logging
import os
import re
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Literal, TextIO, get_args

from pythonjsonlogger.json import JsonFormatter

LogFormat = Literal["json", "text"]
ProcessName = Literal["web", "dispatcher", "worker"]
Id = str | int

VARIABLE = "HEUNBOARD_LOG_FORMAT"
"""Workers read it from their environment; the others know it from their settings."""

IDS = ("request", "sweep", "trial", "cohort", "attempt")
"""What lines belong to, from the outermost on."""

QUIET = ("alembic", "httpx", "httpcore")
"""Libraries that log what they do step by step."""

REMOVED = "[removed]"

# A value ends where a quotation, a list or a line does, so that JSON stays JSON.
_SECRETS = (
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}"), rf"\1 {REMOVED}"),
    (
        re.compile(
            r"(?i)((?:authorization|secret|token|passw(?:or)?d|api[_-]?key|cookie)\\?[\"']?\s*[=:]\s*\\?[\"']?)"
            r"[^\s\"'\\,;&}\[]{8,}"
        ),
        rf"\1{REMOVED}",
    ),
    (re.compile(r"(://[^/\s:@\"]*):[^/\s@\"]+@"), rf"\1:{REMOVED}@"),
    (re.compile(r"\bhbs?_[\w-]{16,}"), REMOVED),
)

_bound: contextvars.ContextVar[Mapping[str, Id]] = contextvars.ContextVar("bound", default={})  # noqa: B039 - never changed


def bind(**ids: Id) -> None:
    """Say what all that is logged from now on in this context (a request, a thread) belongs to."""
    _bound.set({**_bound.get(), **ids})


@contextmanager
def bound(**ids: Id) -> Iterator[None]:
    """:func:`bind` for a while."""
    token = _bound.set({**_bound.get(), **ids})
    try:
        yield
    finally:
        _bound.reset(token)


def bound_to() -> Mapping[str, Id]:
    """What lines of this context belong to."""
    return _bound.get()


def configure(process: ProcessName, *, form: LogFormat | None = None, stream: TextIO | None = None) -> None:
    """Let this process log to ``stream`` from the level ``INFO`` on; a second time replaces the first.

    Uncaught exceptions and warnings of Python are logged, too.

    Args:
        process: what the process is.
        form: of the lines; ``None``: what the environment says, else text on a terminal and JSON elsewhere.
        stream: default: standard error.
    """
    handler = Handler(stream)
    chosen = form or _from_environment() or ("text" if handler.stream.isatty() else "json")
    handler.setFormatter(JsonLines(process) if chosen == "json" else TextLines())
    handler.addFilter(_add_ids)
    root = logging.getLogger()
    for before in [one for one in root.handlers if isinstance(one, Handler)]:
        root.removeHandler(before)
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda args: _log_uncaught(args.exc_type, args.exc_value, args.exc_traceback)


class JsonLines(JsonFormatter):
    """One object a line: ``time`` (RFC 3339, UTC), ``level``, ``logger``, ``message``, ``process``, ``pid``,
    ``host``, ids of what the line belongs to, what else it has, and ``exception`` with its traceback."""

    def __init__(self, process: ProcessName) -> None:
        super().__init__(
            ("created", "levelname", "name", "message"),
            rename_fields={
                "created": "time",
                "levelname": "level",
                "name": "logger",
                "exc_info": "exception",
                "stack_info": "stack",
            },
            static_fields={"process": process, "pid": os.getpid(), "host": socket.gethostname()},
            reserved_attrs=(*_RECORD, "color_message"),  # the same once more, of uvicorn
        )

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """Write the time in words."""
        return {**log_data, "time": _moment(log_data["time"])}

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return without_secrets(super().format(record))


class TextLines(logging.Formatter):
    """``TIME LEVEL LOGGER: MESSAGE [attempt 7]``, then a traceback as Python writes it.

    Args:
        ids: whether lines say what they belong to.
    """

    def __init__(self, *, ids: bool = True) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._ids = ids

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        """As in JSON."""
        return _moment(record.created)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """The line without a traceback."""
        line = super().formatMessage(record)
        found = [f"{name} {getattr(record, name)}" for name in IDS if hasattr(record, name)]
        return f"{line} [{', '.join(found)}]" if self._ids and found else line

    def format(self, record: logging.LogRecord) -> str:
        """The line, and a traceback if there is one."""
        return without_secrets(super().format(record))


def without_secrets(text: str) -> str:
    """The text without what looks like an access token, an attempt's secret or a password.

    Nobody should log any; this is for what libraries write, and for the repr of a record in a traceback.
    """
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


class Handler(logging.StreamHandler[TextIO]):
    """The one that :func:`configure` has put in place.

    Args:
        stream: ``None``: whatever standard error is when something is logged.
    """

    def __init__(self, stream: TextIO | None) -> None:
        super().__init__(stream)
        self._follows = stream is None

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line."""
        if self._follows:
            self.stream = sys.stderr
        super().emit(record)


_RECORD = (*vars(logging.makeLogRecord({})), "message", "asctime", "taskName")


def _add_ids(record: logging.LogRecord) -> bool:
    """What a line says itself (``extra``) goes before what its context is bound to."""
    for name, value in _bound.get().items():
        vars(record).setdefault(name, value)
    return True


def _from_environment() -> LogFormat | None:
    given = os.environ.get(VARIABLE)
    return next((form for form in get_args(LogFormat) if form == given), None)


def _moment(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return moment.removesuffix("+00:00") + "Z"


def _log_uncaught(kind: type[BaseException], error: BaseException | None, trace: Any) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error or kind(), trace)
        return
    told = (kind, error or kind(), trace)
    logging.getLogger(__name__).critical("uncaught exception: %s", error or kind.__name__, exc_info=told)
