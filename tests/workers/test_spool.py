"""What an attempt could not deliver survives its worker, and is delivered once the server answers."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.fakes import WAIT_SECONDS, FakeLauncher, FakeQueue, ManualClock, make_claim
from tests.support.stack import Stack, stack
from tests.support.sweeps import outcome
from tests.workers.test_reporter import OUTCOME, ScriptedServer, epochs, news, told
from workers import delivery, spool
from workers.dispatcher import Dispatcher, DispatcherSettings
from workers.messages import Outcome
from workers.ports import Claim, Exit, ReportError
from workers.reporter import HttpReporter
from workers.spool import Entry, Sender, Spool

URL = "http://server"
SENDER = Sender(url=URL, attempt_id=7, secret="s3cret")


class Away:
    """A server that does not answer; ``asked`` is set when somebody has tried."""

    def __init__(self) -> None:
        self.asked = threading.Event()

    def __call__(self, _request: httpx.Request) -> httpx.Response:
        self.asked.set()
        raise httpx.ConnectError("down")


@contextmanager
def dead_worker(folder: Path, *, epochs: int, finished: bool) -> Iterator[None]:
    """Leaves what an attempt told a server that was away: a batch under way, news behind it, its end."""
    server, slept = Away(), threading.Event()
    reporter = HttpReporter(
        URL, 7, "s3cret", spool=Spool(folder, SENDER), transport=httpx.MockTransport(server),
        sleep=lambda _seconds: slept.wait(WAIT_SECONDS),
    )  # fmt: skip
    reporter.metrics(news(1))
    assert server.asked.wait(WAIT_SECONDS)
    for epoch in range(2, epochs + 1):
        reporter.metrics(news(epoch, ends=epoch == epochs))
    if finished:
        ending = threading.Thread(target=lambda: suppressed(reporter), daemon=True)
        ending.start()
        until_kept(folder, b" finish ")
    reporter.close()
    yield
    slept.set()


def suppressed(reporter: HttpReporter) -> None:
    """Finish until the test closes the reporter."""
    try:
        reporter.finish(OUTCOME)
    except (ReportError, RuntimeError):
        return


def until_kept(folder: Path, mark: bytes) -> None:
    """Wait until the only spool holds this."""
    deadline = threading.Event()
    for _ in range(1000):
        if any(mark in path.read_bytes() for path in folder.glob("*.spool")):
            return
        deadline.wait(0.01)
    raise AssertionError(f"{mark!r} was not kept")


def connected(server: ScriptedServer) -> delivery.Connect:
    """Deliveries go to ``server``."""

    def connect(sender: Sender, _patience: float) -> HttpReporter:
        return HttpReporter(
            sender.url, sender.attempt_id, sender.secret, transport=httpx.MockTransport(server)
        )

    return connect


def test_checkpoints_are_told_of_after_the_curves_up_to_them_and_batches_count_on(tmp_path: Path) -> None:
    """The batch under way may have been received: what waited behind it has the numbers that follow."""
    waiting = [Entry("news", news(4).model_dump_json()), Entry("news", news(5).model_dump_json())]
    written = Spool(tmp_path, SENDER)
    written.write([Entry("seq", "3"), Entry("checkpoint", "{}"), *waiting, Entry("checkpoint", "{}")])
    written.append(Entry("news", news(6).model_dump_json()))
    written.release()
    server = ScriptedServer()
    delivery.deliver(tmp_path, URL, connect=connected(server))
    assert [name for name, _ in server.accepted] == ["checkpoint", "metrics", "checkpoint", "metrics"]
    assert [batch.seq for batch in told(server)] == [4, 5]
    assert epochs(server) == [4, 5, 6]


@pytest.mark.parametrize("finished", [True, False])
def test_what_a_dead_worker_left_is_delivered_in_order_and_goes(tmp_path: Path, finished: bool) -> None:
    server = ScriptedServer()
    with dead_worker(tmp_path, epochs=4, finished=finished):
        (file,) = tmp_path.glob("*")
        assert file.stat().st_mode & 0o777 == 0o600, "the attempt's secret is in it"
        delivery.deliver(tmp_path, URL, connect=connected(server))
    assert [name for name, _ in server.accepted] == ["metrics", "metrics"] + ["finish"] * finished
    first, second = told(server)
    assert (first.seq, [(s.first, len(s.values)) for s in first.segments]) == (1, [(1, 1)])
    assert (second.seq, [(s.first, len(s.values)) for s in second.segments]) == (2, [(2, 3)])
    assert [end.trial for end in second.outcomes] == ["t0"]
    assert not finished or Outcome.model_validate_json(server.accepted[-1][1]) == OUTCOME
    assert {request.headers["Authorization"] for request in server.requests} == {"Bearer s3cret"}
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_away_leaves_it_where_it_is_and_a_refusal_does_not(tmp_path: Path) -> None:
    with dead_worker(tmp_path, epochs=2, finished=False):
        delivery.deliver(tmp_path, "http://127.0.0.1:9")
        assert len(list(tmp_path.iterdir())) == 1
        server = ScriptedServer(409)
        delivery.deliver(tmp_path, URL, connect=connected(server))
    assert (len(server.requests), list(tmp_path.iterdir())) == (1, []), "nothing more is sent after a refusal"


def test_a_server_that_does_not_know_the_attempt_leaves_it_to_its_own(tmp_path: Path) -> None:
    strangers: set[Path] = set()
    with dead_worker(tmp_path, epochs=2, finished=False):
        for _ in range(2):
            server = ScriptedServer(404)
            delivery.deliver(tmp_path, "http://other", strangers=strangers, connect=connected(server))
        assert server.requests == [], "it is not asked twice"
        delivery.deliver(tmp_path, URL, connect=connected(ScriptedServer(404)))
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_kept_while_the_server_answers_nor_after_it_came_back(tmp_path: Path) -> None:
    kept: list[bool] = []

    class Watched(ScriptedServer):
        def __call__(self, request: httpx.Request) -> httpx.Response:
            kept.append(bool(list(tmp_path.glob("*"))))
            return super().__call__(request)

    server = Watched(200, 503, 200, 503)
    reporter = HttpReporter(
        URL, 7, "s", spool=Spool(tmp_path, SENDER), transport=httpx.MockTransport(server),
        sleep=ManualClock().sleep,
    )  # fmt: skip
    for epoch in (1, 2):
        reporter.metrics(news(epoch))
        reporter._outbox.flush()
    reporter.finish(OUTCOME)
    assert kept == [False, False, True, False, True]
    assert list(tmp_path.iterdir()) == []


def test_a_living_worker_s_file_is_nobody_else_s(tmp_path: Path) -> None:
    living = Spool(tmp_path, SENDER)
    living.write([Entry("finish", OUTCOME.model_dump_json())])
    server = ScriptedServer()
    delivery.deliver(tmp_path, URL, connect=connected(server))
    assert server.requests == []
    living.release()
    delivery.deliver(tmp_path, URL, connect=connected(server))
    assert [name for name, _ in server.accepted] == ["finish"]


@pytest.mark.parametrize("damage", [lambda text: text[:-3], lambda text: text.replace(b'"t', b'"u')])
def test_from_a_damaged_line_on_nothing_counts(tmp_path: Path, damage: object) -> None:
    written = Spool(tmp_path, SENDER)
    batch = '{"seq":1,"progress":{"steps_done":1,"steps_total":2},"segments":[],"outcomes":[]}'
    written.write([Entry("seq", "1"), Entry("metrics", batch), Entry("finish", OUTCOME.model_dump_json())])
    written.release()
    (file,) = tmp_path.iterdir()
    head, finish = file.read_bytes().rsplit(b" finish ", 1)
    file.write_bytes(head + b" finish " + (damage(finish) if callable(damage) else finish))
    server = ScriptedServer()
    delivery.deliver(tmp_path, URL, connect=connected(server))
    assert [name for name, _ in server.accepted] == ["metrics"]


def test_a_spool_is_bounded_and_given_up_as_a_whole(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "made" / "spool"
    small = Spool(folder, SENDER, most_bytes=2_000)
    small.write([Entry("news", "{}")])
    assert folder.stat().st_mode & 0o777 == 0o700
    small.append(Entry("news", "x" * 2_000))
    small.append(Entry("news", "{}"))
    small.write([Entry("news", "{}")])
    assert (small.kept, list(folder.iterdir())) == (False, []), "half of it would be a curve with a hole"
    assert len(caplog.records) == 1


def test_all_spools_of_a_host_are_bounded_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "MOST_BYTES_OF_ALL", 1_500)
    first = Spool(tmp_path, SENDER)
    first.write([Entry("news", "x" * 1_000)])
    second = Spool(tmp_path, Sender(url=URL, attempt_id=8, secret=""))
    second.write([Entry("news", "x" * 1_000)])
    assert (first.kept, second.kept) == (True, False)
    first.release()


def test_a_spool_that_is_delivered_while_others_are_counted_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "_spools", lambda folder: [folder / "8-delivered.spool"])
    kept = Spool(tmp_path, SENDER)
    kept.write([Entry("seq", "1")])
    kept.append(Entry("news", "more"))
    assert kept.kept
    kept.release()


def test_a_folder_that_cannot_be_written_costs_the_attempt_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    nowhere = Spool(tmp_path / "file" / "spool", SENDER)
    nowhere.write([Entry("news", "{}")])
    assert not nowhere.kept


def test_what_nobody_has_taken_for_a_week_goes(tmp_path: Path) -> None:
    left = Spool(tmp_path, SENDER)
    left.write([Entry("news", "{}")])
    left.release()
    (file,) = tmp_path.iterdir()
    half = tmp_path / "8-00000000.new"
    half.touch()
    assert spool.orphans(tmp_path) == [file]
    for path in (file, half):
        os.utime(path, (0, 0))
    assert (spool.orphans(tmp_path), list(tmp_path.iterdir())) == ([], [])


WORKER = """
import sys
from pathlib import Path
from workers.messages import Outcome
from workers.reporter import HttpReporter
from workers.spool import Sender, Spool
folder, attempt, secret, outcome = sys.argv[1:]
sender = Sender(url="http://127.0.0.1:9", attempt_id=int(attempt), secret=secret)
reporter = HttpReporter(sender.url, sender.attempt_id, secret, spool=Spool(Path(folder), sender))
reporter.finish(Outcome.model_validate_json(outcome))
"""


def computed_and_killed(made: Stack, folder: Path) -> Claim:
    """An attempt has computed everything, could not say so, and its process was killed."""
    made.submit(estimators=["exact"], seeds=2)
    (claim,) = made.queue.claim(owner="d", limit=1)
    trials = made.queue.start(claim.attempt_id, claim.secret).trials
    arguments = [str(folder), str(claim.attempt_id), claim.secret, outcome(trials).model_dump_json()]
    with subprocess.Popen([sys.executable, "-c", WORKER, *arguments]) as worker:
        try:
            until_kept(folder, b" finish ")
        finally:
            worker.send_signal(signal.SIGKILL)
    return claim


def test_a_result_outlives_the_process_that_computed_it(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    with stack(tmp_path) as made:
        computed_and_killed(made, folder)
        again = shutil.copytree(folder, tmp_path / "again")
        for copy in (folder, again):  # a second delivery changes nothing
            delivery.deliver(copy, made.url)
            assert [trial.state for trial in made.trials()] == ["succeeded"] * 2
            assert [attempt.state for attempt in made.attempts()] == ["finished"]
            assert list(copy.iterdir()) == []


def test_a_result_that_comes_too_late_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    with stack(tmp_path) as made:
        claim = computed_and_killed(made, folder)
        made.queue.lost(attempt_id=claim.attempt_id, reason="test")
        delivery.deliver(folder, made.url)
        assert [trial.state for trial in made.trials()] == ["queued"] * 2
        assert list(folder.iterdir()) == []


class FakeCourier:
    """Answers as a test says."""

    def __init__(self) -> None:
        self.answering, self.held = float("inf"), set[int]()

    def answering_for(self) -> float:
        return self.answering

    def holds(self, attempt_id: int) -> bool:
        return attempt_id in self.held


@pytest.fixture
def courier() -> FakeCourier:
    return FakeCourier()


def test_a_death_is_told_after_what_it_left_was_delivered_or_a_lease_later(courier: FakeCourier) -> None:
    queue, launcher, clock = FakeQueue(), FakeLauncher(), ManualClock()
    settings = DispatcherSettings(owner="d", lease_seconds=30)
    dispatcher = Dispatcher(queue, launcher, settings, courier=courier, clock=clock)
    courier.held = {1, 2}
    queue.waiting = [make_claim(1), make_claim(2)]
    dispatcher.tick()
    launcher.ended = [Exit(attempt_id=1, error="killed"), Exit(attempt_id=2, error="killed")]
    dispatcher.tick()
    assert queue.losses == []
    courier.held = {2}
    dispatcher.tick()
    assert [id for id, _ in queue.losses] == [1]
    clock.now += 30
    dispatcher.tick()
    assert [id for id, _ in queue.losses] == [1, 2]


def test_no_lease_runs_out_while_the_server_is_away_nor_soon_after(courier: FakeCourier) -> None:
    queue, clock = FakeQueue(), ManualClock()
    settings = DispatcherSettings(owner="d", lease_seconds=30, expiry_seconds=5)
    dispatcher = Dispatcher(queue, FakeLauncher(), settings, courier=courier, clock=clock)
    for answering, searches in ((0.0, 0), (29.0, 0), (30.0, 1)):
        courier.answering = answering
        clock.now += 5
        dispatcher.tick()
        assert queue.calls.count("expire_leases") == searches


def test_the_courier_notices_that_the_server_is_away_and_back(tmp_path: Path) -> None:
    clock = ManualClock()
    server = ScriptedServer(200, 503, httpx.ConnectError("down"), 200, 200)
    transport = httpx.MockTransport(server)
    courier = delivery.Courier(URL, tmp_path, clock=clock, transport=transport)
    assert courier.answering_for() == float("inf"), "nobody has seen it away"
    seen = []
    for _ in range(5):
        courier.look()
        clock.now += 10
        seen.append(courier.answering_for())
    assert seen == [float("inf"), 0.0, 0.0, 10.0, 20.0]
    assert not courier.holds(7)
    left = Spool(tmp_path, SENDER)
    left.write([Entry("news", "{}")])
    assert courier.holds(7)
    left.release()
