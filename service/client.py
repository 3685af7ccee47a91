"""The Python client: a thin, typed door to the REST API.

>>> with Client("http://127.0.0.1:8000") as client:  # doctest: +SKIP
...     sweep = client.submit(Path("examples/polynomial.yaml").read_text())
...     client.wait(sweep["id"])
...     (board,) = client.sweep_boards(sweep["id"])
"""

from __future__ import annotations

import json
import math
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from service.settings import default_data_home
from service.states import FINAL

Document = dict[str, Any]

DEFAULT_URL = "http://127.0.0.1:8000"
ADDRESS_FILE = "address"  # in the data directory, written by ``heunboard up``
RETRIES = 2  # of the connection, when it cannot be made
PATIENCE_S = 120.0  # how long a server may be away while a sweep is waited for; it may be starting again
SUBMIT_PATIENCE_S = 60.0  # how long its database may be away when a sweep is submitted

SUBMIT_TIMEOUT_S = 600.0  # of a grid of many thousand trials, which are stored in one transaction

UNAVAILABLE = 503
UNAVAILABLE_PAUSE_S = 1.0
FIRST_PAUSE_S = 0.05


class BoardDocument(Document):
    """A leaderboard as the API answers it."""

    def to_pandas(self) -> Any:
        """A ``pandas.DataFrame`` with a row for each estimator and metric, ranked ones only.

        Raises:
            ClientError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise ClientError("a data frame needs pandas: pip install pandas") from error
        return pandas.DataFrame([line for row in self["rows"] for line in _records(row)])


def _records(row: Document) -> Iterator[Document]:
    setting = row["setting"]
    same = {name: row[name] for name in ("estimator", "title", "version", "cell", "settings_tried")}
    same |= {name: row["standing"][name] for name in ("rank_low", "rank_high", "tied_with_best")}
    same |= setting["parameters"] | {"optimizer": setting["optimizer"], "lr": setting["lr"]}
    for metric, summary in row["metrics"].items():
        spread = {name: value for name, value in summary.items() if name != "seeds"}
        yield same | row["cost"] | {"metric": metric} | spread


class ClientError(Exception):
    """The server did not do what was asked."""


class ApiError(ClientError):
    """The server refused; ``problem`` is its problem document (RFC 9457) and ``status`` the HTTP status."""

    def __init__(self, status: int, problem: Document) -> None:
        self.status = status
        self.problem = problem
        super().__init__(str(problem.get("detail") or problem.get("title") or f"HTTP {status}"))


class ServerUnreachable(ClientError):
    """No server answers at the address."""


class WaitTimeout(ClientError):
    """The sweep was not done in time; it goes on."""


def pause_after(waited: float, longest: float) -> float:
    """Seconds until the next look at what was ``waited`` for: whoever waits loses a twentieth more."""
    return min(longest, FIRST_PAUSE_S + waited / 20)


def default_url() -> str:
    """``HEUNBOARD_URL``, else where ``heunboard up`` says it listens, else port 8000 of this machine."""
    return _found_url()[0]


def _found_url() -> tuple[str, str]:
    """The default address, and where it comes from, for messages."""
    if url := os.environ.get("HEUNBOARD_URL"):
        return url, "HEUNBOARD_URL"
    file = Path(os.environ.get("HEUNBOARD_DATA_HOME") or default_data_home()) / ADDRESS_FILE
    try:
        return file.read_text().strip(), f"the address in {file}"
    except FileNotFoundError:
        return DEFAULT_URL, "the default"


class Client:
    """Talks to one server. Close it, or use it as a context manager.

    Args:
        url: address of the server; default as :func:`default_url`.
        transport: how requests travel, for tests.
        timeout: seconds that one request may take.

    Raises:
        ServerUnreachable: ``url`` is not an address.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        transport: httpx.BaseTransport | None = None,
        timeout: float = 30.0,
    ) -> None:
        found, self._origin = (url, "") if url else _found_url()
        self.url = found.rstrip("/")
        chosen = transport or httpx.HTTPTransport(retries=RETRIES)
        headers = {"Accept": "application/json"}
        try:
            self._http = httpx.Client(base_url=self.url, transport=chosen, timeout=timeout, headers=headers)
        except httpx.InvalidURL as error:
            raise self._unreachable(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def submit(self, sweep: str | Mapping[str, Any], *, idempotency_key: str | None = None) -> Document:
        """Submit a sweep: the text of a sweep file, or a mapping. Returns its id and what it will compute.

        ``plan`` of the answer is what :meth:`plan` said a moment before; its ``warning`` is not null when
        that is more than a day of device time.

        While the server's database is away it is asked again, for a minute.

        Raises:
            ApiError: the sweep is not valid; ``problem["errors"]`` lists every mistake with its JSON pointer.
        """
        key = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}  # with it a repetition is harmless
        deadline = time.monotonic() + SUBMIT_PATIENCE_S
        while True:
            try:
                return self._post("/sweeps", sweep, key)
            except ApiError as error:
                if error.status != UNAVAILABLE or time.monotonic() > deadline:
                    raise
            time.sleep(UNAVAILABLE_PAUSE_S)

    def plan(self, sweep: str | Mapping[str, Any]) -> Document:
        """What submitting would do: trials, known ones, those to compute, device time. Stores nothing.

        ``device_seconds`` of the answer, and of each of its ``estimators``, has ``low``, ``expected`` and
        ``high``: seconds of one device.
        """
        return self._post("/sweeps/plan", sweep, {})

    def sweep(self, id: int | str) -> Document:
        """A sweep with its progress and its first boards and failures."""
        return self._get(_sweep_path(id))

    def sweeps(self, *, owner: str = "", state: str = "", tag: str = "", q: str = "") -> list[Document]:
        """Sweeps, newest first: all, or those of an owner, in a state, with a tag, with all words of q."""
        return list(self._pages("/sweeps", "sweeps", _given(owner=owner, state=state, tag=tag, q=q)))

    def newest_sweeps(self, limit: int) -> Document:
        """The first page of the sweeps: ``sweeps`` and, when there are more, ``next_page_token``."""
        return self._get("/sweeps", {"limit": limit})

    def pause(self, id: int | str) -> Document:
        """Compute nothing more of a sweep for now; what runs stops at its next segment and keeps its place.

        Raises:
            ApiError: 409, it is not active, or all its trials have ended.
        """
        return self._control(id, "pause")

    def resume(self, id: int | str) -> Document:
        """Go on with a sweep that is paused or cancelled; 409 when it is active."""
        return self._control(id, "resume")

    def cancel(self, id: int | str) -> Document:
        """Give up the trials of a sweep that have no outcome; those that other sweeps want go on."""
        return self._control(id, "cancel")

    def retry(self, id: int | str) -> Document:
        """Queue the trials of a sweep again that failed or were cancelled; 409 when there are none."""
        return self._control(id, "retry")

    def delete(self, id: int | str, *, forever: bool = False) -> None:
        """Put a sweep into the bin, cancelled; :meth:`restore` takes it out again.

        With ``forever`` it goes at once, with the trials that no other sweep wants.
        """
        params = {"forever": forever}
        self._answer(self._http.build_request("DELETE", f"/api/v1{_sweep_path(id)}", params=params))

    def restore(self, id: int | str) -> Document:
        """Take a deleted sweep out of the bin."""
        return self._control(id, "restore")

    def deleted_sweeps(self) -> list[Document]:
        """The sweeps in the bin, newest first."""
        return list(self._pages("/sweeps", "sweeps", {"deleted": True}))

    def set_priority(self, id: int | str, priority: int) -> Document:
        """Let a sweep go before those of lower priority; what runs is not disturbed."""
        body = {"priority": priority}
        return self._send(self._http.build_request("PATCH", f"/api/v1{_sweep_path(id)}", json=body))

    def describe(
        self,
        id: int | str,
        *,
        name: str | None = None,
        description: str | None = None,
        tags: Sequence[str] | None = None,
    ) -> Document:
        """Change what a sweep says of itself; what is ``None`` stays."""
        given = {"name": name, "description": description, "tags": None if tags is None else list(tags)}
        body = {key: value for key, value in given.items() if value is not None}
        return self._send(self._http.build_request("PATCH", f"/api/v1{_sweep_path(id)}", json=body))

    def _control(self, id: int | str, what: str) -> Document:
        return self._send(self._http.build_request("POST", f"/api/v1{_sweep_path(id)}/{what}", json={}))

    def wait(
        self,
        id: int | str,
        callback: Callable[[Document], None] | None = None,
        *,
        timeout: float | None = None,
        interval: float = 0.5,
    ) -> Document:
        """Wait until a sweep is done; returns it whatever its outcome.

        Args:
            id: the sweep.
            callback: called with the sweep after every look.
            timeout: seconds.
            interval: seconds between two looks, fewer in the first seconds.

        Raises:
            WaitTimeout: it was not done in time; it goes on.
        """
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        for (sweep,) in self.follow([id], interval=interval):
            if callback is not None:
                callback(sweep)
            if sweep["state"] not in FINAL and time.monotonic() > deadline:
                raise WaitTimeout(f"sweep {id} is {sweep['state']} after {timeout:g} s; it goes on")
        return sweep

    def follow(self, ids: Sequence[int | str], *, interval: float = 0.5) -> Iterator[list[Document]]:
        """Look at sweeps again and again until all are done; the last look has the outcomes.

        The first looks follow each other faster than ``interval``: short sweeps are seen to end when they do.

        Raises:
            ServerUnreachable: the server was away for more than ``PATIENCE_S`` seconds.
        """
        began = time.monotonic()
        ended: dict[int | str, Document] = {}
        while True:
            sweeps = [ended.get(id) or self._sweep_patiently(id, interval) for id in ids]
            ended |= {id: one for id, one in zip(ids, sweeps, strict=True) if one["state"] in FINAL}
            yield sweeps
            if all(sweep["state"] in FINAL for sweep in sweeps):
                return
            time.sleep(pause_after(time.monotonic() - began, interval))  # between two looks at the server

    def trials(self, sweep: int | str) -> list[Document]:
        """All trials of a sweep."""
        return list(self._pages(f"{_sweep_path(sweep)}/trials", "trials"))

    def trial(self, key: str) -> Document:
        """One trial by its key."""
        return self._get(f"/trials/{key}")

    def curves(self, key: str) -> list[Document]:
        """The curves of one trial."""
        found: list[Document] = self._get(f"/trials/{key}/curves")["curves"]
        return found

    def attempts(self, key: str) -> list[Document]:
        """The attempts of one trial, oldest first."""
        found: list[Document] = self._get(f"/trials/{key}/attempts")["attempts"]
        return found

    def find_attempts(self, **search: Any) -> Iterator[Document]:
        """Attempts, newest first, page after page as they are asked for.

        Args:
            search: ``state``, ``host``, ``text`` (part of error, log or label), ``sweep``; what is left out
                or ``None`` is not asked for.
        """
        return self._pages("/attempts", "attempts", {k: v for k, v in search.items() if v is not None})

    def nodes(self) -> list[Document]:
        """The nodes where attempts run, with their states."""
        found: list[Document] = self._get("/nodes")["nodes"]
        return found

    def drain(self, node: str) -> Document:
        """Let a node become idle: its attempts stop and go on elsewhere, nothing begins there.

        Raises:
            ApiError: there is no such node, or it is draining already.
        """
        return self._post(f"/nodes/{quote(node, safe='')}/drain", {}, {})

    def undrain(self, node: str) -> Document:
        """Let a node take attempts again, whether it was drained or under quarantine.

        Raises:
            ApiError: there is no such node, or it is in service.
        """
        return self._post(f"/nodes/{quote(node, safe='')}/undrain", {}, {})

    def boards(self, *, q: str = "", task: str = "") -> list[Document]:
        """Boards, those with the newest results first: all, or those of a task or with all words of ``q``.

        One that gets a result while several pages of the list are read may be left out.
        """
        return list(self._pages("/boards", "boards", _given(q=q, task=task)))

    def standing(self, estimator: str) -> Document:
        """Where an estimator stands over the boards that it is on: ranks, average rank, profile."""
        return self._get(f"/estimators/{quote(estimator, safe='')}/standing")

    def board(
        self,
        id: int | str,
        *,
        select: str | None = None,
        report: list[str] | None = None,
        interval: str | None = None,
    ) -> BoardDocument:
        """A leaderboard.

        Args:
            id: the board.
            select: metric that chooses the settings.
            report: metrics that are shown beside it.
            interval: of means over seeds, ``t`` or ``bootstrap``.
        """
        chosen = {"select": select, "report": report, "interval": interval}
        return BoardDocument(self._get(_board_path(id), {k: v for k, v in chosen.items() if v}))

    def board_text(
        self, id: str, format: str, *, select: str | None = None, report: list[str] | None = None
    ) -> str:
        """A leaderboard as the text of a file: ``json``, ``csv``, ``markdown``, ``latex``, ``bibtex`` or
        ``html``, a page that needs no server.
        """
        chosen = {"format": format, "select": select, "report": report}
        return self._file(_board_path(id), {k: v for k, v in chosen.items() if v}).text

    def board_figure(self, id: str, kind: str, *, format: str = "svg", **chosen: Any) -> bytes:
        """A figure of a board.

        Args:
            id: the board.
            kind: ``curves``, ``heatmap``, ``sensitivity``, ``cost`` or ``tuning``.
            format: of the file, ``svg`` or ``png``.
            chosen: ``select``, ``report``, and ``scheme``, ``light`` or ``dark``.

        Raises:
            ApiError: the board has no such figure yet.
        """
        params = {"kind": kind, "format": format, **chosen}
        return self._file(f"{_board_path(id)}/figure", {k: v for k, v in params.items() if v}).content

    def trials_file(self, id: str, *, format: str = "csv", **chosen: Any) -> Iterator[bytes]:
        """Every trial of a board, a row each, as pieces of a file, ``csv`` or ``parquet``, as they come.

        ``chosen`` are ``cells``, ``all`` or ``shown``, and ``select``.
        """
        return self._pieces(f"{_board_path(id)}/trials", {"format": format, **chosen})

    def curves_file(self, id: str, *, format: str = "csv", **chosen: Any) -> Iterator[bytes]:
        """Every curve of a board, a row for each metric and epoch, as :meth:`trials_file`."""
        return self._pieces(f"{_board_path(id)}/curves", {"format": format, **chosen})

    def compare(self, first: str, *others: str, board: str, **chosen: Any) -> Document:
        """Hold an estimator against others by paired differences over common seeds.

        Args:
            first: an estimator, ``ESTIMATOR@VERSION``, or the key of a setting.
            others: likewise.
            board: where they stand.
            chosen: ``other_board`` of the others, ``metric``, ``select``, and ``margin``, the largest
                difference that does not matter.

        Returns:
            ``comparisons`` has a verdict, an interval, a p-value and a sentence for each of the others.
        """
        chosen["board"] = chosen.pop("other_board", None)
        named = {name: value for name, value in chosen.items() if value is not None}
        return self._get(f"{_board_path(board)}/compare", {"a": first, "b": list(others), **named})

    def board_cells(
        self,
        id: int | str,
        *,
        select: str | None = None,
        report: list[str] | None = None,
        estimator: str | None = None,
    ) -> Iterator[Document]:
        """Every setting on a board with what its seeds gave, page after page as they are asked for.

        Args:
            id: of the board.
            select: metric that chooses; default: the task's.
            report: metrics shown beside it; default: the task's.
            estimator: only its settings.
        """
        asked = {"select": select, "report": report, "estimator": estimator}
        return self._pages(f"/boards/{id}/cells", "cells", {k: v for k, v in asked.items() if v})

    def sweep_boards(self, sweep: int | str) -> list[Document]:
        """The boards of a sweep, chosen and reported as its ``select`` and ``report`` say."""
        found = self.sweep(sweep)
        rule = {"select": found["select"], "report": found["report"]}
        links = self._pages(f"{_sweep_path(sweep)}/boards", "boards")
        return [self.board(link["id"], **rule) for link in links]

    def cells(self, sweep: int | str) -> list[Document]:
        """All cells of a sweep, with the states of their seeds."""
        return list(self._pages(f"{_sweep_path(sweep)}/cells", "cells"))

    def estimators(self) -> list[Document]:
        """Every estimator that the server knows, with its parameters and declared properties."""
        return list(self._get("/estimators")["estimators"])

    def tasks(self) -> list[Document]:
        """Every task that the server knows, with its parameters and metrics."""
        return list(self._get("/tasks")["tasks"])

    def estimator(self, id: str) -> Document:
        """One estimator as the server knows it: its version, parameters and declared properties."""
        return self._get(f"/estimators/{quote(id, safe='')}")

    def publish_certificate(self, certificate: Mapping[str, Any]) -> Document:
        """Store a certificate, the JSON form of one, at the server, whose pages then show it.

        Raises:
            ApiError: the server lacks the estimator in this version, or the document is no certificate of it;
                ``problem["errors"]`` lists every mistake with its JSON pointer.
        """
        path = f"/api/v1/estimators/{quote(str(certificate.get('id')), safe='')}/certificate"
        kind = {"Content-Type": "application/json"}
        text = json.dumps(dict(certificate))
        return self._send(self._http.build_request("PUT", path, content=text, headers=kind))

    def suites(self) -> Document:
        """Papers with their tables and figures and the state of every tier, under ``suites``.

        ``broken`` lists suites and exhibits that the server has and cannot use, and why.
        """
        return self._get("/suites")

    def suite(self, id: str) -> Document:
        """One paper with its tables and figures."""
        return self._get(_suite_path(id))

    def exhibit(self, name: str) -> Document:
        """One table or figure, ``SUITE/EXHIBIT``: its tiers, the sentences that it tests, known slips."""
        return self._get(_suite_path(name))

    def plan_suite(self, name: str, tier: str) -> Document:
        """What a tier of ``SUITE/EXHIBIT``, or of all of ``SUITE``, would compute; stores nothing.

        The answer is like that of :meth:`plan`. A tier that halves its grid is planned as if the first
        settings of every estimator survived, for which do is not known before.
        """
        return self._get(f"{_suite_path(name)}/plan", {"tier": tier})

    def reproduce(
        self, name: str, tier: str, *, owner: str | None = None, priority: int = 0, retry: bool = False
    ) -> list[Document]:
        """Submit what a tier of ``SUITE/EXHIBIT``, or of all of ``SUITE``, wants by now, once whoever asks.

        Call it again when the sweeps of the answers have ended: a tier that halves its grid goes on with the
        next rung, until ``finished``.

        Args:
            name: a table or figure, or a suite: then all that have the tier and are computed by sweeps.
            tier: ``smoke``, ``reduced``, ``full`` or ``budget``.
            owner: whose the new sweeps are.
            priority: of the new sweeps; higher runs first.
            retry: submit sweeps again that ended with failed or cancelled trials.

        Returns:
            For each exhibit its ``sweeps``, how many of them were ``added``, its ``rung`` of ``rungs``.
        """
        wanted = {"tier": tier, "owner": owner, "priority": priority, "retry": retry}
        answer = self._post(_suite_path(name), wanted, {}, timeout=SUBMIT_TIMEOUT_S)
        found: list[Document] = [answer] if "/" in name else answer["reproductions"]
        return found

    def suite_report(self, name: str, tier: str, *, format: str = "json") -> str:
        """The report of ``SUITE/EXHIBIT`` in a tier, as the text of a file.

        Args:
            name: a table or figure.
            tier: one of its tiers.
            format: ``json``, ``markdown`` or ``latex``.
        """
        return self._file(f"{_suite_path(name)}/report", {"tier": tier, "format": format}).text

    def suite_figure(self, name: str, tier: str, *, format: str = "svg") -> bytes:
        """The picture of a figure's report, ``svg`` or ``png``.

        Raises:
            ApiError: the exhibit is a table, or nothing was measured yet.
        """
        return self._file(f"{_suite_path(name)}/figure", {"tier": tier, "format": format}).content

    def measurements(self, name: str, tier: str) -> list[Document]:
        """What was measured of an exhibit that a command measures, a document a device."""
        found: list[Document] = self._get(f"{_suite_path(name)}/measurements", {"tier": tier})["measurements"]
        return found

    def publish_measurements(self, name: str, tier: str, measurements: Mapping[str, Any]) -> Document:
        """Send what ``python -m benchmarks.commands.efficiency`` wrote; the server keeps one a device.

        Raises:
            ApiError: it is not what that command writes, or the exhibit is computed by sweeps.
        """
        path = f"{_suite_path(name)}/measurements?tier={quote(tier, safe='')}"
        return self._post(path, measurements, {})

    def _sweep_patiently(self, id: int | str, interval: float) -> Document:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return self.sweep(id)
            except ServerUnreachable:
                if time.monotonic() > deadline:
                    raise
            except ApiError as error:
                if error.status != UNAVAILABLE:
                    raise
                deadline = time.monotonic() + PATIENCE_S  # it is there, only its database is away
            time.sleep(interval)  # the server may be starting again

    def _pages(self, path: str, name: str, params: Mapping[str, Any] | None = None) -> Iterator[Document]:
        token: str | None = None
        while True:
            answer = self._get(path, {**(params or {}), **({"page_token": token} if token else {})})
            yield from answer[name]
            token = answer["next_page_token"]
            if token is None:
                return

    def _get(self, path: str, params: Mapping[str, Any] | None = None) -> Document:
        return self._send(self._http.build_request("GET", f"/api/v1{path}", params=params))

    def _file(self, path: str, params: Mapping[str, Any]) -> httpx.Response:
        """What is no JSON document, or is kept as the text that it came as."""
        return self._answer(self._http.build_request("GET", f"/api/v1{path}", params=params))

    def _pieces(self, path: str, params: Mapping[str, Any]) -> Iterator[bytes]:
        """What is too long for one piece of memory."""
        wanted = {name: value for name, value in params.items() if value is not None}
        try:
            with self._http.stream("GET", f"/api/v1{path}", params=wanted) as response:
                if not response.is_success:
                    response.read()
                    raise ApiError(response.status_code, _problem(response))
                yield from response.iter_bytes()
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    def _post(
        self,
        path: str,
        body: str | Mapping[str, Any],
        headers: Mapping[str, str],
        *,
        timeout: float | None = None,
    ) -> Document:
        text = body if isinstance(body, str) else json.dumps(dict(body))
        kind = "application/yaml" if isinstance(body, str) else "application/json"
        sent = {"Content-Type": kind, **headers}
        longest = self._http.timeout if timeout is None else timeout
        request = self._http.build_request(
            "POST", f"/api/v1{path}", content=text, headers=sent, timeout=longest
        )
        return self._send(request)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        try:
            response = self._http.send(request)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        if not response.is_success:
            raise ApiError(response.status_code, _problem(response))
        return response

    def _send(self, request: httpx.Request) -> Document:
        response = self._answer(request)
        try:
            answer: Document = response.json()
        except ValueError as error:
            raise self._unreachable("what answers there does not speak its language") from error
        return answer

    def _unreachable(self, reason: object) -> ServerUnreachable:
        origin = f", {self._origin}" if self._origin else ""
        return ServerUnreachable(
            f"no Heunboard server answers at {self.url}{origin} ({reason}); start one with `heunboard up`, "
            "or say where it is with --url or HEUNBOARD_URL"
        )


def _given(**asked: str) -> dict[str, str]:
    """What is asked for, without what is empty."""
    return {name: value for name, value in asked.items() if value}


def _sweep_path(id: int | str) -> str:
    return f"/sweeps/{quote(str(id), safe='')}"


def _board_path(id: int | str) -> str:
    return f"/boards/{quote(str(id), safe='')}"


def _suite_path(name: str) -> str:
    """The path of ``SUITE`` or ``SUITE/EXHIBIT``."""
    return "/suites/" + "/".join(quote(part, safe="") for part in name.split("/", 1))


def _problem(response: httpx.Response) -> Document:
    """The problem document, or one made of whatever a proxy in between answered."""
    try:
        document = response.json()
    except ValueError:
        document = None
    if isinstance(document, dict):
        return document
    return {
        "title": f"HTTP {response.status_code}",
        "status": response.status_code,
        "detail": response.text[:500],
    }
