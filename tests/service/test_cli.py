"""The commands in this process, against the application on a port: what they print and how they end."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic_core import to_jsonable_python
from sqlalchemy import Engine

from benchmarks.datasets import files
from service.cli import main
from service.cli.progress_bar import share, time_left
from service.client import Client, Sweep
from service.queue.cohorts import Queue
from service.queue.submission import submit
from service.resources.schemas import SweepDetail
from service.storage import migrations
from tests.support.answers import sweep_answer
from tests.support.databases import engine_of
from tests.support.processes import LIMIT_SECONDS
from tests.support.sweeps import FELL_BACK, small_sweep
from tests.support.web import application, compute, fail, served
from workers.ports import NodeReport
from workers.version import package_version

GOOD = """\
name: small
task: {id: polynomial, latents: 4, epochs: 2, steps_per_epoch: 5}
estimators: [st, reinmax]
seeds: 3
"""
BAD = {
    "a misspelt key": (GOOD + "prioritty: 1\n", "/prioritty", "priority"),
    "an unknown estimator": (GOOD.replace("reinmax", "reinmx"), "/estimators/1", "reinmax"),
    "an unknown task": (GOOD.replace("polynomial", "polynomal"), "/task/id", "polynomial"),
    "a temperature out of range": (
        GOOD.replace("[st,", "[{id: st, temperature: -1},"),
        "/estimators/0/temperature",
        None,
    ),
    "an empty grid": (GOOD + "grid: {lr: []}\n", "/grid/lr", None),
    "a grid above the limit": (GOOD.replace("seeds: 3", "seeds: 1000000"), "/seeds", None),
    "a wrong type": (GOOD.replace("latents: 4", "latents: many"), "/task/latents", None),
    "broken YAML": (GOOD.replace("st, reinmax]", "st, reinmax"), "/", None),
}

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """An SQLite database; what differs between databases is not the command line's."""
    with engine_of(f"sqlite:///{tmp_path / 'cli.sqlite'}") as engine:
        migrations.upgrade(engine)
        yield engine


@pytest.fixture
def url(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The application on that database, where the commands find it."""
    with served(application(engine)) as url:
        monkeypatch.setenv("HEUNBOARD_URL", url)
        yield url


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command; exit status, standard output, standard error."""

    def command(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["heunboard", *arguments])
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return command


@pytest.mark.parametrize("mistake", BAD)
def test_a_wrong_sweep_gives_the_same_lines_here_and_over_rest_and_is_not_stored(
    run: Run, url: str, mistake: str
) -> None:
    text, path, suggestion = BAD[mistake]
    status, out, err = run("submit", "-", stdin=text)
    assert (status, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith(f"error {path}: ")
    assert suggestion is None or line.endswith(f"Did you mean {suggestion!r}?")

    answer = httpx.post(
        f"{url}/api/v1/sweeps",
        content=text,
        headers={"Content-Type": "application/yaml"},
        timeout=LIMIT_SECONDS,
    )
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    (place,) = answer.json()["errors"]
    hint = f" Did you mean {place['suggestion']!r}?" if "suggestion" in place else ""
    assert line == f"error {place['pointer'] or '/'}: {place['message']}{hint}"
    with Client(url) as client:
        assert (client.sweeps(), client.boards()) == ([], [])


def test_plan_submit_status_and_board_of_a_computed_sweep(run: Run, engine: Engine, url: str) -> None:
    compute(engine, small_sweep())
    assert run("plan", "-", stdin=GOOD)[1] == "6 trials: 6 already known, 0 to compute\n"
    status, out, err = run("submit", "-", "--wait", stdin=GOOD)
    assert status == 0
    assert f"{url}/sweeps/2" in out
    assert "succeeded: 6 succeeded in" in out
    assert "sweep 2: 6 succeeded, 100 %" in err
    assert [line.split()[:3] for line in run("status")[1].splitlines()[1:]] == [
        ["2", "small", "succeeded"],
        ["1", "small", "succeeded"],
    ]
    board = run("board")[1]
    assert "1.0 ± 1.0" in board  # seeds 0, 1, 2 report 0, 1, 2
    assert "3 of 3" in board


DAYS = GOOD.replace("epochs: 2, steps_per_epoch: 5", "epochs: 100, steps_per_epoch: 3").replace(
    "seeds: 3", "seeds: 10000"
)
"""Six million steps, at the half second for ten that computed trials report: 3.5 days."""


def test_plan_tells_device_time_by_estimator(run: Run, engine: Engine, url: str) -> None:
    compute(engine, small_sweep())
    lines = run("plan", "-", stdin=GOOD.replace("seeds: 3", "seeds: 23"))[1].splitlines()
    assert lines[0] == "46 trials: 6 already known, 40 to compute"
    assert re.fullmatch(r"device time about 20 s \(\d+ s to \d+ s; from 1 finished attempt\)", lines[1])
    assert [line.split()[:6] for line in lines[3:]] == [
        [id, "23", "3", "20", "10", "s"] for id in ("st", "reinmax")
    ]


def test_a_sweep_of_days_is_submitted_with_a_warning(run: Run, engine: Engine, url: str) -> None:
    """Without a terminal nobody is asked."""
    compute(engine, small_sweep())
    assert "warning the sweep takes about 3.5 days of one device" in run("plan", "-", stdin=DAYS)[2]
    status, out, err = run("submit", "-", stdin=DAYS)
    assert (status, "Sweep 2" in out) == (0, True)
    assert "warning the sweep takes about 3.5 days of one device" in err
    assert "device time about 3 d 11 h (" in out


def sweeps_of(url: str) -> int:
    with Client(url) as client:
        return len(client.sweeps())


def test_on_a_terminal_a_sweep_of_days_is_asked_about(
    run: Run, engine: Engine, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute(engine, small_sweep())
    days = tmp_path / "days.yaml"
    days.write_text(DAYS)
    monkeypatch.setattr("service.cli.plans.is_terminal", lambda: True)
    status, _, err = run("submit", str(days), stdin="n\n")
    assert (status, "Submit it? [y/N]" in err) == (1, True)
    assert sweeps_of(url) == 1
    assert run("submit", str(days), stdin="y\n")[0] == 0
    status, _, err = run("submit", str(days), "--yes")
    assert (status, "Submit it?" in err, "3.5 days" in err) == (0, False, True)
    assert sweeps_of(url) == 3


def test_with_json_every_command_prints_the_answer_of_the_api(run: Run, engine: Engine, url: str) -> None:
    compute(engine, small_sweep())

    def printed(*arguments: str) -> Any:
        status, out, err = run(*arguments, "--json", stdin=GOOD)
        assert (status, err) == (0, "")
        return json.loads(out)

    with Client(url) as client:
        assert printed("plan", "-") == to_jsonable_python(client.plan(GOOD))
        assert printed("submit", "-", "--wait") == to_jsonable_python(client.sweep("2").answer)
        assert printed("status") == to_jsonable_python(client.newest_sweeps(20))
        assert printed("status", "1") == to_jsonable_python(client.sweep("1").answer)
        (link,) = client.boards()
        assert printed("board") == [to_jsonable_python(client.board(link.id))]
        assert printed("board", link.id[:6]) == to_jsonable_python(client.board(link.id))


def test_wait_ends_with_1_and_shows_the_error_when_the_sweep_failed(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    failure = {"label": "st, seed 0", "error": "NaN [in loss]", "traceback": "Traceback\n  boom"}
    failed = sweep_answer(
        "failed",
        trials=1,
        created_at="2030-01-01T00:00:00Z",
        finished_at="2030-01-01T00:03:20Z",
        progress={"counts": {"failed": 1}, "steps_done": 1, "steps_total": 1},
        failures=[failure],
        failures_left_out=7,
    )
    monkeypatch.setattr(Client, "submit", lambda client, _: Sweep(client, failed))
    monkeypatch.setattr(Client, "follow", lambda *_, **__: iter([[failed]]))
    status, out, _ = run("submit", "-", "--wait", stdin=GOOD)
    assert status == 1
    assert "failed: 1 failed in 3 min 20 s" in out
    assert "failed st, seed 0: NaN [in loss]\n    Traceback\n      boom\nand 7 more failures" in out


def test_status_shows_the_tracebacks_of_failed_trials(run: Run, engine: Engine, url: str) -> None:
    fail(engine, small_sweep(estimators=["st"], seeds=1), error="it broke", traceback="Traceback: here")
    status, out, _ = run("status", "1")
    assert status == 0
    assert "it broke" in out
    assert "Traceback: here" in out


def test_status_and_board_say_that_attempts_were_slow(run: Run, engine: Engine, url: str) -> None:
    compute(engine, small_sweep(estimators=["st"], seeds=1), provenance=FELL_BACK)
    for command in (("status", "1"), ("board",)):
        status, out, _ = run(*command)
        assert status == 0
        assert "slow One attempt could not compile" in out
        assert "No working C++ compiler found" in out


def test_ctrl_c_while_waiting_leaves_the_sweep_and_says_how_to_look_again(
    run: Run, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Client, "follow", interrupted)
    status, _, err = run("submit", "-", "--wait", stdin=GOOD)
    assert status == 130
    assert err == (
        f"The sweep goes on. To look again: heunboard watch 1, or {url}/sweeps/1\n"
        "To stop it: heunboard pause 1, or heunboard cancel 1\n"
    )
    with Client(url) as client:
        assert client.sweep("1").state == "queued"


def test_what_is_not_there_is_wrong_input(run: Run, engine: Engine, url: str, tmp_path: Path) -> None:
    compute(engine, small_sweep())
    status, _, err = run("board", "--select", "expected_los")
    assert status == 2
    assert "expected_los" in err
    assert run("status", "77")[0::2] == (2, "error there is no sweep '77'\n")
    assert run("board", "zz")[0::2] == (2, "error there is no board 'zz'\n")
    status, _, err = run("submit", str(tmp_path / "none.yaml"))
    assert status == 2
    assert err.startswith(f"error cannot read the sweep file {tmp_path / 'none.yaml'}")


def test_without_a_server_the_status_is_1(run: Run) -> None:
    status, _, err = run("status", "--url", "http://127.0.0.1:1")
    assert status == 1
    assert err.startswith("error no Heunboard server answers at http://127.0.0.1:1 ")


def test_nodes_are_listed_drained_and_taken_back(run: Run, engine: Engine, url: str) -> None:
    assert "No node has been heard of" in run("nodes", "--url", url)[1]
    Queue(engine).see_nodes([NodeReport(name="left", device="cuda", slots=2, free=2)])
    assert re.search(r"left +ready +cuda +0 +2", run("nodes", "--url", url)[1])
    assert re.search(r"left +drained", run("drain", "left", "--url", url)[1])
    assert run("drain", "left", "--url", url)[0] == 1
    status, out, _ = run("undrain", "left", "--url", url, "--json")
    assert (status, json.loads(out)["state"]) == (0, "ready")
    assert run("drain", "right", "--url", url)[0] == 2


def test_attempts_of_a_sweep_of_a_trial_and_of_all(run: Run, engine: Engine, url: str) -> None:
    sweep = compute(engine, small_sweep(estimators=["st"]))
    with Client(url) as client:
        key = client.trials(sweep)[0].key
    for arguments in ([sweep], [key], [], ["--state", "finished"]):
        assert re.search(
            r"1 +polynomial st x3 \(1, attempt 1\) +finished", run("attempts", *arguments, "--url", url)[1]
        )
    assert "No attempts" in run("attempts", "--text", "no such", "--url", url)[1]
    found = json.loads(run("attempts", sweep, "--url", url, "--json")[1])["attempts"]
    assert [one["name"] for one in found[0]["sweeps"]] == ["small"]
    assert run("attempts", key, "--state", "lost", "--url", url)[0] == 2


def test_an_empty_database_is_upgraded_once(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEUNBOARD_DATA_HOME", str(tmp_path / "home"))
    first = run("db", "upgrade")[1]
    assert f"upgraded from an empty database to revision {migrations.head()}" in first
    assert f"is up to date (revision {migrations.head()})" in run("db", "upgrade")[1]
    again = json.loads(run("db", "upgrade", "--json")[1])
    assert again["before"] == again["after"] == migrations.head()


def test_without_tokens_other_addresses_are_refused(run: Run) -> None:
    status, _, err = run("serve", "--host", "0.0.0.0")
    assert status == 2
    assert "refusing to listen on 0.0.0.0" in err
    assert "--insecure-dev" in err


def test_progress_of_several_sweeps_is_the_mean_share_and_the_longest_time() -> None:
    def sweep(state: str, done: int, total: int, left: float | None) -> SweepDetail:
        ends = {"seconds_left_low": left and 0.5 * left, "seconds_left_high": left and 2 * left}
        progress = {"steps_done": done, "steps_total": total, "seconds_left": left, **ends}
        return sweep_answer(state, progress=progress)

    done, quick = sweep("succeeded", 9, 9, None), sweep("running", 5, 10, 20.0)
    slow, waiting = sweep("running", 0, 1000, 200.0), sweep("queued", 0, 10, None)
    assert share([done, quick]) == pytest.approx(0.75)
    assert share([done, quick, slow]) == pytest.approx(0.5)
    assert time_left([done, quick, slow]) == "1 min 40 s to 6 min 40 s left"
    assert time_left([quick, waiting, done]) == "10 s to 40 s left for 1 of 2 sweeps", "not of both"
    assert time_left([waiting]) == time_left([done]) == ""


def test_the_version_is_that_of_the_package(run: Run) -> None:
    assert run("--version") == (0, f"heunboard {package_version()}\n", "")


def test_a_plugin_that_does_not_load_is_named_without_a_traceback(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "broken-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[heunboard.estimators]\nmine = no_such_module:info\n")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    command = [sys.executable, "-m", "service.cli", "certify", "mine"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error entry point mine = 'no_such_module:info' of broken")


def test_data_lists_checks_and_fetches(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong file gives the status 1; one that is missing does when it was named."""
    monkeypatch.setattr(files, "cache_dir", lambda: tmp_path / "cache")
    monkeypatch.setenv("HEUNBOARD_DATA_DIR", str(tmp_path))
    status, out, _ = run("data", "list", "--json")
    assert status == 0
    states = {one["id"]: [file["state"] for file in one["files"]] for one in json.loads(out)}
    assert states["nats_bench"] == ["here"]
    assert states["mnist"] == ["missing"] * 4
    assert run("data", "check")[0] == 0
    assert run("data", "check", "mnist")[0] == 1
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "train-images-idx3-ubyte.gz").write_bytes(b"something else")
    status, out, _ = run("data", "check")
    assert status == 1
    assert "wrong" in out
    status, out, err = run("data", "fetch", "nats_bench", "omniglot_rebuilt")
    assert status == 1
    assert "here NATS-Bench" in out
    assert "<dir>/omniglot28/ and set HEUNBOARD_DATA_DIR=<dir>" in err
    status, _, err = run("data", "fetch", "mnits")
    assert status == 2
    assert "no data set" in err


def test_they_say_what_the_sweep_is_now(run: Run, engine: Engine, url: str) -> None:
    submit(engine, small_sweep())
    told = [run(*words)[:2] for words in (["pause", "1"], ["resume", "1"], ["priority", "1", "-5"])]
    assert told == [
        (0, "Sweep 1 small: paused, priority 0: 6 queued\n"),
        (0, "Sweep 1 small: queued, priority 0: 6 queued\n"),
        (0, "Sweep 1 small: queued, priority -5: 6 queued\n"),
    ]
    assert run("cancel", "1")[1] == "Sweep 1 small: cancelled, priority -5: 6 cancelled\n"
    assert run("retry", "1")[1] == "Sweep 1 small: queued, priority -5: 6 queued\n"
    assert run("delete", "1")[1] == "Sweep 1 is in the bin: heunboard restore 1\n"
    assert json.loads(run("restore", "1", "--json")[1])["state"] == "cancelled"


def test_refusals_end_with_a_status(run: Run, engine: Engine, url: str) -> None:
    submit(engine, small_sweep())
    assert run("resume", "1") == (1, "", "error sweep 1 is active; there is nothing to resume\n")
    assert run("pause", "7") == (2, "", "error there is no sweep 7\n")


def test_watching_ends_with_the_outcome(run: Run, engine: Engine, url: str) -> None:
    compute(engine, small_sweep())
    status, out, _ = run("watch", "1")
    assert status == 0
    assert "succeeded: 6 succeeded" in out
    fail(engine, small_sweep(name="bad", seeds=[9]), error="boom", traceback="")
    assert run("watch", "2")[0] == 1
