"""Boards as files: CSV, Markdown, LaTeX, BibTeX, tidy tables, pictures, and a page without a server."""

from __future__ import annotations

import csv
import io
import math
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

from estimators import registry as estimators
from estimators.info import Citation
from service.api import board_texts
from service.api.downloads import disposition, file_name
from service.resources import board_figures, board_tables, boards, citations, tables, tidy
from service.resources.board_schemas import Board
from service.resources.tables import Column, Table, csv_blocks, csv_lines, harmless, parquet_blocks
from service.storage import migrations
from tests.support.databases import engine_of
from tests.support.scores import Scores, score
from tests.support.sweeps import small_sweep
from tests.support.web import application, browser_of, fail

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

REINMAX = [4.0, 5.0, 6.0, 7.0, 8.0, 9.0]
ST = [4.1, 4.9, 6.1, 6.9, 8.1, 8.9]
"""Ties with ReinMax."""
GST = [9.0, 10.0, 11.0, 12.0, 13.0, None]
"""Is worse; one seed fails."""
OTHER_TASK = {"id": "polynomial", "latents": 8, "epochs": 2, "steps_per_epoch": 5}
HOSTILE = r"=HYPERLINK(1) <script>alert(1)</script> | `x` **y** $\frac{1}{0}$ \input{secret} 100% #1 & ~^ { é"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with engine_of(f"sqlite:///{tmp_path / 'files.sqlite'}") as engine:
        migrations.upgrade(engine)
        yield engine


@pytest.fixture
def id(engine: Engine) -> str:
    """A board of three estimators, one of them at two temperatures, and one that failed."""
    scores: Scores = {("reinmax", 1.0): REINMAX, ("st", 1.0): ST, ("st", 2.0): GST, ("gst", 1.0): GST}
    id = score(engine, scores)
    fail(engine, small_sweep(name="bad", estimators=["stgs"], seeds=2), error="boom", traceback="")
    return id


@pytest.fixture
def http(engine: Engine) -> httpx.Client:
    return browser_of(application(engine))


def text(http: httpx.Client, path: str) -> str:
    answer = http.get(f"/api/v1/boards/{path}")
    assert answer.status_code == 200, answer.text
    return answer.content.decode()


def lines(source: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(source, newline="")))


def test_csv_has_a_line_for_each_estimator_and_metric(http: httpx.Client, id: str) -> None:
    found = lines(text(http, f"{id}?format=csv"))
    assert [(line["estimator"], line["metric"]) for line in found] == [
        ("reinmax", "expected_loss"),
        ("reinmax", "train_loss"),
        ("st", "expected_loss"),
        ("st", "train_loss"),
        ("gst", "expected_loss"),
        ("gst", "train_loss"),
        ("stgs", ""),
    ]
    reinmax, gst, failed = found[0], found[4], found[6]
    assert (reinmax["n"], float(reinmax["mean"]), float(reinmax["median"])) == ("6", 6.5, 6.5)
    assert reinmax["seeds"] == "0:4.0 1:5.0 2:6.0 3:7.0 4:8.0 5:9.0"
    assert (reinmax["parameters"], reinmax["optimizer"], reinmax["lr"]) == (
        "temperature=1.0",
        "adam",
        "0.001",
    )
    assert (reinmax["rank_low"], reinmax["rank_high"], reinmax["tied_with_best"]) == ("1", "2", "True")
    assert reinmax["to_best"] == ""
    # Common seeds 0 to 4: 9 to 13 less 4 to 8.
    assert (float(gst["to_best"]), gst["n"], gst["seeds_wanted"]) == (5.0, "5", "6")
    assert found[2]["settings_tried"] == "2"
    assert "boom" in failed["unranked"] or "failed" in failed["unranked"]


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ('=HYPERLINK("http://x")', '\'=HYPERLINK("http://x")'),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@x", "'@x"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("＝1", "'＝1"),
        ("ReinMax", "ReinMax"),
        ("a=1", "a=1"),
        ("", ""),
    ],
)
def test_names_are_harmless_in_spreadsheets(name: str, safe: str) -> None:
    assert harmless(name) == safe
    ((read_back,),) = csv.reader(io.StringIO(csv_lines([[name]]), newline="")) if name else (("",),)
    assert read_back == safe


def test_numbers_below_zero_stay_numbers() -> None:
    assert csv_lines([[-1.5, -2, None, math.inf]]) == "-1.5,-2,,inf\r\n"


def test_a_hostile_error_is_harmless_in_the_table_of_trials(http: httpx.Client, id: str) -> None:
    found = lines(text(http, f"{id}/trials"))
    assert {line["error"] for line in found if line["state"] == "failed"} == {"'=1+1", "boom"}


def test_trials_are_tidy(http: httpx.Client, id: str) -> None:
    found = lines(text(http, f"{id}/trials"))
    assert len(found) == 4 * 6 + 2
    (one,) = [
        t for t in found if (t["estimator"], t["estimator.temperature"], t["seed"]) == ("st", "1.0", "2")
    ]
    assert (one["state"], one["metric.expected_loss"], one["metric.train_loss"]) == (
        "succeeded",
        "6.1",
        "12.2",
    )
    assert (one["task.latents"], one["shown"], one["lr"]) == ("4", "True", "0.001")
    # 0.5 s over 2 epochs of 5 steps.
    assert (one["steps"], one["seconds_per_step"], one["evaluations_per_step"]) == ("10", "0.05", "3")
    shown = lines(text(http, f"{id}/trials?cells=shown"))
    assert len(shown) == 3 * 6
    assert {line["shown"] for line in shown} == {"True"}
    assert {line["estimator.temperature"] for line in shown if line["estimator"] == "st"} == {"1.0"}


def test_curves_are_tidy(http: httpx.Client, id: str) -> None:
    found = lines(text(http, f"{id}/curves?cells=shown"))
    reinmax = [line for line in found if line["estimator"] == "reinmax" and line["seed"] == "1"]
    assert [(line["metric"], line["epoch"], line["value"]) for line in reinmax] == [
        ("expected_loss", "1", "9.0"),
        ("expected_loss", "2", "5.0"),
    ]
    assert [(line["steps"], line["evaluations"]) for line in reinmax] == [("5", "15"), ("10", "30")]
    assert {line["trial"] for line in found} <= {line["trial"] for line in lines(text(http, f"{id}/trials"))}


def test_tables_are_made_in_pieces(engine: Engine, id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = "".join(csv_blocks(tidy.trials_table(tidy.source(engine, id, select=None, cells="all"))))
    monkeypatch.setattr(tidy, "TRIALS", 7)
    monkeypatch.setattr(tidy, "CELLS", 2)
    pieces = list(csv_blocks(tidy.trials_table(tidy.source(engine, id, select=None, cells="all"))))
    assert len(pieces) == 1 + 5  # the header, and every cell on its own: each has six trials, the last two
    assert "".join(pieces) == whole


def test_parquet_reads_back(http: httpx.Client, id: str) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    answer = http.get(f"/api/v1/boards/{id}/trials?format=parquet")
    assert answer.headers["content-type"] == "application/vnd.apache.parquet"
    table = parquet.read_table(io.BytesIO(answer.content))
    rows = table.to_pylist()
    assert len(rows) == 26
    assert {row["metric.expected_loss"] for row in rows if row["estimator"] == "reinmax"} == set(REINMAX)
    assert str(table.schema.field("estimator.temperature").type) == "double"
    assert [row["error"] for row in rows if row["estimator"] == "gst"] == [None] * 5 + ["=1+1"]
    curves = parquet.read_table(io.BytesIO(http.get(f"/api/v1/boards/{id}/curves?format=parquet").content))
    assert curves.num_rows == 24 * 2


def test_parquet_keeps_what_is_not_finite_and_what_is_missing() -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = (Column("a", "number"), Column("b", "text"), Column("c", "integer"), Column("d", "truth"))
    blocks: list[list[tables.Row]] = [[[math.inf, "x", 1, True]], [[None, None, None, None]], []]
    content = b"".join(parquet_blocks(Table(columns, iter(blocks))))
    file = parquet.ParquetFile(io.BytesIO(content))
    assert file.read().to_pylist() == [
        {"a": math.inf, "b": "x", "c": 1, "d": True},
        {"a": None, "b": None, "c": None, "d": None},
    ]


def test_without_pyarrow_parquet_says_what_to_install(
    http: httpx.Client, id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    answer = http.get(f"/api/v1/boards/{id}/trials?format=parquet")
    assert answer.status_code == 501
    assert "pip install 'heunboard[parquet]'" in answer.json()["detail"]


def test_markdown_has_ranks_ties_in_bold_and_those_without_a_rank(http: httpx.Client, id: str) -> None:
    source = text(http, f"{id}?format=markdown")
    # sd sqrt(3.5) = 1.87, interval 2.5706 * sd / sqrt(6) = 1.96
    assert "| 1–2 | ReinMax | τ 1 · Adam 1e−3 | **6.5** ± 1.9 |" in source
    assert "| 1–2 | Straight-through | τ 1 · Adam 1e−3 | **6.5** ± 1.8 |" in source
    assert re.search(r"\| 3 \| Gapped straight-through \| .*\| 11\.0 ± 1\.6 \|", source)
    assert re.search(r"^- Straight-through Gumbel-softmax: .*", source, re.MULTILINE)
    rows = [line for line in source.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {rows[0].count("|")}


def test_latex_is_a_booktabs_table_with_caption_and_label(http: httpx.Client, id: str) -> None:
    source = text(http, f"{id}?format=latex")
    nodes, _, _ = LatexWalker(source, tolerant_parsing=False).get_latex_nodes()
    (table,) = [node for node in nodes if isinstance(node, LatexEnvironmentNode)]
    assert table.environmentname == "table"
    assert f"\\label{{tab:heunboard-{id[:8]}}}" in source
    assert "\\caption{Polynomial p = 2" in source
    assert source.count("\\toprule") == source.count("\\midrule") == source.count("\\bottomrule") == 1
    bold = re.findall(r"\\textbf\{([^}]*)\}", source)
    assert bold[0] == "6.5"
    assert source.count("\\textbf{6.5}") >= 2  # both that tie
    assert "\\textbf{11.0}" not in source


def test_a_caption_speaks_of_intervals_of_ranks_where_there_is_one(engine: Engine, id: str) -> None:
    assert board_tables.table(boards.show_board(engine, id)).caption.endswith("Ranks are intervals.")
    apart = [value + 100 for value in REINMAX]
    sure = score(engine, {("reinmax", 1.0): REINMAX, ("st", 1.0): apart}, task=OTHER_TASK, name="apart")
    table = board_tables.table(boards.show_board(engine, sure))
    assert [row.rank for row in table.rows] == ["1", "2"]
    assert table.caption.endswith("Holm).")


@pytest.fixture
def hostile(engine: Engine, id: str) -> Board:
    """A board on which every text is hostile."""
    board = boards.show_board(engine, id)
    row = board.rows[0].model_copy(update={"title": HOSTILE})
    unranked = board.unranked[0].model_copy(update={"title": HOSTILE, "reason": HOSTILE})
    metric = board.metrics[0].model_copy(update={"title": HOSTILE, "unit": "%"})
    changed = {"title": HOSTILE, "rows": [row, *board.rows[1:]], "unranked": [unranked]}
    return board.model_copy(update=changed | {"metrics": [metric, *board.metrics[1:]]})


def test_hostile_texts_are_text(hostile: Board) -> None:
    latex, markdown = board_texts.latex(hostile), board_texts.markdown(hostile)
    assert "\\input{secret}" not in latex
    assert "\\frac" not in latex
    assert "100\\% \\#1 \\& " in latex
    LatexWalker(latex, tolerant_parsing=False).get_latex_nodes()
    assert "<script" not in markdown
    assert r"\*\*y\*\*" in markdown
    page = board_texts.html(hostile)
    assert "<script" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex: texlive-latex-recommended")
def test_latex_compiles(hostile: Board, http: httpx.Client, id: str, tmp_path: Path) -> None:
    packages = "\\usepackage[T1]{fontenc}\\usepackage{booktabs,textcomp,amssymb}"
    for source in (board_texts.latex(hostile), text(http, f"{id}?format=latex")):
        whole = f"\\documentclass{{article}}{packages}\\begin{{document}}\n{source}\\end{{document}}\n"
        (tmp_path / "board.tex").write_text(whole, encoding="utf-8")
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "board.tex"]
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
        assert result.returncode == 0, result.stdout.decode(errors="replace")[-2000:]


def test_bibtex_cites_everything_once(http: httpx.Client, id: str) -> None:
    source = text(http, f"{id}?format=bibtex")
    keys = re.findall(r"^@\w+\{([^,]+),", source, re.MULTILINE)
    assert keys[0] == "heunboard"
    assert len(set(keys)) == len(keys)
    wanted = {estimators.get(name).citation.key for name in ("reinmax", "st", "gst")}
    assert wanted <= set(keys)
    assert id in source
    titles = re.findall(r"^\s*title\s*= \{+(.*?)\}+,?$", source, re.MULTILINE)
    assert len({title.lower() for title in titles}) == len(
        titles
    )  # a suite's entry of the same paper is none
    assert source.count("{") == source.count("}")


def test_equal_keys_of_different_publications_stay_apart() -> None:
    one = Citation(key="a2020", authors="A", title="One", venue="V", year=2020).bibtex()
    two = Citation(key="a2020", authors="A", title="Two", venue="V", year=2020).bibtex()
    first, second = citations._distinct([one, two, one])
    assert first.startswith("@inproceedings{a2020,")
    assert second.startswith("@inproceedings{a20202,")


@pytest.mark.parametrize("kind", board_figures.KINDS)
@pytest.mark.parametrize(("format", "start"), [("svg", b"<?xml"), ("png", b"\x89PNG")])
def test_figures_are_drawn_the_same_again(
    http: httpx.Client, id: str, kind: str, format: str, start: bytes
) -> None:
    path = f"/api/v1/boards/{id}/figure?kind={kind}&format={format}"
    answer = http.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.content.startswith(start)
    assert answer.headers["etag"] == http.get(path).headers["etag"]
    assert answer.headers["etag"] != http.get(f"{path}&scheme=dark").headers["etag"]


def test_the_cost_figure_has_a_panel_for_time_and_one_for_evaluations(engine: Engine, id: str) -> None:
    picture = board_figures.picture(boards.show_board(engine, id), "cost")
    seconds, evaluations = picture.panels
    assert [(point.estimator, point.cost, point.mean) for point in evaluations.points] == [
        ("reinmax", 3, 6.5),
        ("st", 3, 6.5),
        ("gst", 3, 11.0),
    ]
    assert {point.cost for point in seconds.points} == {0.05}


def test_the_sensitivity_figure_has_a_panel_for_each_number(engine: Engine) -> None:
    """Temperature 0.5 gives 1 and 3: mean 2, half of its interval 12.7 * sqrt(2) / sqrt(2)."""
    id = score(engine, {("st", 0.5): [1.0, 3.0], ("st", 1.0): [4.0, 6.0], ("gst", 1.0): [5.0, 7.0]})
    (panel,) = board_figures.picture(boards.show_board(engine, id), "sensitivity").panels
    (trace,) = panel.traces
    assert (panel.title, panel.log_across) == ("temperature", False)
    assert (trace.estimator, trace.at, trace.means) == ("st", (0.5, 1.0), (2.0, 5.0))
    assert trace.halves == pytest.approx((12.706, 12.706), abs=1e-3)


def test_a_figure_that_a_board_lacks_is_not_found(engine: Engine, http: httpx.Client) -> None:
    id = score(engine, {("st", 1.0): [1.0, 2.0]})
    answer = http.get(f"/api/v1/boards/{id}/figure?kind=heatmap")
    assert answer.status_code == 404
    assert "fewer than two temperatures" in answer.json()["detail"]


class Outside(HTMLParser):
    """Addresses that a page refers to."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [
            v or "" for name, v in attrs if name in ("src", "href", "srcset", "action", "data")
        ]


def test_the_static_file_refers_to_nothing(http: httpx.Client, id: str) -> None:
    source = text(http, f"{id}?format=html")
    addresses = Outside(source).addresses
    assert len(addresses) == 2 * len(board_figures.KINDS)  # pictures, light and dark
    assert all(address.startswith("data:image/svg+xml;base64,") for address in addresses)
    assert "@import" not in source
    assert "url(" not in source
    assert "<script" not in source
    assert "@inproceedings{liu2023reinmax," in source


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium on the PATH: apt-get install chromium")
def test_the_static_file_opens_without_a_server(http: httpx.Client, id: str, tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    file = tmp_path / "board.html"
    file.write_text(text(http, f"{id}?format=html"), encoding="utf-8")
    asked: list[str] = []
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 390, "height": 800})
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.goto(file.as_uri())
        assert page.locator("tbody tr").count() == 3
        drawn = "all => all.map(e => e.complete && e.naturalWidth > 100)"
        assert page.locator("img").evaluate_all(drawn) == [True] * len(board_figures.KINDS)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        browser.close()
    assert [url for url in asked if not url.startswith("data:")] == [file.as_uri()]
    assert complaints == []


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("board.csv", 'attachment; filename="board.csv"'),
        ("Größe.csv", "attachment; filename=\"Gro_e.csv\"; filename*=UTF-8''Gr%C3%B6%C3%9Fe.csv"),
        ("盤.csv", "attachment; filename=\"_.csv\"; filename*=UTF-8''%E7%9B%A4.csv"),
        ('a"b\\c.csv', 'attachment; filename="a_b_c.csv"'),
        ("a\r\nX: 1.csv", 'attachment; filename="a__X: 1.csv"'),
    ],
)
def test_names_of_files_in_any_script(name: str, header: str) -> None:
    assert disposition(name) == header


def test_a_file_is_named_by_its_board() -> None:
    assert file_name("Größe p = 2, L/4", "1234567890", "trials", "csv") == "Größe-p-2-L-4-trials-12345678.csv"


@pytest.mark.parametrize("what", ["?format=csv", "?format=latex", "/trials", "/curves"])
def test_downloads_say_their_name(http: httpx.Client, id: str, what: str) -> None:
    header = http.get(f"/api/v1/boards/{id}{what}").headers["content-disposition"]
    assert re.match(rf'attachment; filename="Polynomial-p-2-.*{id[:8]}\.\w+"', header)


@pytest.mark.parametrize("what", ["?format=csv", "/trials", "/figure?kind=curves", "?format=html"])
def test_there_is_nothing_of_a_board_that_is_none(http: httpx.Client, what: str) -> None:
    assert http.get(f"/api/v1/boards/none{what}").status_code == 404


def test_a_board_without_results_has_files_too(engine: Engine, http: httpx.Client) -> None:
    fail(engine, small_sweep(), error="boom", traceback="")
    (link,) = http.get("/api/v1/boards").json()["boards"]
    for format in ("csv", "markdown", "latex", "bibtex", "html"):
        assert text(http, f"{link['id']}?format={format}")
    assert len(lines(text(http, f"{link['id']}/trials"))) == 6


def test_the_formats_are_documented(http: httpx.Client) -> None:
    paths: dict[str, Any] = http.get("/openapi.json").json()["paths"]
    answers = paths["/api/v1/boards/{id}"]["get"]["responses"]["200"]["content"]
    assert {"application/json", "text/csv", "text/markdown", "application/x-latex", "text/html"} <= set(
        answers
    )
    trials = paths["/api/v1/boards/{id}/trials"]["get"]["responses"]["200"]["content"]
    assert "application/vnd.apache.parquet" in trials


def test_the_table_is_what_the_board_says(engine: Engine, id: str) -> None:
    board = boards.show_board(engine, id)
    table = board_tables.table(board)
    assert [row.title for row in table.rows] == [row.title for row in board.rows]
    assert [one.best for one in (row.numbers[0] for row in table.rows)] == [True, True, False]
