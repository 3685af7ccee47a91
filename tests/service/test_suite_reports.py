"""Reports of a made-up paper as JSON, Markdown, LaTeX, pictures and pages."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest
from pylatexenc.latexwalker import LatexEnvironmentNode, LatexWalker
from sqlalchemy import Engine

from benchmarks.suites import reading
from service.resources.colours import marks
from service.storage import migrations
from service.storage.engine import open_engine
from tests.support.paper import NUMBERS, SUITE, TABLE, compute_tier, write_suite
from tests.support.web import application, browser_of

HOSTILE = r"<script>alert(1)</script> | `x` **y** _z_ $\frac{1}{0}$ \input{secret} 100% #1 & ~^ {"
"""Means something in HTML, Markdown, LaTeX and to matplotlib."""


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path / 'board.sqlite'}")
    migrations.upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def suites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "suites"
    folder.mkdir()
    monkeypatch.setenv(reading.FOLDERS, str(folder))
    return folder


@pytest.fixture
def client(database: Engine, suites: Path, tmp_path: Path) -> httpx.Client:
    """Of a server on which Table 1 of the made-up paper was computed in full."""
    write_suite(suites)
    compute_tier(database, "made-up/table1", "full")
    return browser_of(application(database, tmp_path))


def text(client: httpx.Client, format: str, tier: str = "full") -> str:
    answer = client.get(f"/api/v1/suites/made-up/table1/report?tier={tier}&format={format}")
    assert answer.status_code == 200
    return answer.text


def page(client: httpx.Client, path: str) -> str:
    """A page without tags, blanks run together."""
    answer = client.get(path, headers={"Accept": "text/html"})
    assert answer.status_code == 200, answer.text
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", answer.text.partition("<main")[2]))


def test_the_report_has_numbers_beside_published_ones_and_claims(client: httpx.Client) -> None:
    report: dict[str, Any] = client.get("/api/v1/suites/made-up/table1/report?tier=full").json()
    assert (report["trials"], report["ended"], report["failed"]) == (18, 18, 1)
    reinmax, st = report["boards"][0]["rows"]
    assert reinmax["metrics"]["expected_loss"]["mean"] == 2.0
    # t_{2, 0.975} = 4.302653, sd 1, three seeds
    assert reinmax["metrics"]["expected_loss"]["high"] == pytest.approx(2 + 4.302653 / 3**0.5, rel=1e-6)
    table = st["published"][-1]
    assert (table["difference"], table["verdict"], table["slip"]) == (8.0, "not reproduced", "")
    (slip,) = (one for one in report["boards"][1]["rows"][0]["published"] if one["slip"])
    assert (slip["verdict"], slip["reason"]) == ("not comparable", "slip in print: printed as 40")
    assert (table["margin"], table["margin_why"]) == (5.0, "The authors' own runs differ by this much.")
    verdicts = [claim["verdict"] for claim in report["claims"]]
    assert verdicts == ["supported", "contradicted", "not tried"]
    assert report["claims"][0]["decided_by"] == [
        "ReinMax has no worse mean expected loss than every other estimator"
    ]
    assert [one["title"] for one in report["boards"][0]["not_computed"]] == ["Gapped straight-through"]
    assert report["boards"][0]["versions"]["torch"] == ["2.6"]
    assert report["commands"] == ["heunboard reproduce made-up/table1 --tier full"]
    assert client.get(report["boards"][0]["page"]).status_code == 200


def test_every_elimination_is_reported_with_its_threshold(client: httpx.Client) -> None:
    halving = client.get("/api/v1/suites/made-up/table1/report?tier=budget").json()["halving"]
    assert "halves its grid" in halving["sentence"]
    # On one seed: temperature 1 has 10 and 8, temperature 2 has 20 and 30.
    found = [(one["rung"], one["mean"], one["rank"], one["threshold"]) for one in halving["eliminated"]]
    assert found == [(1, 20.0, 2, 10.0), (1, 30.0, 2, 8.0)]
    assert client.get("/api/v1/suites/made-up/table1/report?tier=full").json()["halving"] is None
    assert "20.000" in text(client, "markdown", "budget")


@pytest.mark.parametrize("format", ["json", "markdown", "latex"])
def test_a_report_has_an_entity_tag(client: httpx.Client, format: str) -> None:
    path = f"/api/v1/suites/made-up/table1/report?tier=full&format={format}"
    tag = client.get(path).headers["etag"]
    again = client.get(path, headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("made-up/table1/report?tier=ful", 404),
        ("made-up/table9/report?tier=full", 404),
        ("made-up/table1/report", 422),
        ("made-up/table1/report?tier=full&format=pdf", 422),
        ("made-up/table1/figure?tier=full", 404),
    ],
)
def test_what_there_is_not_is_told(client: httpx.Client, path: str, status: int) -> None:
    assert client.get(f"/api/v1/suites/{path}").status_code == status


def test_markdown_has_the_claims_first_and_a_table_a_board(client: httpx.Client) -> None:
    lines = text(client, "markdown").splitlines()
    assert lines.index("## Claims") < lines.index("## Numbers")
    assert "| ✓ **supported** | ReinMax has the lowest loss. | page 7 | &gt; 99.9 % | 2 of 2 boards |" in (
        "\n".join(lines)
    )
    assert "| Straight-through | τ 1 · Adam 1e−3 | 3 of 3 | 11.0 ± 1.0 | 8.5 to 13.5 |" in "\n".join(lines)
    for heading in (line for line in lines if line.startswith("| Estimator")):
        start = lines.index(heading)
        columns = heading.count("|")
        rows = [line for line in lines[start : lines.index("", start)]]
        assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {columns}


@pytest.mark.parametrize("format", ["markdown", "latex"])
def test_a_known_level_says_why_it_is_not_comparable(client: httpx.Client, format: str) -> None:
    reason = "Not comparable: a known level, nothing that was measured."
    assert reason in text(client, format)
    assert reason in page(client, "/suites/made-up/table1?tier=full")


def test_latex_is_a_document_with_booktabs_tables(client: httpx.Client) -> None:
    source = text(client, "latex")
    nodes, _, _ = LatexWalker(source, tolerant_parsing=False).get_latex_nodes()
    (document,) = [node for node in nodes if isinstance(node, LatexEnvironmentNode)]
    tables = [node for node in document.nodelist if isinstance(node, LatexEnvironmentNode)]
    assert [node.environmentname for node in tables] == ["longtable"] * 3 + ["itemize"] * 2
    assert source.count("\\toprule") == source.count("\\bottomrule") == 3
    assert "\\textbf{2.0} " in source  # the best in bold


@pytest.fixture
def hostile(database: Engine, suites: Path, tmp_path: Path) -> httpx.Client:
    """As ``client``, of a paper whose texts are hostile."""
    quoted = f"'{HOSTILE}'"
    table = TABLE.replace("label: Table 1", "label: '<b>Table 1</b>'")
    for plain in (
        "ReinMax has the lowest loss.",
        "Final loss",
        "Nothing is trained here.",
        "Successive halving.",
    ):
        table = table.replace(plain, quoted)
    table = table.replace("[The title of the table is wrong.]", f"[{quoted}]")
    changed = {
        "table1.yaml": table,
        "suite.yaml": SUITE.replace("A paper of our own", quoted).replace("Ada Example", quoted),
        "numbers.csv": NUMBERS.replace("printed as 40", f'"{HOSTILE}"'),
    }
    write_suite(suites, changed=changed)
    compute_tier(database, "made-up/table1", "full")
    return browser_of(application(database, tmp_path))


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


@pytest.mark.parametrize("path", ["/suites", "/suites/made-up/table1?tier=full"])
def test_hostile_text_is_text_on_pages(hostile: httpx.Client, path: str) -> None:
    answer = hostile.get(path, headers={"Accept": "text/html"})
    assert answer.status_code == 200
    tags = Tags(answer.text)
    assert "script" not in tags.names
    assert HOSTILE in tags.text


def test_hostile_text_is_text_in_markdown(hostile: httpx.Client) -> None:
    source = text(hostile, "markdown")
    assert "<script" not in source
    assert "<b>" not in source
    (row,) = [line for line in source.splitlines() if line.startswith("| ✓ **supported**")]
    assert len(re.findall(r"(?<!\\)\|", row)) == 7  # no bar of the text is one of the table
    assert r"\*\*y\*\* \_z\_ \$\\frac{1}{0}\$" in row


def test_hostile_text_is_text_in_latex(hostile: httpx.Client) -> None:
    source = text(hostile, "latex")
    assert "\\input{secret}" not in source
    assert "\\frac" not in source
    assert "100\\% \\#1 \\& " in source
    LatexWalker(source, tolerant_parsing=False).get_latex_nodes()


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex: texlive-latex-recommended")
def test_latex_compiles(hostile: httpx.Client, tmp_path: Path) -> None:
    for tier in ("full", "budget"):
        (tmp_path / "report.tex").write_text(text(hostile, "latex", tier), encoding="utf-8")
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "report.tex"]
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
        assert result.returncode == 0, result.stdout.decode(errors="replace")[-2000:]


@pytest.mark.parametrize("exhibit", ["figure1", "figure2"])
@pytest.mark.parametrize(("format", "start"), [("svg", b"<?xml"), ("png", b"\x89PNG")])
def test_figures_are_drawn_the_same_again(
    client: httpx.Client, exhibit: str, format: str, start: bytes
) -> None:
    path = f"/api/v1/suites/made-up/{exhibit}/figure?tier=full&format={format}"
    first, dark = client.get(path), client.get(f"{path}&scheme=dark")
    assert first.content.startswith(start)
    assert first.headers["etag"] == client.get(path).headers["etag"] != dark.headers["etag"]
    if format == "svg":
        reinmax = marks(["reinmax"])["reinmax"]  # has the colour that it has on every page
        assert reinmax.light.encode() in first.content
        assert reinmax.dark.encode() in dark.content
        assert b"<text" not in first.content


def test_a_web_process_that_drew_nothing_has_no_matplotlib() -> None:
    code = "import sys, service.app; print('matplotlib' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


def test_the_page_of_a_report_has_verdicts_in_words_and_the_rest(client: httpx.Client) -> None:
    found = page(client, "/suites/made-up/table1?tier=full")
    for words in (
        "✓ supported on 2 of 2 boards",
        "✗ contradicted",
        "– not tried",
        "Straight-through τ 1 · Adam 1e−3 11.0 ± 1.0 8.5 to 13.5 3 of 3",
        "✗ not reproduced",
        "Slip in print: printed as 40.",
        "Published, but not computed in this tier: Gapped straight-through 2.5000, Table 1.",
        "The title of the table is wrong.",
        "heunboard reproduce made-up/table1 --tier full",
    ):
        assert words in found
    assert found.index("What the paper says") < found.index("Polynomial p = 2")


def test_the_page_of_a_figure_has_its_picture_on_both_grounds(client: httpx.Client) -> None:
    source = client.get("/suites/made-up/figure1", headers={"Accept": "text/html"}).text
    (dark,) = re.findall(r'<source srcset="([^"]*)"', source)
    (light,) = re.findall(r'<img class="figure" src="([^"]*)"', source)
    for address in (dark, light):
        assert client.get(address.replace("&amp;", "&")).headers["content-type"] == "image/svg+xml"
    assert (
        'alt="Figure 1: Loss over training. 2 panels, Expected loss of ReinMax, Straight-through."' in source
    )


def test_the_page_of_a_report_without_results(database: Engine, suites: Path, tmp_path: Path) -> None:
    write_suite(suites)
    client = browser_of(application(database, tmp_path))
    assert "0 of 18 trials have ended" in page(client, "/suites/made-up/table1?tier=full")
    assert "0 of 18 trials have ended" in page(client, "/suites/made-up/figure2")
    assert "not tried: smoke (3 trials), full (18 trials)" in page(client, "/suites")


def test_the_list_counts_verdicts(client: httpx.Client) -> None:
    found = page(client, "/suites")
    assert (
        "full 18 of 18 ✓ 1 supported ✗ 1 contradicted – 1 not tried ✓ 1 reproduced ✗ 1 not reproduced"
        in found
    )
    assert "Bridging Discrete and Backpropagation" in found
