"""The running attempt's line to the server over HTTP: patient with outages, final about refusals."""

from __future__ import annotations

import functools
import random
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from workers.messages import (
    CheckpointReport,
    Heartbeat,
    HeartbeatReply,
    MetricsBatch,
    News,
    Outcome,
    Resumption,
    Start,
    StartReply,
)
from workers.outbox import Outbox
from workers.ports import ReportError, Superseded
from workers.spool import Entry, Kind, Spool
from workers.version import PROTOCOL, PROTOCOL_HEADER, VERSION_HEADER, package_version

RETRIED = frozenset({429, 500, 502, 503, 504})
TIMEOUT = httpx.Timeout(30.0, connect=5.0)
ANSWER_CHARACTERS = 500


class Unauthorized(ReportError):
    """The server does not accept the attempt's secret."""


class Refused(ReportError):
    """The server understood the message and will never accept it."""


class Unknown(Refused):
    """The server knows no such attempt."""


class OutageTooLong(ReportError):
    """The server was away for longer than the attempt waits."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """How an attempt lives with a server that does not answer.

    The n-th pause is ``first_pause * 2**n`` seconds, at most ``longest_pause``, times a uniform number from
    [0.5, 1], so that workers that lost the server together do not return together.

    Attributes:
        first_pause: seconds before the first repetition.
        longest_pause: seconds between repetitions at most.
        outage_budget: seconds without any answer after which the attempt gives up.
        buffer_bytes: curve points kept in memory while the server is away; beyond that training waits.
    """

    first_pause: float = 0.2
    longest_pause: float = 10.0
    outage_budget: float = 3600.0
    buffer_bytes: int = 128 * 1024 * 1024

    def pause(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row (from 1)."""
        longest = min(self.longest_pause, self.first_pause * 2.0 ** min(failures - 1, 30))
        return longest * random.uniform(0.5, 1.0)


@functools.cache  # reading them takes longer than a report
def certificates() -> ssl.SSLContext:
    """Whom the attempts of this process trust over HTTPS: the usual authorities."""
    return httpx.create_ssl_context(trust_env=False)


class HttpReporter:
    """Implements :class:`workers.ports.AttemptReporter` for one attempt.

    ``start``, ``resume``, ``heartbeat`` and ``finish`` wait out an outage. ``metrics`` and ``checkpoint``
    only hand over to a thread, which sends one message after the other and waits in the training's place,
    whether the server is away or does not answer. What cannot be delivered is in the attempt's spool, so
    that it outlives this process.

    Args:
        url: address of the web service, e.g. ``http://127.0.0.1:8000``.
        attempt_id: primary key of the attempt.
        secret: the attempt's secret, sent as a bearer token.
        introduction: who begins, and where.
        patience: pauses and budgets.
        spool: the attempt's file; ``None``: what waits is in memory only.
        clock: monotonic seconds.
        sleep: waits so many seconds; by default :meth:`close` cuts a wait short.
        transport: replaces the network, for tests.
    """

    def __init__(
        self,
        url: str,
        attempt_id: int,
        secret: str,
        *,
        introduction: Start | None = None,
        patience: Patience | None = None,
        spool: Spool | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._attempt_id = attempt_id
        self._introduction = "" if introduction is None else introduction.model_dump_json()
        self._patience = patience or Patience()
        self._clock = clock
        self._closed = threading.Event()
        self._sleep = sleep or self._closed.wait
        self._seq = 0  # of the last batch; only the outbox's thread counts
        self._spool = spool
        self._outbox = Outbox(self._send, most_bytes=self._patience.buffer_bytes, spool=spool)
        self._client = httpx.Client(
            base_url=f"{url.rstrip('/')}/internal/v1/attempts/{attempt_id}/",
            headers={
                "Authorization": f"Bearer {secret}",
                "Content-Type": "application/json",
                PROTOCOL_HEADER: str(PROTOCOL),
                VERSION_HEADER: package_version(),
            },
            timeout=TIMEOUT,
            transport=transport,
            verify=certificates(),
            trust_env=False,  # a proxy of the machine must not see the secret
        )

    def start(self) -> StartReply | None:
        """Announce the attempt; ``None`` when it was superseded and must not compute."""
        try:
            return StartReply.model_validate_json(self._insist("start", self._introduction))
        except Superseded:
            return None

    def resume(self, message: Resumption) -> None:
        """Say where trials go on; waits for the server."""
        self._insist("resume", message.model_dump_json())

    def heartbeat(self, message: Heartbeat) -> HeartbeatReply:
        """Extend the lease, report progress, learn of a cancel."""
        return HeartbeatReply.model_validate_json(self._insist("heartbeat", message.model_dump_json()))

    def metrics(self, news: News) -> None:
        """Have curve points sent. Raises what the sending of earlier ones has ended with."""
        self._outbox.put(news)

    def checkpoint(self, message: CheckpointReport, told: Callable[[], None]) -> None:
        """Have checkpoints told of after all metrics before. Raises what :meth:`metrics` does."""
        self._outbox.put_checkpoints(message, told)

    def finish(self, message: Outcome) -> None:
        """Wait until all metrics are sent, then send the end of the attempt."""
        body = message.model_dump_json()
        self._outbox.end(body)
        self._outbox.flush()
        self._insist("finish", body, away=lambda: self._outbox.keep(self._seq))
        if self._spool is not None:
            self._spool.remove()

    def repeat(self, path: str, body: str) -> None:
        """Send a message again that a worker has left; raises as the other methods do."""
        self._insist(path, body)

    def close(self) -> None:
        """Cut short a wait for the server and release the connection. What is in the spool stays there."""
        self._closed.set()
        self._outbox.close()
        self._client.close()
        if self._spool is not None:
            self._spool.release()

    def _send(self, told: News | CheckpointReport) -> None:
        if isinstance(told, CheckpointReport):
            self._send_as("checkpoint", told.model_dump_json())
            return
        self._seq += 1
        self._send_as("metrics", MetricsBatch(seq=self._seq, **dict(told)).model_dump_json())

    def _send_as(self, kind: Kind, body: str) -> None:
        keep = functools.partial(self._outbox.keep, self._seq, Entry(kind, body))
        if self._outbox.keeping:  # lines of what waited have become this message
            keep()
        self._insist(kind, body, away=keep)

    def _insist(self, path: str, body: str, *, away: Callable[[], None] = lambda: None) -> bytes:
        """Post until there is an answer, for as long as the outage budget lasts.

        ``away`` is called when the first try fails.
        """
        began = self._clock()
        failures = 0
        while isinstance(answer := self._post(path, body), str):
            failures += 1
            if failures == 1:
                away()
            pause = self._patience.pause(failures)
            if self._closed.is_set() or self._clock() + pause - began > self._patience.outage_budget:
                raise OutageTooLong(
                    f"no answer to {path!r} of attempt {self._attempt_id} from {self._client.base_url} "
                    f"for {self._clock() - began:.0f} s ({failures} tries); the last one: {answer}"
                )
            self._sleep(pause)
        return answer

    def _post(self, path: str, body: str) -> bytes | str:
        """Post once. Returns the answer, or what went wrong when trying again makes sense."""
        try:
            response = self._client.post(path, content=body)
        except httpx.TransportError as error:
            return f"{type(error).__name__}: {error}"
        if response.status_code in RETRIED:
            return f"HTTP {response.status_code}"
        self._raise_for_refusal(response)
        return response.content

    def _raise_for_refusal(self, response: httpx.Response) -> None:
        attempt = f"attempt {self._attempt_id}"
        if response.status_code == httpx.codes.CONFLICT:
            raise Superseded(f"{attempt} no longer holds its cohort")
        if response.status_code == httpx.codes.UNAUTHORIZED:
            raise Unauthorized(f"the server at {response.url} does not accept the secret of {attempt} (401)")
        if not response.is_success:
            text = response.text[:ANSWER_CHARACTERS]
            kind = Unknown if response.status_code == httpx.codes.NOT_FOUND else Refused
            raise kind(f"{response.url} refused a report of {attempt}: {response.status_code} {text}")
