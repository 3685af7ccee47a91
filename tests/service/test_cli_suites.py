"""``heunboard reproduce`` and ``plan --suite`` in this process, against the application on a port."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import to_jsonable_python
from sqlalchemy import Engine

from benchmarks.suites import reading
from service.cli import main
from service.cli.output import console
from service.cli.suite_reports import claims_text, is_doubtful, show, verdicts_text
from service.client import ApiError, Client, Problem
from service.processes.server import server
from service.resources.schemas import ExhibitDetail, SweepLine
from service.resources.suite_schemas import ReportFigure, SuiteReport
from service.storage import migrations
from tests.support.answers import filled, sweep_answer
from tests.support.databases import engine_of
from tests.support.suites import FIGURE, GRID, SUITE, efficiency_document, tiny_suite, work_off
from tests.support.web import application, served

Run = Callable[..., tuple[int, str, str]]
LOOK_SECONDS = 0.02
WRONG_TIER = "tiny/figure1 has no tier 'ful'; there are smoke, full; did you mean 'full'?"


def report(name: str, tier: str, **changed: Any) -> SuiteReport:
    """A report with two numbers, a level and two claims, as far as the command line reads it."""
    quoted = {"exhibit": name}
    level = {"verdict": "not comparable", "exhibit": ""}
    numbers = [{"verdict": "reproduced"} | quoted, {"verdict": "not reproduced"} | quoted, level]
    claims = [
        {"sentence": "ReinMax is best.", "verdict": "supported"},
        {"sentence": "ST stalls.", "verdict": "contradicted"},
    ]
    page = f"/suites/{name}?tier={tier}"
    found = {"name": name, "tier": tier, "title": "Two estimators", "page": page, "figure": None}
    boards = [{"rows": [{"published": numbers}]}]
    return filled(SuiteReport, found | {"claims": claims, "boards": boards} | changed)


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """An SQLite database of a server that knows a tiny suite; the commands run in a folder of their own."""
    monkeypatch.setenv(reading.FOLDERS, str(tmp_path / "suites"))
    tiny_suite(tmp_path / "suites")
    monkeypatch.chdir(tmp_path)
    with engine_of(f"sqlite:///{tmp_path / 'cli.sqlite'}") as engine:
        migrations.upgrade(engine)
        yield engine


@pytest.fixture
def url(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The application on that database, where the commands find it."""
    with served(application(engine, tmp_path / "home")) as url:
        monkeypatch.setenv("HEUNBOARD_URL", url)
        yield url


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Fields of every report that the server is made to answer."""
    changed: dict[str, Any] = {}

    def text(_: Client, name: str, tier: str, *, format: str) -> str:
        return report(name, tier, **changed).model_dump_json() if format == "json" else f"{format} of {name}"

    monkeypatch.setattr(Client, "suite_report", lambda _, name, tier: report(name, tier, **changed))
    monkeypatch.setattr(Client, "suite_report_text", text)
    monkeypatch.setattr(Client, "suite_figure", lambda *_, format: f"a {format}".encode())
    return changed


@pytest.fixture
def worker(engine: Engine) -> Iterator[Callable[[Callable[[Any], float | None]], None]]:
    """Starts what computes, without computing, whatever is queued from then on."""
    ended, threads = threading.Event(), []

    def work(value: Callable[[Any], float | None]) -> None:
        while not ended.wait(LOOK_SECONDS):
            work_off(engine, value)

    def start(value: Callable[[Any], float | None]) -> None:
        threads.append(threading.Thread(target=work, args=[value]))
        threads[-1].start()

    yield start
    ended.set()
    for thread in threads:
        thread.join()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs a command; exit status, standard output, standard error, those of its children, too."""

    def command(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["heunboard", *arguments])
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capfd.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return command


def by_seed(spec: Any) -> float:
    return float(spec["seed"])


def sweeps(url: str) -> list[SweepLine]:
    with Client(url) as client:
        return client.sweeps()


@pytest.mark.usefixtures("reports")
def test_from_one_command_to_the_report(run: Run, url: str, worker: Any, tmp_path: Path) -> None:
    worker(by_seed)
    status, out, err = run("reproduce", "tiny/figure1", "--tier", "smoke")
    assert status == 0, err
    assert "tiny/figure1 smoke: Two seeds instead of three." in out
    assert "4 trials: 0 already known, 4 to compute" in out
    assert "device time about" in out
    assert "supported  ReinMax is best." in out
    assert "contradicted  ST stalls." in out
    assert "numbers: 1 reproduced, 1 not reproduced" in out
    assert f"{url}/suites/tiny/figure1?tier=smoke" in out
    assert "4 succeeded, 100 %" in err
    written = {path.name: path.read_text() for path in (tmp_path / "reports" / "tiny").iterdir()}
    assert written.pop("figure1-smoke.json") == report("tiny/figure1", "smoke").model_dump_json()
    assert written == {
        "figure1-smoke.md": "markdown of tiny/figure1",
        "figure1-smoke.tex": "latex of tiny/figure1",
    }
    status, out, err = run("reproduce", "tiny/figure1", "--tier", "smoke")
    assert (status, err) == (0, "")
    assert "4 trials: 4 already known, 0 to compute" in out
    assert len(sweeps(url)) == 1


def test_a_figure_has_its_picture_beside_the_report(
    run: Run, url: str, engine: Engine, reports: dict[str, Any], tmp_path: Path
) -> None:
    reports["figure"] = filled(ReportFigure)
    with Client(url) as client:
        client.reproduce("tiny/figure1", "smoke")
    work_off(engine)
    status, out, _ = run("reproduce", "tiny/figure1", "--tier", "smoke", "--out", "here")
    assert status == 0
    assert "here/tiny/figure1-smoke.svg" in out
    assert (tmp_path / "here/tiny/figure1-smoke.svg").read_text() == "a svg"
    assert (tmp_path / "here/tiny/figure1-smoke.png").read_text() == "a png"


@pytest.mark.usefixtures("reports")
def test_verdicts_change_the_status_only_when_asked(run: Run, url: str, engine: Engine) -> None:
    with Client(url) as client:
        client.reproduce("tiny/figure1", "smoke")
    work_off(engine)
    assert run("reproduce", "tiny/figure1", "--tier", "smoke")[0] == 0
    assert run("reproduce", "tiny/figure1", "--tier", "smoke", "--check")[0] == 1


def test_a_number_or_a_claim_makes_a_report_doubtful() -> None:
    def boards(verdict: str) -> list[dict[str, Any]]:
        return [{"rows": [{"published": [{"verdict": verdict, "exhibit": "a/table1"}]}]}]

    def saying(number: str, *claims: str) -> SuiteReport:
        told = {"boards": boards(number), "claims": [{"verdict": verdict} for verdict in claims]}
        return filled(SuiteReport, told)

    good = saying("within noise")
    assert not is_doubtful(good)
    assert not is_doubtful(saying("within noise", "undecided"))
    assert is_doubtful(saying("within noise", "contradicted"))
    assert is_doubtful(saying("not reproduced"))
    assert (verdicts_text(good), claims_text(good)) == ("[cyan]1 within noise[/]", "")


def test_the_report_of_the_server_is_what_the_commands_read(
    url: str, engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not one that a test made up; seeds 0 and 1 of both estimators report 0 and 1."""
    with Client(url) as client:
        client.reproduce("tiny/figure1", "smoke")
        work_off(engine)
        found = client.suite_report("tiny/figure1", "smoke")
    show(console(), found, [Path("figure1-smoke.md")], url)
    (claim,) = found.claims
    out = capsys.readouterr().out
    assert "tiny/figure1 smoke: Two estimators" in out
    assert f"{claim.verdict}  ReinMax is best." in out
    assert f"{url}/suites/tiny/figure1?tier=smoke" in out
    numbers = [one for board in found.boards for row in board.rows for one in row.published]
    assert {one.exhibit for one in numbers} == {""}  # nothing but levels that are known
    assert verdicts_text(found) == ""
    assert not is_doubtful(found)


@pytest.mark.usefixtures("reports")
def test_rungs_follow_each_other_until_the_grid_is_halved(run: Run, url: str, worker: Any) -> None:
    worker(lambda spec: spec["estimator"]["parameters"]["temperature"] + spec["seed"] / 100)
    status, _, err = run("reproduce", "tiny/grid", "--tier", "budget")
    assert status == 0, err
    assert [(one.name, one.trials) for one in sweeps(url)[::-1]] == [
        ("tiny/grid rung 1", 8),
        ("tiny/grid rung 2", 8),
        ("tiny/grid rung 3", 8),
    ]


@pytest.mark.usefixtures("reports")
def test_failed_trials_give_1_and_retry_tries_them_again(run: Run, url: str, engine: Engine) -> None:
    with Client(url) as client:
        client.reproduce("tiny/figure1", "smoke")
    work_off(engine, lambda spec: None if spec["seed"] else 1.0)
    status, _, err = run("reproduce", "tiny/figure1", "--tier", "smoke")
    assert status == 1
    assert (
        "tiny/figure1 smoke: 2 succeeded, 2 failed; heunboard status 1 says why, --retry tries again" in err
    )
    status, out, _ = run("reproduce", "tiny/figure1", "--tier", "smoke", "--retry", "--no-wait")
    assert (status, f"{url}/sweeps/2" in out) == (0, True)
    work_off(engine)
    assert run("reproduce", "tiny/figure1", "--tier", "smoke")[0] == 0


@pytest.mark.usefixtures("reports")
def test_what_was_cancelled_is_not_waited_for(run: Run, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Client(url) as client:
        (one,) = client.reproduce("tiny/figure1", "smoke")
    sweep = sweep_answer(
        "cancelled", finished_at=datetime(2030, 1, 1, tzinfo=UTC), progress={"counts": {"cancelled": 4}}
    )
    stuck = one.model_copy(update={"sweeps": [sweep], "added": 0, "finished": False})
    monkeypatch.setattr(Client, "reproduce", lambda *_, **__: [stuck])
    status, _, err = run("reproduce", "tiny/figure1", "--tier", "smoke")
    assert (status, "4 cancelled; heunboard status 1" in err) == (1, True)


def test_ctrl_c_leaves_the_sweeps_and_says_how_to_resume(
    run: Run, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Client, "follow", interrupted)
    status, _, err = run("reproduce", "tiny/figure1", "--tier", "smoke", "--out", "a b", "--url", url)
    assert status == 130
    again = f"heunboard reproduce tiny/figure1 --tier smoke --out 'a b' --url {url}"
    assert err == f"Sweeps that were submitted go on. To resume: {again}\n"
    assert [one.state for one in sweeps(url)] == ["queued"]


@pytest.mark.usefixtures("reports")
def test_list_shows_every_tier_and_the_verdicts_of_those_that_are_done(
    run: Run, url: str, engine: Engine, tmp_path: Path
) -> None:
    tiny_suite(tmp_path / "suites", "misspelt", suite=SUITE.replace("venue", "venu"))
    with Client(url) as client:
        client.reproduce("tiny/figure1", "smoke")
        work_off(engine)
        client.publish_measurements("tiny/table3", "smoke", efficiency_document())
    status, out, err = run("reproduce", "--list")
    assert (status, "cannot be used misspelt" in err) == (0, True)
    lines = out[out.index("tiny  A tiny paper") :].splitlines()[2:8]
    done = "1 reproduced, 1 not reproduced  1 supported, 1 contradicted"
    expected = [
        f"figure1 Two estimators smoke 4 done {done}",
        "full 6 4 of 6",
        "grid A grid smoke 6 4 of 6",
        "full 32 4 of 32",
        "budget 16 2 of 16",
        f"table3 Time smoke measured on cpu {done}",
    ]
    assert [line.split() for line in lines] == [line.split() for line in expected]
    status, out, _ = run("reproduce", "--list", "--json")
    with Client(url) as client:
        assert (status, json.loads(out)) == (0, to_jsonable_python(client.suites()))


def test_list_of_a_suite_or_an_exhibit_has_nothing_else(run: Run, url: str, tmp_path: Path) -> None:
    wrong = FIGURE.replace("metric: expected_loss", "metric: expected_los")
    tiny_suite(tmp_path / "suites", "wrong", figure1=wrong)
    status, out, err = run("reproduce", "--list", "tiny")
    assert (status, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines() if line[:1].strip()] == [
        "tiny",
        "exhibit",
        "figure1",
        "grid",
        "table3",
    ]
    status, _, err = run("plan", "--suite", "wrong", "--tier", "smoke")
    assert (status, err.startswith("cannot be used wrong/figure1: ")) == (0, True)
    (suite,) = json.loads(run("reproduce", "--list", "tiny/grid", "--json")[1])["suites"]
    assert [one["id"] for one in suite["exhibits"]] == ["grid"]
    status, _, err = run("reproduce", "--list", "wrong/figure1")
    assert (status, err.startswith("cannot be used wrong/figure1: ")) == (0, True)
    assert "figure1.yaml: /claims/0/tests/0/metric: unknown metric 'expected_los'" in err


def test_list_goes_on_after_a_report_that_the_server_cannot_make(
    run: Run, url: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(_: Client, name: str, tier: str) -> SuiteReport:
        if (name, tier) == ("tiny/figure1", "smoke"):
            raise ApiError(503, Problem(title="Broken", detail="no report can be made"))
        return report(name, tier)

    monkeypatch.setattr(Client, "suite_report", answer)
    with Client(url) as client:
        client.reproduce("tiny/figure1", "full")
    work_off(engine)
    status, out, err = run("reproduce", "--list", "tiny")
    assert status == 0
    assert out.count("1 reproduced") == 2  # figure1 full, and the smoke of grid, which shares its trials
    assert "cannot be used tiny/figure1, tier smoke: " in err
    assert "no report can be made" in err


def test_plan_says_what_a_command_measures(run: Run, url: str) -> None:
    status, out, _ = run("plan", "--suite", "tiny/table3", "--tier", "smoke")
    assert (status, out.splitlines()) == (
        0,
        [
            "tiny/table3 smoke: One short epoch on the device at hand.",
            "tiny/table3 is measured by a command on the device at hand: it has no trials",
        ],
    )


def test_without_waiting_the_rung_is_told(run: Run, url: str, engine: Engine) -> None:
    wish = ("reproduce", "tiny/grid", "--tier", "budget", "--no-wait")
    for rung in (1, 2):
        _, out, _ = run(*wish)
        assert out.splitlines()[-1] == f"tiny/grid: rung {rung} of 3; the same command goes on to the next"
        work_off(engine)
    assert run(*wish)[1].splitlines()[-1] == "tiny/grid: rung 3 of 3"


def test_the_warning_of_a_long_plan_names_shorter_tiers(run: Run, url: str, tmp_path: Path) -> None:
    long = GRID.replace("latents: 4", "latents: 128").replace(
        "epochs: 2, steps_per_epoch: 5", "epochs: 10000"
    )
    tiny_suite(tmp_path / "suites", "long", grid=long.replace("      seeds: 4", "      seeds: 9999"))
    _, _, err = run("plan", "--suite", "long/grid", "--tier", "full")
    assert "days of one device" in err
    assert err.strip().endswith("take less, as in --tier budget")
    assert "as in --tier" not in run("plan", "--suite", "long/grid", "--tier", "budget")[2]


def test_plan_of_a_tier_is_that_of_the_api(run: Run, url: str) -> None:
    status, out, _ = run("plan", "--suite", "tiny/figure1", "--tier", "full")
    assert (status, out.splitlines()[:2]) == (
        0,
        [
            "tiny/figure1 full: Nothing is changed of the published protocol.",
            "6 trials: 0 already known, 6 to compute",
        ],
    )
    assert [line.split()[:4] for line in out.splitlines()[4:]] == [
        [id, "3", "0", "3"] for id in ("st", "reinmax")
    ]
    with Client(url) as client:
        printed = json.loads(run("plan", "--suite", "tiny", "--tier", "smoke", "--json")[1])
        assert printed == to_jsonable_python(client.plan_suite("tiny", "smoke"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["plan"], "got neither"),
        (["plan", "-", "--suite", "tiny", "--tier", "smoke"], "got both"),
        (["plan", "--suite", "tiny"], "--suite and --tier belong together"),
        (["plan", "-", "--tier", "smoke"], "--suite and --tier belong together"),
        (["reproduce"], "give SUITE/EXHIBIT"),
        (["reproduce", "tiny/figure1"], "--tier says how much of it: smoke, reduced, full, budget"),
        (["reproduce", "--list", "--tier", "full"], "--list shows every tier"),
        (["reproduce", "--list", "tini"], "did you mean 'tiny'?"),
        (["reproduce", "tiny/figure1", "--tier", "ful"], WRONG_TIER),
        (["plan", "--suite", "tiny/figure1", "--tier", "ful"], WRONG_TIER),
        (["reproduce", "grid", "--tier", "full"], "did you mean 'tiny/grid'?"),
        (["plan", "--suite", "grid", "--tier", "full"], "did you mean 'tiny/grid'?"),
        (["reproduce", "tiny/figure2", "--tier", "full"], "did you mean 'figure1'?"),
        (["reproduce", "tini", "--tier", "full"], "did you mean 'tiny'?"),
        (["reproduce", "tiny", "--tier", "full", "--out", "/dev/null/x"], "cannot be made a folder"),
    ],
)
def test_a_wrong_command_is_told_in_words(run: Run, url: str, arguments: list[str], words: str) -> None:
    status, _, err = run(*arguments)
    assert status == 2
    assert words in " ".join(err.replace("│", " ").split())
    assert sweeps(url) == []


def test_more_than_a_day_is_asked_about_on_a_terminal(
    run: Run, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = (
        FIGURE.replace("latents: 4", "latents: 128")
        .replace("seeds: 3", "seeds: 10000")
        .replace("epochs: 2, steps_per_epoch: 5", "epochs: 10000")
    )
    tiny_suite(tmp_path / "suites", "long", figure1=days)
    monkeypatch.setattr("service.cli.plans.is_terminal", lambda: True)
    monkeypatch.setattr(Client, "reproduce", lambda *_, **__: [])
    wish = ("reproduce", "long/figure1", "--tier", "full", "--no-wait")
    status, _, err = run(*wish, stdin="n\n")
    assert (status, "Submit it? [y/N]" in err, "days of one device" in err) == (1, True, True)
    assert run(*wish, stdin="y\n")[0] == 0
    status, _, err = run(*wish, "--yes")
    assert (status, "Submit it?" in err, "days of one device" in err) == (0, False, True)


@pytest.mark.usefixtures("reports")
def test_with_json_there_is_one_document_on_standard_output(run: Run, url: str, worker: Any) -> None:
    with Client(url) as client:
        submitted = json.loads(run("reproduce", "tiny/figure1", "--tier", "smoke", "--no-wait", "--json")[1])
        assert [submitted | {"added": 0}] == to_jsonable_python(client.reproduce("tiny/figure1", "smoke"))
    worker(by_seed)
    status, out, err = run("reproduce", "tiny/figure1", "--tier", "smoke", "--json")
    assert (status, SuiteReport.model_validate_json(out), err) == (0, report("tiny/figure1", "smoke"), "")


def measuring_command(monkeypatch: pytest.MonkeyPatch, *, writes: bool = True) -> list[list[str]]:
    """Replace the child process by one that writes a good file; what it was called with."""
    called: list[list[str]] = []

    def child(arguments: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        called.append(arguments)
        if writes:
            file = Path(arguments[arguments.index("--json") + 1])
            file.write_text(json.dumps(efficiency_document()))
        return subprocess.CompletedProcess(arguments, 0 if writes else 3)

    monkeypatch.setattr(subprocess, "run", child)
    return called


@pytest.mark.usefixtures("reports")
def test_the_whole_suite_is_one_command(
    run: Run, url: str, worker: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sweeps and what a command measures."""
    worker(by_seed)
    called = measuring_command(monkeypatch)
    status, out, err = run("reproduce", "tiny", "--tier", "smoke")
    assert status == 0, err
    assert {path.stem for path in (tmp_path / "reports/tiny").iterdir()} == {
        "figure1-smoke",
        "grid-smoke",
        "table3-smoke",
    }
    assert out.index("tiny/table3 smoke: One short epoch") < out.index("6 trials: 0 already known")
    (arguments,) = called
    assert arguments[1:3] == ["-m", "benchmarks.commands.efficiency"]
    assert arguments[5:] == ["--device", "cpu", "--epochs", "1", "--warm-up", "2", "--seconds", "0.5"]
    with Client(url) as client:
        assert client.measurements("tiny/table3", "smoke") == [efficiency_document()]


def test_a_command_that_wrote_nothing_is_an_error(
    run: Run, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    measuring_command(monkeypatch, writes=False)
    status, _, err = run("reproduce", "tiny/table3", "--tier", "smoke")
    assert (status, "ended with status 3" in err) == (1, True)


def test_no_option_but_the_known_ones_reaches_a_command(
    run: Run, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = measuring_command(monkeypatch)
    told = {"command": "efficiency", "tiers": [{"tier": "smoke", "options": {"json": 1}}]}
    exhibit = filled(ExhibitDetail, told)
    monkeypatch.setattr(Client, "exhibit", lambda *_: exhibit)
    status, _, err = run("reproduce", "tiny/table3", "--tier", "smoke")
    assert (status, "a tier sets 'json' of its command" in err, called) == (1, True, [])


@pytest.mark.slow
def test_a_tiny_paper_is_computed_by_real_workers_after_ctrl_c(
    run: Run, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``heunboard up`` with a worker; the command is interrupted at its first look and then resumed."""
    follow = Client.follow

    def interrupted(*_: object, **__: object) -> None:
        signal.raise_signal(signal.SIGINT)

    environment = {reading.FOLDERS: os.environ[reading.FOLDERS], "OMP_NUM_THREADS": "1"}
    local = ["--launcher", "local", "--slots", "1"]
    with server(tmp_path / "up", local, environment=environment) as up:
        wish = ("reproduce", "tiny/grid", "--tier", "budget", "--url", up["url"])
        monkeypatch.setattr(Client, "follow", interrupted)
        status, _, err = run(*wish)
        assert (status, "To resume: heunboard reproduce tiny/grid --tier budget" in err) == (130, True)
        monkeypatch.setattr(Client, "follow", follow)
        status, _, err = run(*wish)
        assert status == 0, err
        with Client(up["url"]) as client:
            (one,) = client.reproduce("tiny/grid", "budget")
            grid = client.suite("tiny").exhibits[1]
    assert (one.rung, one.eliminated, one.added, one.finished) == (3, 6, 0, True)
    assert (tmp_path / "reports/tiny/grid-budget.md").read_text().startswith("# ")
    assert "\\toprule" in (tmp_path / "reports/tiny/grid-budget.tex").read_text()
    assert [tier.ended for tier in grid.tiers if tier.tier == "budget"] == [16]
