"""Certificates that are published to a server: from the command to the page, and what else may be sent."""

from __future__ import annotations

import copy
import dataclasses
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import Engine

from estimators import available, get
from estimators.certification.record import AtTemperature, Certificate
from service import client
from service.cli import main
from service.client import ApiError, Client
from service.errors import InvalidCertificate, NotFound
from service.resources import certificates, publication
from service.resources.certificates import publish, stored
from service.resources.schemas import EstimatorEntry
from service.storage import migrations
from tests.support.answers import filled
from tests.support.databases import engine_of
from tests.support.processes import LIMIT_SECONDS
from tests.support.web import InProcess, application, browser_of, served

HTML = {"Accept": "text/html"}
URL = "/api/v1/estimators/st/certificate"
HOSTILE = "<script>alert(1)</script><img src=x onerror='alert(2)'>\"&{{ 7 * 7 }}"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """A database with nothing in it."""
    with engine_of(f"sqlite:///{tmp_path / 'empty.sqlite'}") as engine:
        migrations.upgrade(engine)
        yield engine


@pytest.fixture
def browser(engine: Engine, tmp_path: Path) -> httpx.Client:
    """The application with a data directory of its own."""
    return sender(application(engine, tmp_path))


def sender(app: FastAPI) -> httpx.Client:
    """A client that declares every body as JSON."""
    http = browser_of(app)
    http.headers["Content-Type"] = "application/json"
    return http


@pytest.fixture
def unshipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packages ship no certificates, as those of an estimator that was just written do."""
    monkeypatch.setattr(certificates, "path_of", lambda info: None)


def document(id: str = "st") -> dict[str, Any]:
    """A good certificate as JSON, with temperatures."""
    certificate = certificates.shipped(get(id))
    points = tuple(AtTemperature(temperature=t, point=certificate.common) for t in (1.0, 2.0))
    found: dict[str, Any] = json.loads(
        json.dumps(dataclasses.replace(certificate, temperatures=points).to_json())
    )
    return found


def changed(path: str, value: Any) -> dict[str, Any]:
    """A good certificate with one value replaced; ``None`` as the value removes it."""
    *parents, last = path.split("/")
    found = document()
    inner: Any = found
    for part in parents:
        inner = inner[int(part) if part.isdigit() else part]
    if value is None:
        del inner[last]
    else:
        inner[int(last) if last.isdigit() else last] = value
    return found


def pictures(page: str) -> list[str]:
    """The pictures of certificates on a page."""
    return re.findall(r'<svg class="certificate".*?</svg>', page, re.DOTALL)


@pytest.mark.usefixtures("unshipped")
def test_from_the_command_to_the_page(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with (
        served(application(engine, tmp_path)) as url,
        httpx.Client(base_url=url, headers=HTML, timeout=LIMIT_SECONDS) as visitor,
    ):
        assert "heunboard certify st --publish" in visitor.get("/estimators/st").text
        monkeypatch.setattr("sys.argv", ["heunboard", "certify", "st", "--publish", "--url", url])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code, capsys.readouterr().err
        assert f"published: {url}/estimators/st" in capsys.readouterr().out
        page = visitor.get("/estimators/st").text
        assert "Published to this server on" in page
        assert page.count('<svg class="certificate"') == 2
        assert "By temperature" in page
        answer = visitor.get(f"{URL}").json()
        assert abs(datetime.now(UTC) - datetime.fromisoformat(answer["published_at"])).days == 0
        certificate = Certificate.from_json(answer)
        assert [at.temperature for at in certificate.temperatures] == [0.1, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 5.0]
        assert "as declared" in visitor.get("/estimators").text
    assert [path.name for path in (tmp_path / "certificates").iterdir()] == ["st.json"]


def test_the_client_publishes(engine: Engine, tmp_path: Path) -> None:
    with Client("http://127.0.0.1", transport=InProcess(application(engine, tmp_path))) as made:
        assert made.estimator("st").version == get("st").version
        answer = made.publish_certificate(document())
        assert answer.pop("published_at").endswith("+00:00")
        assert answer == document()
        with pytest.raises(ApiError, match="there is no estimator 'nothing'"):
            made.publish_certificate(changed("id", "nothing"))
        with pytest.raises(ApiError, match="There is nothing at"):
            made.publish_certificate(changed("id", "../st"))
        with pytest.raises(ApiError, match="finite number, got nan") as refused:
            made.publish_certificate(changed("seconds", float("nan")))
        assert refused.value.problem.errors[0].pointer == "/seconds"


def test_a_published_certificate_wins_until_the_version_rises(tmp_path: Path) -> None:
    info = get("st")
    assert stored(info, tmp_path).published_at is None
    publish(info, json.dumps(changed("torch", "9.9")).encode(), tmp_path)
    assert stored(info, tmp_path).certificate.torch == "9.9"
    publish(info, json.dumps(changed("torch", "10.0")).encode(), tmp_path)
    assert stored(info, tmp_path).certificate.torch == "10.0"
    newer = dataclasses.replace(info, version=info.version + 1)
    with pytest.raises(NotFound, match="certify st --publish"):
        stored(newer, tmp_path)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"certificate": 1}', '{"published_at": "today", "certificate": {}}']
)
def test_a_damaged_file_is_left_aside(tmp_path: Path, text: str) -> None:
    (tmp_path / "st.json").write_text(text)
    assert stored(get("st"), tmp_path).published_at is None


@pytest.mark.parametrize("id", available())
def test_every_shipped_certificate_could_be_published(id: str) -> None:
    certificate = certificates.shipped(get(id))
    assert publication.read(certificates.text_of(certificate), get(id)) == certificate


REFUSED = {
    "another format": ("format", "certificate-2", "/format"),
    "another id": ("id", "stgs", "/id"),
    "another title": ("title", "Other", "/title"),
    "another version": ("version", 99, "/version"),
    "set parameters": ("parameters", {"temperature": 2.0}, "/parameters"),
    "a verdict that is none": ("findings/0/verdict", "fine", "/findings/0/verdict"),
    "a field too many": ("findings/0/style", "x", "/findings/0/style"),
    "a field too many at the top": ("published_at", "2030-01-01", "/published_at"),
    "a field too few": ("cost", None, "/cost"),
    "a text for a number": ("seconds", "1", "/seconds"),
    "a number for a flag": ("passed", 1, "/passed"),
    "a false summary": ("passed", False, "/passed"),
    "not a number": ("problems/0/points/0/bias/value", float("nan"), "/problems/0/points/0/bias/value"),
    "infinity": ("cost/peak_ratio", float("inf"), "/cost/peak_ratio"),
    "a number too large to draw": (
        "problems/1/points/2/variance/high",
        1e300,
        "/problems/1/points/2/variance/high",
    ),
    "a negative bias": ("problems/0/points/0/bias/low", -1.0, "/problems/0/points/0/bias/low"),
    "a cosine of 2": (
        "problems/0/points/0/cosine",
        {"value": 2.0, "low": 2.0, "high": 2.0},
        "/problems/0/points/0/cosine/value",
    ),
    "an interval the wrong way round": ("problems/0/points/0/bias/high", 0.0, "/problems/0/points/0/bias"),
    "a scale of 0": ("problems/0/points/0/scale", 0.0, "/problems/0/points/0/scale"),
    "scales in disorder": ("problems/0/points/0/scale", 9.0, "/problems/0"),
    "no scale 1": ("problems/0/points/4/scale", 1.1, "/problems/0"),
    "no points": ("problems/0/points", [], "/problems/0/points"),
    "no problems": ("problems", [], "/problems"),
    "without the common problem": ("problems/3/problem", "exponential-9x9", "/problems"),
    "a problem twice": ("problems/0/problem", "exponential-1x3", "/problems"),
    "a problem with markup": ("problems/0/problem", HOSTILE, "/problems/0/problem"),
    "no findings": ("findings", [], "/findings"),
    "too many findings": (
        "findings",
        51 * [{"name": "a", "declared": "", "measured": "", "verdict": "not declared"}],
        "/findings",
    ),
    "a text without end": ("findings/0/measured", 20_000 * "x", "/findings/0/measured"),
    "a temperature out of range": ("temperatures/0/temperature", -1.0, "/temperatures/0/temperature"),
    "a temperature that underflows": ("temperatures/1/temperature", 1e-46, "/temperatures/1/temperature"),
    "a temperature twice": ("temperatures/1/temperature", 1.0, "/temperatures"),
    "a temperature at another scale": ("temperatures/1/point/scale", 2.0, "/temperatures"),
    "too large a number of draws": ("problems/0/points/0/draws", 10**30, "/problems/0/points/0/draws"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_certificate_of_the_estimator_is_refused(browser: httpx.Client, case: str) -> None:
    path, value, pointer = REFUSED[case]
    answer = browser.put(URL, content=json.dumps(changed(path, value)))
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"] == "urn:heunboard:problem:invalid-certificate"
    assert pointer in [error["pointer"] for error in problem["errors"]]
    assert "nothing was stored" in problem["detail"]
    assert "heunboard certify ID --publish" in problem["detail"]
    assert browser.get(URL).json()["published_at"] is None


def test_a_version_that_is_not_installed_is_told_with_both_numbers(browser: httpx.Client) -> None:
    (error,) = browser.put(URL, content=json.dumps(changed("version", 99))).json()["errors"]
    assert error["message"].startswith(
        f"the certificate is of version 99, the estimator here is at {get('st').version};"
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"[" * 100_000,
        b'{"seed": ' + b"9" * 5_000 + b"}",
        b'{"title": "\\ud800"}',
        b'{"a": 1}',
        json.dumps(dict.fromkeys(map(str, range(50_000)), 0)).encode(),
    ],
)
def test_what_is_no_certificate_at_all_is_refused(browser: httpx.Client, body: bytes) -> None:
    answer = browser.put(URL, content=body)
    assert answer.status_code == 422
    assert 1 <= len(answer.json()["errors"]) <= 101


def test_a_body_above_the_limit_and_an_unknown_estimator_are_refused(browser: httpx.Client) -> None:
    assert browser.put(URL, content=b" " * (2**20 + 1)).status_code == 413
    for id in ("nothing", "..%2Fst", "%00"):
        assert browser.put(f"/api/v1/estimators/{id}/certificate", content=b"{}").status_code == 404


def test_a_server_without_a_data_directory_says_so(engine: Engine) -> None:
    answer = sender(application(engine)).put(URL, content=json.dumps(document()))
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert "data directory" in answer.json()["detail"]


def test_nothing_of_a_hostile_certificate_reaches_the_page_as_markup(browser: httpx.Client) -> None:
    hostile = document()
    for finding in hostile["findings"]:
        finding |= {"name": HOSTILE[:60], "declared": HOSTILE, "measured": HOSTILE, "advice": HOSTILE}
    hostile |= {"torch": HOSTILE, "device": HOSTILE}
    for problem in hostile["problems"]:
        problem["objective"] = HOSTILE
    assert browser.put(URL, content=json.dumps(hostile)).status_code == 200
    page = browser.get("/estimators/st", headers=HTML).text.partition("<main")[2]
    assert "<script" not in page
    assert "<img" not in page
    assert "{{ 7 * 7 }}" in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 3 * len(hostile["findings"])
    assert len(pictures(page)) == 2
    assert not any("alert" in picture for picture in pictures(page))
    assert browser.get("/estimators", headers=HTML).status_code == 200
    assert browser.get(URL).json()["torch"] == HOSTILE


@pytest.mark.parametrize("figure", [0.0, 1e-29, 1e30])
def test_pages_hold_the_largest_and_smallest_numbers_that_are_accepted(
    browser: httpx.Client, figure: float
) -> None:
    extreme = document()
    interval = {"value": figure, "low": figure, "high": figure}
    points = [point for problem in extreme["problems"] for point in problem["points"]]
    for point in points + [at["point"] for at in extreme["temperatures"]]:
        point |= {"bias": interval, "variance": interval, "draws": 2**50}
    for problem in extreme["problems"]:
        problem |= {"order": interval, "order_stderr": figure}
    extreme["cost"] |= {
        "seconds": interval,
        "seconds_ratio": interval,
        "peak_bytes": 2**50,
        "peak_ratio": figure,
    }
    extreme["temperatures"] = extreme["temperatures"][:1]
    assert browser.put(URL, content=json.dumps(extreme)).status_code == 200
    for path in ("/estimators", "/estimators/st"):
        answer = browser.get(path, headers=HTML)
        assert answer.status_code == 200
        assert not [picture for picture in pictures(answer.text) if re.search(r'["\s,](nan|inf)', picture)]


def test_a_contradicting_certificate_may_be_published_and_its_failures_come_first(
    browser: httpx.Client,
) -> None:
    failing = document() | {"passed": False}
    failing["findings"] = copy.deepcopy(failing["findings"])
    failing["findings"][-1] |= {"verdict": "contradicts", "measured": "not finite", "advice": "do better"}
    assert browser.put(URL, content=json.dumps(failing)).status_code == 200
    page = browser.get("/estimators/st", headers=HTML).text
    rows = re.findall(r'<tr><th scope="row">([^<]*)</th><td[^>]*>[^<]*</td><td[^>]*>([^<]*)', page)
    assert rows[0] == ("logits of +-1e4", "not finite")
    assert '<div class="sub">do better</div>' in page
    assert browser.get(URL).json()["findings"][0]["name"] == "logits of +-1e4"


def test_another_version_at_the_server_is_seen_before_measuring(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(client.Client, "estimator", lambda self, id: filled(EstimatorEntry, {"version": 99}))
    monkeypatch.setattr(
        "sys.argv", ["heunboard", "certify", "st", "--publish", "--url", "http://127.0.0.1:9"]
    )
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "has version 99 of 'st'" in " ".join(capsys.readouterr().err.replace("│", " ").split())


def test_an_invalid_certificate_lists_all_that_is_wrong() -> None:
    wrong = document() | {"version": 7, "id": "x", "parameters": {"temperature": 2.0}}
    with pytest.raises(InvalidCertificate) as refused:
        publication.read(json.dumps(wrong), get("st"))
    assert {issue.path for issue in refused.value.issues} == {"/version", "/id", "/parameters"}
