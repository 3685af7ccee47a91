"""Suites over REST, in process, on both databases: state, plan, submission, rungs, measurements."""

from __future__ import annotations

import copy
import json
import logging
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine

from benchmarks.suites import reading
from benchmarks.suites.reading import Exhibit
from service.client import ApiError, Client
from service.resources import measurements, reproductions
from tests.support.suites import FIGURE, SUITE, efficiency_document, tiny_suite, work_off
from tests.support.web import InProcess, application, browser_of

API = "/api/v1/suites"
FIGURE1 = f"{API}/tiny/figure1"
MEASUREMENTS = f"{API}/tiny/table3/measurements?tier=smoke"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of a tiny suite that the server knows."""
    monkeypatch.setenv(reading.FOLDERS, str(tmp_path / "suites"))
    return tiny_suite(tmp_path / "suites")


@pytest.fixture
def http(engine: Engine, tmp_path: Path, folder: Path) -> httpx.Client:
    return browser_of(application(engine, tmp_path / "home"))


def tiny(http: httpx.Client) -> dict[str, Any]:
    """The tiny suite as the list has it."""
    (found,) = (one for one in http.get(API).json()["suites"] if one["id"] == "tiny")
    return dict(found)


def tiers(exhibit: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """Tier -> trials, and how many have ended."""
    return {tier["tier"]: (tier["trials"], tier["ended"]) for tier in exhibit["tiers"]}


def test_the_list_has_papers_exhibits_and_the_state_of_their_tiers(
    http: httpx.Client, engine: Engine
) -> None:
    found = tiny(http)
    assert (found["title"], found["venue"]) == ("A tiny paper", "nowhere")
    figure, grid, table = found["exhibits"]
    assert (figure["id"], figure["where"], figure["command"]) == ("figure1", "Figure 1", None)
    assert tiers(figure) == {"smoke": (4, 0), "full": (6, 0)}
    assert tiers(grid) == {"smoke": (6, 0), "full": (32, 0), "budget": (2 * (2 * 1 + 1 * 2 + 1 * 4), 0)}
    assert (table["command"], tiers(table)) == ("efficiency", {"smoke": (0, 0)})
    http.post(FIGURE1, json={"tier": "smoke"})
    work_off(engine)
    figure, grid, _ = tiny(http)["exhibits"]
    assert tiers(figure) == {"smoke": (4, 4), "full": (6, 4)}
    assert tiers(grid) == {"smoke": (6, 4), "full": (32, 4), "budget": (16, 2)}  # whose first rung has seed 0
    assert {one["id"] for one in http.get(API).json()["suites"]} >= {"tiny", "reinmax-2023"}


def test_a_suite_and_an_exhibit_say_what_they_are_about(http: httpx.Client) -> None:
    suite = http.get(f"{API}/tiny").json()
    assert suite.items() >= tiny(http).items()
    assert (suite["about"], suite["bibtex"]) == ("Whether small things work.", "@misc{tiny}")
    exhibit = http.get(FIGURE1).json()
    assert exhibit.items() >= suite["exhibits"][0].items()
    assert exhibit["claims"] == ["ReinMax is best."]
    assert exhibit["slips"] == ["The caption has a wrong number."]
    assert (exhibit["select"], exhibit["report"]) == ("expected_loss", ["expected_loss"])
    assert [tier["changes"] for tier in exhibit["tiers"]] == ["Two seeds instead of three.", ""]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/tini", "no suite 'tini'; did you mean 'tiny'?"),
        ("/tiny/figure2", "tiny has no table or figure 'figure2'; did you mean 'figure1'?"),
        ("/tiny/figure1/plan?tier=ful", "tiny/figure1 has no tier 'ful'; it has smoke, full"),
        ("/tiny/plan?tier=reduced", "no exhibit of tiny has a tier 'reduced'; there are smoke, full, budget"),
        ("/tiny/table3/measurements?tier=full", "tiny/table3 has no tier 'full'; it has smoke"),
        ("/tiny/figure1%00", "There is nothing with this id."),
    ],
)
def test_what_is_not_there_is_a_404_that_names_the_nearest(http: httpx.Client, path: str, words: str) -> None:
    answer = http.get(API + path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert answer.json()["detail"] == words


def test_a_plan_stores_nothing_and_counts_shared_trials_once(http: httpx.Client, engine: Engine) -> None:
    plan = http.get(f"{FIGURE1}/plan?tier=full").json()
    assert (plan["trials"], plan["known"], plan["to_compute"]) == (6, 0, 6)
    assert [line["estimator"] for line in plan["estimators"]] == ["st", "reinmax"]
    assert http.get(f"{API}/tiny/plan?tier=smoke").json()["trials"] == 6  # two seeds are Figure 1's
    assert http.get("/api/v1/sweeps").json()["sweeps"] == []
    http.post(FIGURE1, json={"tier": "smoke"})
    work_off(engine)
    assert http.get(f"{API}/tiny/plan?tier=smoke").json()["known"] == 4


def test_a_second_post_finds_what_the_first_submitted(http: httpx.Client, engine: Engine) -> None:
    wish = {"tier": "smoke", "owner": "ann", "priority": 7}
    first = http.post(FIGURE1, json=wish)
    (sweep,) = first.json()["sweeps"]
    assert (first.status_code, first.json()["added"], first.json()["finished"]) == (201, 1, False)
    assert (sweep["owner"], sweep["priority"], sweep["trials"]) == ("ann", 7, 4)
    for other in (wish, {"tier": "smoke", "owner": "bob"}, {"tier": "smoke", "retry": True}):
        again = http.post(FIGURE1, json=other)
        assert (again.status_code, again.json()["added"], again.json()["sweeps"]) == (200, 0, [sweep])
    work_off(engine)
    assert http.post(FIGURE1, json=wish).json()["finished"]
    assert len(http.get("/api/v1/sweeps").json()["sweeps"]) == 1


def test_failed_trials_are_submitted_again_when_asked(http: httpx.Client, engine: Engine) -> None:
    http.post(FIGURE1, json={"tier": "smoke"})
    work_off(engine, lambda spec: None if spec["seed"] else 1.0)
    failed = http.post(FIGURE1, json={"tier": "smoke"}).json()
    assert (failed["added"], failed["finished"], failed["sweeps"][0]["state"]) == (0, True, "failed")
    again = http.post(FIGURE1, json={"tier": "smoke", "retry": True}).json()
    assert (again["added"], again["finished"]) == (1, False)
    assert work_off(engine) == 2
    done = http.post(FIGURE1, json={"tier": "smoke", "retry": True}).json()
    assert (done["added"], done["finished"], done["sweeps"][0]["state"]) == (0, True, "succeeded")


def test_a_grid_is_halved_rung_by_rung(http: httpx.Client, engine: Engine) -> None:
    """Higher temperatures are better, last in file: of 1.0 to 1.3 two survive a seed, one survives two."""

    def rung() -> dict[str, Any]:
        found: dict[str, Any] = http.post(f"{API}/tiny/grid", json={"tier": "budget"}).json()
        return found

    def loss(spec: Any) -> float:
        return float(2 - spec["estimator"]["parameters"]["temperature"] + spec["seed"] / 100)

    expected = [(1, 1, 0, 8), (2, 2, 4, 4), (3, 3, 6, 4)]
    for position, added, gone, trials in expected:
        found = rung()
        assert (found["rung"], found["rungs"], len(found["sweeps"])) == (position, 3, added)
        assert (found["eliminated"], found["added"], found["finished"]) == (gone, 1, False)
        assert rung()["added"] == 0
        assert work_off(engine, loss) == trials
    assert rung()["finished"]
    grid = tiny(http)["exhibits"][1]
    assert tiers(grid)["budget"] == (16, 16)
    assert tiers(grid)["full"] == (32, 16)


def test_the_whole_suite_is_submitted_but_for_what_a_command_measures(http: httpx.Client) -> None:
    answer = http.post(f"{API}/tiny", json={"tier": "smoke"})
    found = answer.json()["reproductions"]
    assert answer.status_code == 201
    assert [one["exhibit"] for one in found] == ["tiny/figure1", "tiny/grid"]
    assert http.post(f"{API}/tiny", json={"tier": "smoke"}).status_code == 200
    assert http.post(f"{API}/tiny", json={"tier": "reduced"}).status_code == 404


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/body/tier"),
        ({"tier": 1}, "/body/tier"),
        ({"tier": "smoke", "owner": ""}, "/body/owner"),
        ({"tier": "smoke", "priority": 101}, "/body/priority"),
        ({"tier": "smoke", "priority": True}, "/body/priority"),
        ({"tier": "smoke", "retry": "yes"}, "/body/retry"),
        ({"tier": "smoke", "seeds": 3}, "/body/seeds"),
        ([], "/body"),
    ],
)
def test_a_wrong_wish_is_refused_with_its_place(http: httpx.Client, body: Any, pointer: str) -> None:
    answer = http.post(FIGURE1, json=body)
    assert answer.status_code == 422
    assert pointer in {place["pointer"] for place in answer.json()["errors"]}
    assert http.get("/api/v1/sweeps").json()["sweeps"] == []


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
@pytest.mark.parametrize("path", [FIGURE1, f"{API}/tiny", MEASUREMENTS])
def test_what_a_foreign_form_can_send_is_refused(http: httpx.Client, path: str, kind: str) -> None:
    answer = http.post(path, content=b'{"tier": "smoke"}', headers={"Content-Type": kind})
    assert answer.status_code == 415


def test_a_broken_suite_is_told_and_hides_no_other(
    http: httpx.Client, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tiny_suite(tmp_path / "suites", "misspelt", suite=SUITE.replace("venue", "venu"))
    tiny_suite(tmp_path / "suites", "unrunnable", figure1=FIGURE.replace("[st,", "[sst,"))
    with caplog.at_level(logging.ERROR):
        answer = http.get(API).json()
    broken = {one["id"]: one["detail"] for one in answer["broken"]}
    assert "misspelt/suite.yaml: /venue" in broken["misspelt"]
    assert "/sweeps/published/0/estimators/0" in broken["unrunnable/figure1"]
    assert "Did you mean 'st'?" in broken["unrunnable/figure1"]
    assert "figure1.yaml, /sweeps/published/0" in broken["unrunnable/grid"]
    shown = {one["id"]: [exhibit["id"] for exhibit in one["exhibits"]] for one in answer["suites"]}
    assert (shown["unrunnable"], len(shown["tiny"])) == (["table3"], 3)
    assert "misspelt/suite.yaml" in caplog.text
    for path in ("misspelt", "misspelt/figure1", "unrunnable/figure1", "unrunnable/grid"):
        told = http.get(f"{API}/{path}")
        assert (told.status_code, told.json()["type"]) == (503, "urn:heunboard:problem:broken-suite")
        assert told.json()["detail"] in broken.values()
    assert http.post(f"{API}/unrunnable/figure1", json={"tier": "smoke"}).status_code == 503


def test_a_suite_without_a_usable_exhibit_says_why(http: httpx.Client, tmp_path: Path) -> None:
    wrong = FIGURE.replace("metric: expected_loss", "metric: expected_los")
    tiny_suite(
        tmp_path / "suites", "bad", suite=SUITE.replace("[figure1, grid, table3]", "[figure1]"), figure1=wrong
    )
    answer = http.get(f"{API}/bad/plan", params={"tier": "smoke"})
    assert answer.status_code == 503
    assert "/claims/0/tests/0/metric" in answer.json()["detail"]


def test_a_report_that_cannot_be_made_hides_no_other(
    http: httpx.Client, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong: here an error that nobody foresaw, in one of two exhibits."""
    made = reproductions._report

    def report(exhibit: Exhibit, *rest: Any) -> Any:
        if exhibit.name == "tiny/grid":
            raise KeyError("unforeseen")
        return made(exhibit, *rest)

    monkeypatch.setattr(reproductions, "_report", report)
    http.post(f"{API}/tiny", json={"tier": "smoke"})
    work_off(engine)
    assert http.get(f"{API}/tiny/figure1/report", params={"tier": "smoke"}).status_code == 200
    assert http.get(f"{API}/tiny/grid/report", params={"tier": "smoke"}).status_code == 503
    page = http.get("/suites")
    assert page.status_code == 200
    assert "Cannot be used.</b> no report can be made of tiny/grid: &#39;unforeseen&#39;" in page.text


def send(http: httpx.Client, document: Any) -> httpx.Response:
    return http.post(MEASUREMENTS, content=json.dumps(document), headers={"Content-Type": "application/json"})


def changed(path: str, value: Any) -> dict[str, Any]:
    """Good measurements with one value replaced."""
    *parents, last = path.split("/")
    found = efficiency_document()
    inner: Any = found
    for part in parents:
        inner = inner[int(part) if part.isdigit() else part]
    inner[last] = value
    return found


def test_measurements_are_kept_one_a_device(http: httpx.Client, tmp_path: Path) -> None:
    document = efficiency_document()
    answer = send(http, document)
    assert (answer.status_code, answer.json()) == (201, {"measurements": [document]})
    send(http, changed("device", "../NVIDIA A6000"))
    newer = changed("machine", {"torch": "2.7"})
    send(http, newer)
    shown = http.get(MEASUREMENTS).json()["measurements"]
    assert shown == [changed("device", "../NVIDIA A6000"), newer]
    (tier,) = http.get(f"{API}/tiny/table3").json()["tiers"]
    assert tier["measured_on"] == ["../NVIDIA A6000", "cpu"]
    assert tier["options"] == {"epochs": 1, "warm_up": 2, "seconds": 0.5}
    files = list((tmp_path / "home" / measurements.FOLDER / "tiny" / "table3" / "smoke").iterdir())
    assert len(files) == 2
    files[0].write_text("{")
    assert len(http.get(MEASUREMENTS).json()["measurements"]) == 1


REFUSED = {
    "another format": ("format", 2, "/format"),
    "not a number": ("cases/0/seconds", float("nan"), "/cases/0/seconds"),
    "infinity": ("cases/1/ratios/seconds", float("inf"), "/cases/1/ratios/seconds"),
    "a negative time": ("cases/0/epochs", [-1.0], "/cases/0/epochs/0"),
    "no epochs": ("cases/0/epochs", [], "/cases/0/epochs"),
    "a text for a number": ("cases/0/steps", "20", "/cases/0/steps"),
    "more memory than there is": ("cases/0/peak_bytes", 2**60, "/cases/0/peak_bytes"),
    "a field too many": ("cases/0/note", "x", "/cases/0/note"),
    "no cases": ("cases", [], "/cases"),
    "a device without a name": ("device", "", "/device"),
    "a device without end": ("device", 101 * "x", "/device"),
    "an unknown estimator": ("cases/1/estimator", "best", "/cases/1/estimator"),
    "a case twice": ("cases/1/estimator", "reinmax", "/cases/1"),
    "no median": ("cases/1/seconds", 1.5, "/cases/1/seconds"),
    "a false difference": ("cases/1/added_bytes", 499, "/cases/1/added_bytes"),
    "a false ratio": ("cases/1/ratios/seconds", 0.6, "/cases/1/ratios/seconds"),
    "a missing ratio": ("cases/1/ratios/added_bytes", None, "/cases/1/ratios/added_bytes"),
    "too many steps": ("cases/1/steps", 201, "/cases/1/steps"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_measurements_are_refused_with_their_place(http: httpx.Client, case: str) -> None:
    path, value, pointer = REFUSED[case]
    answer = send(http, changed(path, value))
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:heunboard:problem:invalid-measurements")
    assert pointer in [place["pointer"] for place in answer.json()["errors"]]
    assert "nothing was stored" in answer.json()["detail"]
    assert http.get(MEASUREMENTS).json() == {"measurements": []}


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"null", b"[" * 100_000])
def test_what_is_no_document_is_refused(http: httpx.Client, body: bytes) -> None:
    answer = http.post(MEASUREMENTS, content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, len(answer.json()["errors"])) == (422, 1)


def test_measurements_need_an_exhibit_of_a_command_and_a_folder(engine: Engine, folder: Path) -> None:
    without_folder = browser_of(application(engine))
    answer = send(without_folder, efficiency_document())
    assert (answer.status_code, "data directory" in answer.json()["detail"]) == (503, True)
    answer = without_folder.post(f"{FIGURE1}/measurements?tier=smoke", json=efficiency_document())
    assert (answer.status_code, "computed by sweeps" in answer.json()["detail"]) == (422, True)


def test_the_client_has_every_door(engine: Engine, tmp_path: Path, folder: Path) -> None:
    with Client("http://127.0.0.1", transport=InProcess(application(engine, tmp_path / "home"))) as client:
        assert "tiny" in {one.id for one in client.suites().suites}
        assert dict(client.suite("tiny").exhibits[0]).items() <= dict(client.exhibit("tiny/figure1")).items()
        assert client.plan_suite("tiny/figure1", "full").trials == 6
        assert client.plan_suite("tiny", "smoke").trials == 6
        (one,) = client.reproduce("tiny/figure1", "smoke", owner="ann", priority=3)
        assert (one.sweeps[0].owner, one.sweeps[0].priority) == ("ann", 3)
        assert [one.added for one in client.reproduce("tiny", "smoke")] == [0, 1]
        work_off(engine)
        assert all(one.finished for one in client.reproduce("tiny", "smoke", retry=True))
        document = efficiency_document()
        assert client.publish_measurements("tiny/table3", "smoke", document) == [document]
        assert client.measurements("tiny/table3", "smoke") == [document]
        with pytest.raises(ApiError, match="did you mean 'figure1'"):
            client.exhibit("tiny/figure")
        with pytest.raises(ApiError, match="There is nothing at"):
            client.exhibit("tiny/../figure1")


def test_what_the_command_writes_is_what_is_accepted() -> None:
    """One format on both sides: the web process cannot load the command, which loads torch."""
    from benchmarks.commands.efficiency import report
    from service.resources import efficiency

    assert efficiency.FORMAT == report.FORMAT
    assert efficiency.read(json.dumps(efficiency_document())) == copy.deepcopy(efficiency_document())
