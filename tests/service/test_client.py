"""The Python client against the application, and against servers that are away or are something else."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine

from service.client import (
    ApiError,
    AsyncClient,
    Client,
    ClientError,
    InvalidAddress,
    Retry,
    ServerUnreachable,
    UnexpectedAnswer,
    WaitTimeout,
    clients,
    default_url,
    flows,
    sweeps,
)
from service.client.retrying import is_passing, retry_after
from service.resources.schemas import SweepList
from service.storage import migrations
from tests.support.answers import sweep_answer
from tests.support.databases import engine_of
from tests.support.fakes import ManualClock
from tests.support.sweeps import small_sweep
from tests.support.web import InProcess, application, compute

SWEEP = {"name": "small", "task": {"id": "polynomial", "latents": 4}, "estimators": ["st"], "seeds": 2}
TOKEN = "hb_secret-of-ann"
NO_SWEEPS = SweepList(sweeps=[]).model_dump()
Answer = Callable[[httpx.Request], httpx.Response]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """An SQLite database; what differs between databases is not the client's."""
    with engine_of(f"sqlite:///{tmp_path / 'client.sqlite'}") as engine:
        migrations.upgrade(engine)
        yield engine


@pytest.fixture
def served(engine: Engine) -> Iterator[Client]:
    """A client of the application on that database."""
    with Client("http://127.0.0.1", transport=InProcess(application(engine))) as made:
        yield made


def test_plans_submits_and_reads_everything_back(engine: Engine, served: Client) -> None:
    compute(engine, small_sweep())
    document = small_sweep().to_json()
    plan = served.plan(document)
    assert (plan.trials, plan.known, plan.to_compute) == (6, 6, 0)
    assert plan.device_seconds.expected == 0
    sweep = served.wait(served.submit(document).id, timeout=0)
    assert sweep.state == "succeeded"
    trials = served.trials(sweep.id)
    assert len(trials) == 6
    key = trials[0].key
    assert dict(served.trial(key)).items() >= dict(trials[0]).items()
    assert {curve.metric for curve in served.curves(key)} == {"expected_loss"}
    assert [attempt.number for attempt in served.attempts(key)] == [1]
    (link,) = served.boards()
    board = served.board(link.id, report=["train_loss"])
    assert board.id == link.id
    assert "train_loss" in board.report


def test_a_handle_leads_from_submission_to_a_data_frame(
    engine: Engine, served: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=list))
    compute(engine, small_sweep())
    sweep = served.submit(small_sweep().to_json())
    assert sweep.plan is not None
    assert (sweep.plan.trials, sweep.plan.to_compute) == (6, 0)
    frame = sweep.wait(timeout=0).board().to_pandas()
    losses = [line for line in frame if line["metric"] == "expected_loss"]
    assert sorted(line["estimator"] for line in losses) == ["reinmax", "st"]
    assert {line["mean"] for line in losses} == {1.0}  # of the seeds 0, 1 and 2
    assert len(sweep.trials()) == 6
    assert [board.id for board in sweep.boards()] == [sweep.board().id]
    assert repr(sweep) == "<sweep 2 'small': succeeded; 6 succeeded>"
    assert sweep.url == "http://127.0.0.1/sweeps/2"


def test_a_handle_steers_and_knows_what_became_of_it(served: Client) -> None:
    sweep = served.submit(SWEEP)
    assert sweep.pause() is sweep
    assert (sweep.state, sweep.answer.held) == ("paused", "paused")
    assert sweep.resume().state == "queued"
    assert sweep.cancel().progress.counts["cancelled"] == 2
    assert sweep.retry().progress.counts["queued"] == 2
    served.cancel(sweep.id)
    assert sweep.state == "queued"
    assert sweep.refresh().state == "cancelled"
    assert [look.state for look in sweep.watch()] == ["cancelled"]
    sweep.delete()
    assert served.sweeps() == []
    assert sweep.restore().answer.deleted_at is None


def test_a_handle_names_its_boards_where_one_is_to_be_chosen(served: Client) -> None:
    wide = served.submit({**SWEEP, "task": {"id": "polynomial", "latents": [4, 8]}})
    first, second = wide.boards()
    with pytest.raises(ClientError, match=f"expected one board of sweep 1, found 2; .*{first.id[:8]}"):
        wide.board()
    with pytest.raises(ClientError, match="whose id begins with 'none' of sweep 1, found 0"):
        wide.board("none")
    assert wide.board(second.id[:12]).title == second.title


def test_a_board_is_found_by_the_beginning_of_its_id(served: Client) -> None:
    first, second = served.submit({**SWEEP, "task": {"id": "polynomial", "latents": [4, 8]}}).boards()
    assert served.board(second.id[:8]).title == second.title != first.title
    with pytest.raises(ApiError, match="there is no board 'zzz'"):
        served.board("zzz")


def test_the_asynchronous_client_has_the_same_methods(engine: Engine) -> None:
    compute(engine, small_sweep())
    transport = httpx.ASGITransport(application(engine))

    async def use() -> None:
        async with AsyncClient("http://127.0.0.1", transport=transport) as client:
            sweep = await client.submit(small_sweep().to_json())
            assert [look.state async for look in sweep.watch()] == ["succeeded"]
            board = await (await sweep.wait(timeout=0)).board()
            assert {row.estimator for row in board.rows} == {"st", "reinmax"}
            assert len([cell async for cell in client.board_cells(board.id)]) == 2
            file = b"".join([piece async for piece in client.trials_file(board.id)])
            assert file.count(b"\n") == 1 + 6
            with pytest.raises(ApiError, match="sweep"):
                await client.sweep(99)
            with pytest.raises(ApiError, match="board"):
                [piece async for piece in client.trials_file("none")]

    asyncio.run(use())
    names = {name for name in dir(Client) if not name.startswith("_")}
    assert names == {name for name in dir(AsyncClient) if not name.startswith("_")}
    assert "plan" in names


def test_methods_are_documented_and_named() -> None:
    with Client("http://there", transport=httpx.MockTransport(_refuse)) as made:
        assert made.submit.__name__ == "submit"
        assert str(made.submit.__doc__).startswith("Submit a sweep")
    assert str(clients.Client.submit.__doc__) == str(clients.AsyncClient.submit.__doc__)
    decorated = [one for kind in clients.Client.__mro__ for one in vars(kind).values()]
    assert all(one.__doc__ for one in decorated if isinstance(one, flows.method | flows.stream))


def test_text_and_mapping_are_the_same_sweep(served: Client) -> None:
    text = "name: small\ntask: {id: polynomial, latents: 4}\nestimators: [st]\nseeds: 2\n"
    served.submit(text)
    assert len(served.trials(served.submit(SWEEP).id)) == 2
    assert len(served.boards()) == 1


def test_lists_have_no_end_but_their_own(served: Client) -> None:
    ids = [served.submit(SWEEP).id for _ in range(3)]
    page = served.newest_sweeps(2)
    assert [sweep.id for sweep in page.sweeps] == ids[:0:-1]
    assert page.next_page_token
    assert [sweep.id for sweep in served.sweeps()] == ids[::-1]


def test_an_idempotency_key_submits_once(served: Client) -> None:
    first, again = (served.submit(SWEEP, idempotency_key="k") for _ in range(2))
    assert first.id == again.id
    assert len(served.sweeps()) == 1


def test_a_wrong_sweep_is_refused_with_its_places_and_nothing_is_stored(served: Client) -> None:
    with pytest.raises(
        ApiError, match=r"/estimators/0: no estimator 'reinmx'.*Did you mean 'reinmax'"
    ) as error:
        served.submit(SWEEP | {"estimators": ["reinmx"]})
    assert error.value.status == 422
    assert error.value.problem.errors[0].pointer == "/estimators/0"
    assert served.sweeps() == []
    assert served.boards() == []


def test_wait_tells_every_look_and_gives_up_in_time(served: Client) -> None:
    sweep = served.submit(SWEEP)
    looks: list[str] = []
    with pytest.raises(WaitTimeout, match=r"is queued after 0 s; it goes on"):
        sweep.wait(lambda look: looks.append(look.state), timeout=0)
    assert looks == ["queued"]


def test_a_server_that_starts_again_is_waited_for() -> None:
    failures = [httpx.ReadError("reset"), httpx.ConnectError("refused")]
    states = iter(["running", "succeeded"])

    def answer(_: httpx.Request) -> httpx.Response:
        if failures:
            raise failures.pop(0)
        return _json(sweep_answer(next(states)))

    with _client(answer) as made:
        assert [look.state for (look,) in made.follow([1], interval=0)] == ["running", "succeeded"]


def test_a_server_whose_database_is_away_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long: it answers, and says that it will be back."""
    monkeypatch.setattr(sweeps, "PATIENCE_S", 0.0)
    answers = [httpx.Response(503, json={"detail": "away"}) for _ in range(50)]
    answers.append(_json(sweep_answer("succeeded")))
    with _client(lambda _: answers.pop(0)) as made:
        assert made.wait(1, interval=1).state == "succeeded"
    assert answers == []


@pytest.mark.parametrize(("waited", "pause"), [(0.0, 0.05), (1.0, 0.1), (9.0, 0.5), (3600.0, 0.5)])
def test_pauses_between_looks_grow_with_the_wait(waited: float, pause: float) -> None:
    assert sweeps.pause_after(waited, 0.5) == pytest.approx(pause)


def test_a_server_that_stays_away_ends_the_wait() -> None:
    clock = ManualClock()
    with _client(_refuse, clock) as made, pytest.raises(ServerUnreachable):
        made.wait(1, interval=1)
    assert sweeps.PATIENCE_S < clock.now < sweeps.PATIENCE_S + 3


def test_what_is_no_heunboard_is_named() -> None:
    why = r"no Heunboard server answers at http://there .*language"
    with (
        _client(lambda _: httpx.Response(200, text="<html>")) as made,
        pytest.raises(ServerUnreachable, match=why),
    ):
        made.sweeps()


@pytest.mark.parametrize("url", ["http://there:port", "there:8000", "ftp://there", "http://"])
def test_what_is_no_address_is_refused_at_once(url: str) -> None:
    with pytest.raises(InvalidAddress, match="is no address of a server"):
        Client(url)


def test_what_the_server_warns_of_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    warning = {"Warning": '299 heunboard "install 0.2"'}
    with _client(lambda _: httpx.Response(200, json=NO_SWEEPS, headers=warning)) as made:
        made.sweeps()
        made.sweeps()
    warned = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert [record.getMessage() for record in warned] == ['http://there warns: 299 heunboard "install 0.2"']


def test_an_answer_that_cannot_be_unpacked_is_named() -> None:
    broken = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    with (
        _client(lambda _: httpx.Response(200, headers=broken, stream=httpx.ByteStream(b"no gzip"))) as made,
        pytest.raises(ServerUnreachable, match="no Heunboard server answers at http://there"),
    ):
        made.sweeps()


def test_a_newer_server_may_say_more_and_an_unknown_one_is_named() -> None:
    more: dict[str, Any] = {"sweeps": [], "next_page_token": None, "news": {"deep": [1]}}
    with _client(lambda _: httpx.Response(200, json=more)) as made:
        assert made.sweeps() == []
    why = r"answers GET /api/v1/sweeps otherwise than this client expects: sweeps: Field required"
    with (
        _client(lambda _: httpx.Response(200, json={"runs": []})) as made,
        pytest.raises(UnexpectedAnswer, match=why),
    ):
        made.sweeps()


def test_an_error_of_something_in_between_is_passed_on() -> None:
    with (
        _client(lambda _: httpx.Response(502, text="bad gateway")) as made,
        pytest.raises(ApiError, match="bad gateway") as error,
    ):
        made.sweeps()
    assert error.value.status == 502


def test_the_address_is_found_and_an_error_says_where(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HEUNBOARD_DATA_HOME", str(tmp_path))
    assert default_url() == "http://127.0.0.1:8000"
    file = tmp_path / "address"
    file.write_text("http://127.0.0.1:1\n")
    with Client(transport=httpx.MockTransport(_refuse), retry=Retry(away_s=0)) as made:
        why = f"answers at http://127.0.0.1:1, the address in {file} .refused.; start one"
        with pytest.raises(ServerUnreachable, match=why):
            made.sweeps()
    monkeypatch.setenv("HEUNBOARD_URL", "http://elsewhere")
    assert default_url() == "http://elsewhere"


def test_pauses_double_less_up_to_a_half_at_random_until_patience_ends() -> None:
    """First 1, longest 4, half of the half taken away: 0.75, 1.5, 3, 3, and the next would end at 11.25."""
    clock, tries = ManualClock(), []

    def answer(request: httpx.Request) -> httpx.Response:
        tries.append(request.url.path)
        return httpx.Response(503, json={"detail": "away"})

    retry = Retry(first_s=1, longest_s=4, patience_s=9, clock=clock, random=lambda: 0.5)
    with (
        Client("http://there", transport=httpx.MockTransport(answer), retry=retry, sleep=clock.sleep) as made,
        pytest.raises(ApiError, match="away"),
    ):
        made.sweeps()
    assert clock.slept == [0.75, 1.5, 3, 3]
    assert len(tries) == 5


@pytest.mark.parametrize("after", ["7", "Thu, 26 Nov 2026 20:00:07 GMT"])
@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_the_server_says_when_to_come_back(status: int, after: str) -> None:
    clock = ManualClock()
    moment = datetime(2026, 11, 26, 20, 0, 0, tzinfo=UTC).timestamp()
    answers = [httpx.Response(status, headers={"Retry-After": after}), httpx.Response(200, json=NO_SWEEPS)]
    retry = Retry(first_s=1, clock=clock, now=lambda: moment, random=lambda: 0.0)
    transport = httpx.MockTransport(lambda _: answers.pop(0))
    with Client("http://there", transport=transport, retry=retry, sleep=clock.sleep) as made:
        assert made.sweeps() == []
    assert clock.slept == [8]


def test_a_server_that_asks_for_more_patience_than_there_is_gets_none() -> None:
    clock = ManualClock()
    limited = httpx.Response(429, json={"detail": "too fast"}, headers={"Retry-After": "3600"})
    with _client(lambda _: limited, clock) as made, pytest.raises(ApiError, match="too fast") as error:
        made.sweeps()
    assert (error.value.retry_after, clock.slept) == (3600, [])


@pytest.mark.parametrize("text", ["", "soon", "-3", "1.5", "²"])
def test_a_retry_after_that_says_nothing_is_passed_over(text: str) -> None:
    response = httpx.Response(503, headers=[(b"Retry-After", text.encode())])
    assert retry_after(response, now=0.0) is None


def test_a_date_in_the_past_means_now() -> None:
    response = httpx.Response(503, headers={"Retry-After": "Thu, 26 Nov 2026 20:00:07 GMT"})
    assert retry_after(response, now=2e9) == 0


@pytest.mark.parametrize("kind", ["too-many-trials", "broken-suite", "database-out-of-date", "cannot-store"])
def test_what_no_waiting_mends_is_not_repeated(kind: str) -> None:
    clock = ManualClock()
    problem = {"type": f"urn:heunboard:problem:{kind}", "detail": "no"}
    with _client(lambda _: httpx.Response(503, json=problem), clock) as made, pytest.raises(ApiError):
        made.sweeps()
    assert clock.slept == []


@pytest.mark.parametrize("failure", [httpx.ReadError("reset"), httpx.Response(503), httpx.Response(429)])
def test_only_what_does_no_harm_twice_is_repeated(failure: httpx.Response | Exception) -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if isinstance(failure, Exception):
            raise failure
        return failure

    clock = ManualClock()
    with _client(answer, clock) as made:
        for once in (lambda: made.pause(1), lambda: made.delete(1), lambda: made.set_priority(1, 2)):
            seen.clear()
            with pytest.raises(ClientError):
                once()
            assert len(seen) == 1
        for again in (lambda: made.submit(SWEEP), lambda: made.plan(SWEEP), made.tasks):
            seen.clear()
            with pytest.raises(ClientError):
                again()
            assert len(seen) > 3
    assert len({request.headers.get("Idempotency-Key") for request in seen}) == 1


def test_a_repeated_submission_has_one_key() -> None:
    keys: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers["Idempotency-Key"])
        return httpx.Response(503)

    with _client(answer) as made:
        for _ in range(2):
            with pytest.raises(ApiError):
                made.submit(SWEEP)
    assert len(keys) > 4
    assert len(set(keys)) == 2


def test_a_request_that_never_left_is_repeated_for_a_second_whatever_it_is() -> None:
    clock = ManualClock()
    with _client(_refuse, clock) as made, pytest.raises(ServerUnreachable):
        made.pause(1)
    assert len(clock.slept) > 1
    assert sum(clock.slept) <= 1
    assert not is_passing(httpx.UnsupportedProtocol("no"))


def test_an_asynchronous_client_pauses_likewise() -> None:
    clock = ManualClock()
    answers = [httpx.Response(503), httpx.Response(200, json=NO_SWEEPS)]

    async def sleep(seconds: float) -> None:
        clock.sleep(seconds)

    async def use() -> None:
        transport = httpx.MockTransport(lambda _: answers.pop(0))
        retry = Retry(first_s=1, clock=clock, random=lambda: 0.0)
        async with AsyncClient("http://there", transport=transport, retry=retry, sleep=sleep) as made:
            assert await made.sweeps() == []

    asyncio.run(use())
    assert clock.slept == [1]


def test_a_file_that_breaks_off_is_an_error_and_none_begins_after_a_refusal() -> None:
    class Torn(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield b"half"
            raise httpx.ReadError("reset")

    with _client(lambda _: httpx.Response(200, stream=Torn())) as made:
        pieces = made.trials_file("b")
        assert next(pieces) == b"half"
        with pytest.raises(ClientError, match="before the whole file was there"):
            next(pieces)
    answers = [httpx.Response(503), httpx.Response(200, content=b"whole")]
    with _client(lambda _: answers.pop(0)) as made:
        assert b"".join(made.trials_file("b")) == b"whole"


@pytest.mark.parametrize("where", ["argument", "variable", "file"])
def test_the_token_is_sent_and_shown_nowhere(
    where: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    if where == "variable":
        monkeypatch.setenv("HEUNBOARD_TOKEN", TOKEN)
    if where == "file":
        (tmp_path / "token").write_text(f"{TOKEN}\n")
        monkeypatch.setenv("HEUNBOARD_TOKEN_FILE", str(tmp_path / "token"))
    sent: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.headers.get("Authorization"))
        if request.url.path.endswith("sweeps/1"):
            return _json(sweep_answer())
        return httpx.Response(401, json={"detail": "no"})

    token = TOKEN if where == "argument" else None
    with Client("http://there", token=token, transport=httpx.MockTransport(answer)) as made:
        sweep = made.sweep(1)
        with pytest.raises(ApiError) as refused:
            made.sweeps()
        shown = [repr(made), repr(vars(made)), repr(sweep), repr(refused.value), str(refused.value.problem)]
        shown += [repr(made._sender._http.headers), caplog.text]
    assert sent == [f"Bearer {TOKEN}"] * 2
    assert not any(TOKEN in text for text in shown)


def test_without_a_token_none_is_sent() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert "Authorization" not in request.headers
        return httpx.Response(200, json=NO_SWEEPS)

    with _client(answer) as made:
        made.sweeps()


@pytest.mark.parametrize("token", ["", "two words", "line\nend", "schlüssel"])
def test_a_token_that_cannot_be_sent_is_refused_without_showing_it(
    token: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(InvalidAddress, match="the access token from the argument is empty or") as refused:
        Client("http://there", token=token)
    assert not token or token not in str(refused.value)
    (tmp_path / "token").write_text(token, encoding="utf-8")
    monkeypatch.setenv("HEUNBOARD_TOKEN_FILE", str(tmp_path / "token"))
    with pytest.raises(InvalidAddress, match="from HEUNBOARD_TOKEN_FILE"):
        Client("http://there")
    monkeypatch.setenv("HEUNBOARD_TOKEN_FILE", str(tmp_path / "none"))
    with pytest.raises(InvalidAddress, match="which cannot be read: No such file"):
        Client("http://there")


def test_a_password_in_the_address_is_refused_without_showing_it() -> None:
    with pytest.raises(InvalidAddress, match="holds a user name or password") as refused:
        Client("http://ann:hush@there")
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_the_token_follows_no_redirect(status: int) -> None:
    hosts: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        hosts.append(request.url.host)
        return httpx.Response(status, headers={"Location": "http://evil/api/v1/sweeps"})

    made = Client("http://there", token=TOKEN, transport=httpx.MockTransport(answer))
    with made, pytest.raises(ApiError, match="sends us on to 'http://evil/api/v1/sweeps', where nothing"):
        made.sweeps()
    assert hosts == ["there"]


def test_notebooks_show_a_table_and_a_picture(engine: Engine, served: Client) -> None:
    compute(engine, small_sweep())
    board = served.sweep(1).board()
    assert board.has_ties
    html = board._repr_html_()
    assert html.count("<tr>") == 1 + 2
    assert html.count("1–2 ≈") == 2
    assert "ReinMax" in html
    assert ">3 of 3<" in html
    picture = html.split("data:image/svg+xml;base64,")[1].split('"')[0]
    assert base64.b64decode(picture).startswith(b"<?xml")
    assert str(board._repr_svg_()).count("<svg") == 1
    assert board.figure(format="png").startswith(b"\x89PNG")
    with pytest.raises(ClientError, match="has no figure 'heatmap'"):
        board.figure("heatmap")


def test_a_board_without_results_has_a_table_and_no_picture(served: Client) -> None:
    board = served.submit(SWEEP).board()
    assert board._repr_svg_() is None
    assert "<img" not in board._repr_html_()
    assert "Straight-through" in board._repr_html_()
    with pytest.raises(ClientError, match="nothing to draw yet"):
        board.figure()


def test_names_on_a_board_are_no_markup(engine: Engine, served: Client) -> None:
    compute(engine, small_sweep())
    board = served.sweep(1).board().model_copy(update={"title": "<script>"})
    assert "<script>" not in board._repr_html_()


def _refuse(_: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused")


def _json(answer: Any) -> httpx.Response:
    return httpx.Response(200, json=json.loads(answer.model_dump_json()))


def _client(answer: Answer, clock: ManualClock | None = None) -> Client:
    """A client whose pauses take no time but that of its clock."""
    clock = clock or ManualClock()
    transport = httpx.MockTransport(answer)
    return Client("http://there", transport=transport, retry=Retry(clock=clock), sleep=clock.sleep)
