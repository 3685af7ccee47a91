"""Reports of what a command measured, as JSON, Markdown, LaTeX and pages, and in `heunboard reproduce`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest
from pylatexenc.latexwalker import LatexEnvironmentNode, LatexWalker
from rich.console import Console
from sqlalchemy import Engine

from benchmarks.suites import reading
from service.cli import suite_reports, suite_states
from service.resources.cost_reports import title
from service.resources.cost_tables import three_digits
from service.resources.schemas import ExhibitLine, TierLine
from service.resources.suite_schemas import SuiteReport
from service.storage import migrations
from service.storage.engine import open_engine
from tests.support.answers import filled
from tests.support.suites import COSTS, COSTS_TABLE, efficiency_document, tiny_suite
from tests.support.web import application, browser_of

REPORT = "/api/v1/suites/tiny/table3/report?tier=full"
PAGE = "/suites/tiny/table3?tier=full"
HOSTILE = r"<script>alert(1)</script>| `x` **y** $\frac{1}{0}$ \input{s} 100% #1 & ~^ {"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path / 'board.sqlite'}")
    migrations.upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def client(database: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> httpx.Client:
    """Of a server with a table that a command measures; nothing was measured."""
    monkeypatch.setenv(reading.FOLDERS, str(tmp_path / "suites"))
    tiny_suite(tmp_path / "suites", table3=COSTS_TABLE, costs=COSTS)
    return browser_of(application(database, tmp_path / "home"))


def publish(client: httpx.Client, tier: str = "full", **fields: Any) -> None:
    """Send the measurements of ReinMax and ST, 2 s and 1 s, 1000 and 500 bytes, with other fields.

    As if of a GPU, whose memory is counted exactly.
    """
    plan = efficiency_document()["plan"] | {"device": "cuda"}
    document = efficiency_document() | {"plan": plan} | fields
    body = json.dumps(document)
    path = f"/api/v1/suites/tiny/table3/measurements?tier={tier}"
    answer = client.post(path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 201, answer.text


def words_of(client: httpx.Client, path: str) -> str:
    """A page without tags, blanks run together."""
    answer = client.get(path, headers={"Accept": "text/html"})
    assert answer.status_code == 200, answer.text
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", answer.text.partition("<main")[2]))


def test_before_anything_is_measured_claims_are_not_tried(client: httpx.Client) -> None:
    report = client.get(REPORT).json()
    assert report["devices"] == []
    assert [(one["verdict"], one["device"]) for one in report["claims"]] == 2 * [("not tried", None)]
    assert "not tried yet" in words_of(client, PAGE)
    assert "not tried: smoke" in words_of(client, "/suites").partition("Table 3")[2]


def test_a_device_has_numbers_ratios_orders_and_claims(client: httpx.Client) -> None:
    publish(client)
    report = client.get(REPORT).json()
    (device,) = report["devices"]
    assert (device["device"], device["epochs"], device["failures"]) == (
        "cpu",
        3,
        {"vae reinmax": "no memory left"},
    )
    (board,) = device["boards"]
    st = board["rows"][1]
    assert (st["title"], st["epochs"], st["steps"], st["of"]) == ("Straight-through", 3, 20, 200)
    seconds = st["costs"]["seconds"]
    assert (seconds["value"], seconds["low"], seconds["high"]) == (1.0, 0.5, 3.0)
    assert (seconds["ratio"]["measured"], seconds["ratio"]["published"]) == (0.5, 1.0)
    assert (
        seconds["published"].items()
        >= {
            "text": "0.2",
            "verdict": "not comparable",
            "reason": "measured on another device",
        }.items()
    )
    order = next(one for one in board["orders"] if one["metric"] == "megabytes")
    assert (order["measured"], order["tau"]) == (["Straight-through", "ReinMax"], 1.0)
    assert order["missing"] == ["Gumbel-Rao, 100 draws"]
    assert [(one["verdict"], one["device"]) for one in report["claims"]] == [
        ("undecided", "cpu"),
        ("supported", "cpu"),
    ]
    assert report["claims"][0]["decided_by"] == [
        "mean seconds of an epoch of ReinMax over that of Straight-through is at most 1.5, "
        "where problem quadratic"
    ]


def test_a_smoke_tier_judges_no_claim(client: httpx.Client) -> None:
    publish(client, tier="smoke")
    claims = client.get(REPORT.replace("full", "smoke")).json()["claims"]
    assert [(one["verdict"], one["device"]) for one in claims] == 2 * [("not tried", "cpu")]
    assert {one["reason"] for one in claims} == {
        "the tier smoke shows that everything runs; it is too short to judge the paper"
    }


def test_memory_of_a_cpu_is_not_exact(client: httpx.Client) -> None:
    """500 and 1000 bytes are nothing to a standard deviation of 1.4 MB."""
    publish(client, plan=efficiency_document()["plan"])
    report = client.get(REPORT).json()
    assert report["claims"][1]["verdict"] == "undecided"
    ratio = report["devices"][0]["boards"][0]["rows"][1]["costs"]["megabytes"]["ratio"]
    assert ratio["low"] < 0 < 1 < ratio["high"]


def test_every_device_is_shown_by_name(client: httpx.Client) -> None:
    publish(client)
    publish(client, device="NVIDIA A6000")
    report = client.get(REPORT).json()
    assert [one["device"] for one in report["devices"]] == ["NVIDIA A6000", "cpu"]
    assert [one["device"] for one in report["claims"]] == ["NVIDIA A6000"] * 2 + ["cpu"] * 2
    shown = words_of(client, PAGE)
    assert "Measured on NVIDIA A6000 and cpu." in shown
    assert shown.count("512 copies, cpu: ") == shown.count("512 copies, NVIDIA A6000: ") == 2


def test_the_page_and_the_texts_say_the_same(client: httpx.Client) -> None:
    publish(client)
    shown = words_of(client, PAGE)
    markdown = client.get(f"{REPORT}&format=markdown").text
    latex = client.get(f"{REPORT}&format=latex").text
    for words in (
        "Published: Example, another device. Not comparable: measured on another device.",
        "Not measured on cpu: vae reinmax: no memory left.",
        "Published, but not measured: Gumbel-Rao, 100 draws.",
    ):
        assert words in shown
        assert words in markdown
        assert words in latex
    (row,) = [
        line for line in markdown.splitlines() if line.startswith("| Straight-through | 1.00 (0.500 to 3.00)")
    ]
    assert row.startswith("| Straight-through | 1.00 (0.500 to 3.00) | 0.2 | 0.500 | ")
    assert row.endswith(" | 1.00 | 0.600 to 1.67 | ≈ compatible |")
    nodes, _, _ = LatexWalker(latex).get_latex_nodes()
    (document,) = [node for node in nodes if isinstance(node, LatexEnvironmentNode)]
    tables = [node for node in document.nodelist if isinstance(node, LatexEnvironmentNode)]
    assert [node.environmentname for node in tables] == ["longtable"] * 3
    assert latex.count("\\toprule") == latex.count("\\bottomrule") == 3


def test_suites_count_claims_and_ratios_of_what_was_measured(client: httpx.Client) -> None:
    publish(client)
    line = words_of(client, "/suites").partition("Table 3")[2]
    assert "measured on cpu" in line
    assert "1 supported" in line
    assert "2 compatible" in line  # ST in time and in memory


class Tags(HTMLParser):
    """Names of the elements of a page, and its text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.text = ""
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.names.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def hostile(client: httpx.Client) -> httpx.Client:
    """As ``client``, where a device whose every name is hostile has published."""
    cases = [one | {"problem": HOSTILE} for one in efficiency_document()["cases"]]
    publish(client, device=HOSTILE, machine={HOSTILE: HOSTILE}, failures={HOSTILE: HOSTILE}, cases=cases)
    return client


@pytest.mark.parametrize("path", ["/suites", PAGE])
def test_hostile_names_are_text_on_pages(hostile: httpx.Client, path: str) -> None:
    tags = Tags(hostile.get(path, headers={"Accept": "text/html"}).text.partition("<main")[2])
    assert "script" not in tags.names
    assert HOSTILE in tags.text


def test_hostile_names_are_text_in_markdown(hostile: httpx.Client) -> None:
    source = hostile.get(f"{REPORT}&format=markdown").text
    assert "<script" not in source
    assert r"\`x\` \*\*y\*\*" in source
    assert not re.search(r"(?<!\\)\$", source)


def test_hostile_names_are_text_in_latex(hostile: httpx.Client) -> None:
    source = hostile.get(f"{REPORT}&format=latex").text
    assert "\\input{" not in source
    assert "\\frac" not in source.replace("\\textbackslash", "")
    assert "100\\%" in source


def printed(show: Callable[[Console], None]) -> str:
    out = Console(width=200)
    with out.capture() as captured:
        show(out)
    return captured.get()


def test_the_command_prints_claims_by_device_and_words_by_number(client: httpx.Client) -> None:
    publish(client, device="[red]cpu")
    report = SuiteReport.model_validate(client.get(REPORT).json())
    text = printed(lambda out: suite_reports.show(out, report, [], "http://x"))
    assert "supported  ReinMax takes more memory. ([red]cpu)" in text
    assert "ratios to ReinMax: 2 compatible" in text


def test_the_list_names_the_devices() -> None:
    exhibit = filled(ExhibitLine, {"command": "efficiency"})
    assert suite_states.state(exhibit, filled(TierLine)) == "never tried"
    measured = filled(TierLine, {"measured_on": ["[b]", "cpu"]})
    assert suite_states.state(exhibit, measured) == "measured on \\[b], cpu"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (float("inf"), "–"),
        (0.0, "0.00"),
        (0.618289, "0.618"),
        (-0.25, "−0.250"),
        (41.43, "41.4"),
        (783.3, "783"),
        (12_345.0, "12,300"),
    ],
)
def test_costs_have_three_digits(value: float | None, text: str) -> None:
    assert three_digits(value) == text


def test_estimators_are_called_by_their_draws() -> None:
    assert title("gumbel_rao-100") == "Gumbel-Rao, 100 draws"
    assert (title("st"), title("unknown-7")) == ("Straight-through", "unknown-7")
