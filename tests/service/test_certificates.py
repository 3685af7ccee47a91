"""Stored certificates: there is a current one for every built-in estimator, and the service shows it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from estimators import available, get
from estimators.certification import picture
from estimators.certification.record import Certificate
from estimators.certify import Effort, certify
from service.errors import NotFound
from service.resources import certificates
from service.storage import migrations
from tests.support.databases import engine_of
from tests.support.web import application, browser_of

IDS = [id for id in available() if get(id).target.startswith("estimators.")]


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[httpx.Client]:
    """The application on a database with nothing in it."""
    with engine_of(f"sqlite:///{tmp_path / 'empty.sqlite'}") as engine:
        migrations.upgrade(engine)
        yield browser_of(application(engine))


@pytest.mark.parametrize("id", IDS)
def test_every_version_has_a_certificate_that_it_passes(id: str) -> None:
    """After a change of version: heunboard certify --all --out estimators/certificates."""
    certificate = certificates.shipped(get(id))
    assert certificate.passed, certificate.contradictions
    assert {f.name for f in certificate.findings} >= {"bias", "order", "evaluations", "masked categories"}
    assert certificates.text_of(certificate) == certificates_file(id).read_text("utf-8")


@pytest.mark.parametrize("id", ["st", "reinmax", "gst_p"])
def test_stored_figures_are_those_of_the_present_code(id: str) -> None:
    """Those that are enumerated do not depend on noise."""
    stored, measured = certificates.shipped(get(id)), certify(id)
    for one, other in zip(stored.problems, measured.problems, strict=True):
        for first, second in zip(one.points, other.points, strict=True):
            assert first.exact
            assert first.bias.value == pytest.approx(second.bias.value, rel=1e-6)
            assert first.variance.value == pytest.approx(second.variance.value, rel=1e-6)


def certificates_file(id: str) -> Path:
    path = certificates.path_of(get(id))
    assert path is not None
    return path


def test_a_certificate_of_another_version_is_not_shown() -> None:
    newer = dataclasses.replace(get("st"), version=get("st").version + 1)
    with pytest.raises(NotFound, match="certify st --publish"):
        certificates.shipped(newer)
    with pytest.raises(NotFound, match="certify st --publish"):
        certificates.shipped(dataclasses.replace(get("st"), target="json:dumps"))


def test_api(browser: httpx.Client) -> None:
    answer = browser.get("/api/v1/estimators/reinmax/certificate")
    assert answer.status_code == 200
    assert answer.json()["passed"]
    assert answer.json()["published_at"] is None
    order = Certificate.from_json(answer.json()).order
    assert order is not None
    assert order.low < 2 < order.high
    missing = browser.get("/api/v1/estimators/nothing/certificate")
    assert missing.status_code == 404
    assert "reinmax" in missing.json()["detail"]


def test_pages(browser: httpx.Client) -> None:
    html = {"Accept": "text/html"}
    listed = browser.get("/estimators", headers=html).text
    for id in IDS:
        assert f'href="/estimators/{id}"' in listed
        shown = browser.get(f"/estimators/{id}", headers=html)
        assert shown.status_code == 200
        assert get(id).citation.key in shown.text
        assert '<svg class="certificate"' in shown.text
        assert "Shipped with the package." in shown.text
    assert browser.get("/estimators/nothing", headers=html).status_code == 404


def test_an_estimator_without_a_certificate_has_a_page(
    browser: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "FOLDER", "nowhere")
    pages = [browser.get(path, headers={"Accept": "text/html"}) for path in ("/estimators", "/estimators/st")]
    assert [page.status_code for page in pages] == [200, 200]
    assert "<code>heunboard certify st --publish</code> measures one" in pages[1].text
    assert browser.get("/api/v1/estimators/st/certificate").status_code == 404


@pytest.mark.parametrize("id", ["st", "exact", "rloo"])
def test_pictures_need_nothing_from_outside(id: str) -> None:
    certificate = Certificate.from_json(json.loads(certificates_file(id).read_text("utf-8")))
    text = picture.html(certificate)
    assert text.count("http") == text.count("<svg")  # the name space of SVG
    assert "nan" not in text
    shown = picture.svg(certificate)
    assert shown in text
    assert shown.count("<circle") == sum(
        p.detected for problem in certificate.problems for p in problem.points
    )


def test_the_picture_of_temperatures_has_a_mark_for_each_figure_and_none_without() -> None:
    certificate = certify("rebar", effort=Effort(stderr=0.01, most=2**14, most_stateful=2**12))
    seen = sum(at.point.detected for at in certificate.temperatures)
    text = picture.temperatures_svg(certificate)
    assert text.count("<circle") == seen + len(certificate.temperatures)  # every variance is seen
    assert text.count('class="limit"') == len(certificate.temperatures) - seen
    assert text in picture.html(certificate)
    assert picture.temperatures_svg(dataclasses.replace(certificate, temperatures=())) == ""
    (one, *_) = certificate.temperatures
    assert "nan" not in picture.temperatures_svg(dataclasses.replace(certificate, temperatures=(one,)))
