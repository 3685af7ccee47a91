"""The Python client against the application, and against servers that are away or are something else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine

from service import client
from service.client import ApiError, Client, ServerUnreachable, WaitTimeout, default_url
from service.storage import migrations
from tests.support.databases import engine_of
from tests.support.sweeps import small_sweep
from tests.support.web import InProcess, application, compute

SWEEP = {"name": "small", "task": {"id": "polynomial", "latents": 4}, "estimators": ["st"], "seeds": 2}
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
    assert (plan["trials"], plan["known"], plan["to_compute"]) == (6, 6, 0)
    assert plan["device_seconds"]["expected"] == 0
    sweep = served.wait(served.submit(document)["id"], timeout=0)
    assert sweep["state"] == "succeeded"
    trials = served.trials(sweep["id"])
    assert len(trials) == 6
    key = trials[0]["key"]
    assert served.trial(key).items() >= trials[0].items()
    assert {curve["metric"] for curve in served.curves(key)} == {"expected_loss"}
    assert [attempt["number"] for attempt in served.attempts(key)] == [1]
    (link,) = served.boards()
    board = served.board(link["id"], report=["train_loss"])
    assert board["id"] == link["id"]
    assert "train_loss" in board["report"]


def test_text_and_mapping_are_the_same_sweep(served: Client) -> None:
    text = "name: small\ntask: {id: polynomial, latents: 4}\nestimators: [st]\nseeds: 2\n"
    served.submit(text)
    assert len(served.trials(served.submit(SWEEP)["id"])) == 2
    assert len(served.boards()) == 1


def test_lists_have_no_end_but_their_own(served: Client) -> None:
    ids = [served.submit(SWEEP)["id"] for _ in range(3)]
    page = served.newest_sweeps(2)
    assert [sweep["id"] for sweep in page["sweeps"]] == ids[:0:-1]
    assert page["next_page_token"]
    assert [sweep["id"] for sweep in served.sweeps()] == ids[::-1]


def test_an_idempotency_key_submits_once(served: Client) -> None:
    first, again = (served.submit(SWEEP, idempotency_key="k") for _ in range(2))
    assert first["id"] == again["id"]
    assert len(served.sweeps()) == 1


def test_a_wrong_sweep_is_refused_with_its_places_and_nothing_is_stored(served: Client) -> None:
    with pytest.raises(
        ApiError, match=r"/estimators/0: no estimator 'reinmx'.*Did you mean 'reinmax'"
    ) as error:
        served.submit(SWEEP | {"estimators": ["reinmx"]})
    assert error.value.status == 422
    assert error.value.problem["errors"][0]["pointer"] == "/estimators/0"
    assert served.sweeps() == []
    assert served.boards() == []


def test_wait_tells_every_look_and_gives_up_in_time(served: Client) -> None:
    sweep = served.submit(SWEEP)
    looks: list[str] = []
    with pytest.raises(WaitTimeout, match=r"is queued after 0 s; it goes on"):
        served.wait(sweep["id"], lambda look: looks.append(look["state"]), timeout=0)
    assert looks == ["queued"]


def test_a_server_that_starts_again_is_waited_for() -> None:
    states = iter([httpx.ReadError("reset"), httpx.ConnectError("refused"), "running", "succeeded"])

    def answer(_: httpx.Request) -> httpx.Response:
        state = next(states)
        if isinstance(state, Exception):
            raise state
        return httpx.Response(200, json={"state": state})

    with _client(answer) as made:
        assert [look["state"] for (look,) in made.follow([1], interval=0)] == ["running", "succeeded"]


def test_a_server_whose_database_is_away_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long: it answers, and says that it will be back."""
    monkeypatch.setattr(client, "PATIENCE_S", 0.0)
    answers = [httpx.Response(503, json={"detail": "away"}) for _ in range(5)]
    answers.append(httpx.Response(200, json={"state": "succeeded"}))
    with _client(lambda _: answers.pop(0)) as made:
        assert made.wait(1, interval=0)["state"] == "succeeded"
    assert answers == []


@pytest.mark.parametrize(("waited", "pause"), [(0.0, 0.05), (1.0, 0.1), (9.0, 0.5), (3600.0, 0.5)])
def test_pauses_between_looks_grow_with_the_wait(waited: float, pause: float) -> None:
    assert client.pause_after(waited, 0.5) == pytest.approx(pause)


def test_a_server_that_stays_away_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PATIENCE_S", 0.0)
    with _client(_refuse) as made, pytest.raises(ServerUnreachable):
        made.wait(1, interval=0)


def test_what_is_no_heunboard_is_named() -> None:
    why = r"no Heunboard server answers at http://there .*language"
    with (
        _client(lambda _: httpx.Response(200, text="<html>")) as made,
        pytest.raises(ServerUnreachable, match=why),
    ):
        made.sweeps()
    with pytest.raises(ServerUnreachable, match="no Heunboard server answers at http://there:port"):
        Client("http://there:port")


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
    with Client(transport=httpx.MockTransport(_refuse)) as made:
        why = f"answers at http://127.0.0.1:1, the address in {file} .refused.; start one"
        with pytest.raises(ServerUnreachable, match=why):
            made.sweeps()
    monkeypatch.setenv("HEUNBOARD_URL", "http://elsewhere")
    assert default_url() == "http://elsewhere"


def _refuse(_: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused")


def _client(answer: Answer) -> Client:
    return Client("http://there", transport=httpx.MockTransport(answer))
