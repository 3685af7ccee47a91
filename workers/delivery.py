"""Delivers what dead workers of this host have left for a server, and watches whether it answers.

Late or double deliveries are harmless: an attempt that was given up is refused, and what was stored before
changes nothing.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import httpx

from workers import spool
from workers.messages import MetricsBatch, News
from workers.outbox import Pile
from workers.ports import ReportError
from workers.reporter import HttpReporter, OutageTooLong, Patience, Unauthorized, Unknown
from workers.spool import Entry, Orphan, Sender

_log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
ANSWER_SECONDS = 5.0

Connect = Callable[[Sender, float], HttpReporter]


def over_http(sender: Sender, patience: float) -> HttpReporter:
    """The line of a dead attempt to its server, which may be away for ``patience`` seconds."""
    rules = Patience(outage_budget=patience)
    return HttpReporter(sender.url, sender.attempt_id, sender.secret, patience=rules)


def deliver(
    folder: Path,
    url: str,
    *,
    patience: float = 0.0,
    strangers: set[Path] | None = None,
    connect: Connect = over_http,
) -> None:
    """Deliver every orphan in the folder to a server, if it answers.

    A server may have another address by now, so all are tried. Those that it does not know and that were
    not meant for this address stay where they are.

    Args:
        folder: of the spools of this host.
        url: address of the server.
        patience: seconds that it may be away.
        strangers: files that need not be tried, since they stayed before; those that stay now are added.
        connect: how to reach it.
    """
    strangers = set() if strangers is None else strangers
    for path in spool.orphans(folder):
        if path in strangers:
            continue
        with spool.taken(path) as orphan:
            if orphan is None:
                continue
            reporter = connect(replace(orphan.sender, url=url), patience)
            with contextlib.closing(reporter):
                if not _deliver(orphan, url, reporter):
                    strangers.add(path)


def _deliver(orphan: Orphan, url: str, reporter: HttpReporter) -> bool:
    """Send everything; the file goes when it was taken or refused. Whether the server knows the attempt."""
    id = orphan.sender.attempt_id
    try:
        for path, body in _messages(orphan.entries):
            reporter.repeat(path, body)
    except OutageTooLong:
        return True
    except (Unauthorized, Unknown) as refusal:
        if orphan.sender.url != url:
            return False
        _log.info("what a dead worker left of attempt %d: %s", id, refusal)
    except ReportError as refusal:
        _log.info("what a dead worker left of attempt %d: %s", id, refusal)
    else:
        _log.info("delivered what a dead worker left of attempt %d", id)
    orphan.path.unlink(missing_ok=True)
    return True


def _messages(entries: Sequence[Entry]) -> Iterator[tuple[str, str]]:
    """What its worker would have sent: path and body. News go in batches that follow the last one."""
    pile, seq = Pile(), 0
    for kind, body in (*entries, Entry("seq", "")):  # the last one only has the rest sent
        if kind == "news":
            pile.add(News.model_validate_json(body))
            continue
        for batch in pile.batches():
            seq += 1
            yield "metrics", MetricsBatch(seq=seq, **dict(batch)).model_dump_json()
        if kind == "seq":
            seq = int(body or seq)
        else:
            yield kind, body


class Courier:
    """Implements :class:`workers.ports.Courier`: a thread that delivers and looks whether the server answers.

    Args:
        url: address of the server.
        folder: of the spools of this host.
        clock: monotonic seconds.
        transport: replaces the network, for tests.
    """

    def __init__(
        self,
        url: str,
        folder: Path,
        *,
        clock: Callable[[], float] = time.monotonic,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._url, self._folder, self._clock = url, folder, clock
        self._client = httpx.Client(transport=transport, trust_env=False, timeout=ANSWER_SECONDS)
        self._answers_since: float | None = -float("inf")
        self._strangers: set[Path] = set()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="courier", daemon=True)

    def start(self) -> None:
        """Look and deliver from now on, every second."""
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._closed.set()

    def answering_for(self) -> float:
        """Seconds for which the server has answered whenever it was asked; 0 while it does not."""
        since = self._answers_since
        return 0.0 if since is None else self._clock() - since

    def holds(self, attempt_id: int) -> bool:
        """Whether something waits on this host that the attempt has told and the server does not know."""
        name = Sender(url=self._url, attempt_id=attempt_id, secret="").file_name()
        return (self._folder / name).exists()

    def look(self) -> None:
        """Ask the server whether it answers; deliver when it does."""
        if not self._answers():
            self._answers_since = None
            return
        if self._answers_since is None:
            self._answers_since = self._clock()
        deliver(self._folder, self._url, strangers=self._strangers)

    def _answers(self) -> bool:
        try:
            return self._client.get(f"{self._url}/readyz").is_success
        except httpx.TransportError:
            return False

    def _run(self) -> None:
        while not self._closed.wait(LOOK_SECONDS):
            try:
                self.look()
            except Exception:  # one file that cannot be read must not end the deliveries of others
                _log.warning("what dead workers left could not be delivered", exc_info=True)
