"""docs/how-to/adding-a-suite.md, followed: its files make a suite."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from benchmarks.suites import published, reading, schema
from benchmarks.suites.reading import Suite
from benchmarks.sweep import SpecError

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "adding-a-suite.md"
FILE = re.compile(r"^`(?P<path>[\w./-]+)`:\n\n```\w+\n(?P<text>.*?)^```", flags=re.DOTALL | re.MULTILINE)
Change = Callable[[str], str]


@pytest.fixture
def follow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Suite]:
    """Write the page's files, some of them changed, and read the suite."""

    def write(**changed: tuple[str, str]) -> Suite:
        for match in FILE.finditer(PAGE.read_text(encoding="utf-8")):
            path = tmp_path / match["path"]
            path.parent.mkdir(exist_ok=True)
            old, new = changed.get(path.stem, ("", ""))
            assert old in match["text"]
            path.write_text(match["text"].replace(old, new, 1) if old else match["text"], encoding="utf-8")
        monkeypatch.setenv(reading.FOLDERS, str(tmp_path))
        reading.read.cache_clear()
        return reading.get("doe-2024")

    return write


def test_the_suite_of_the_page_has_its_sweeps(follow: Callable[..., Suite]) -> None:
    exhibit = follow().exhibits["table1"]
    assert [sweep.count() for sweep in exhibit.sweeps("full")] == [25, 25]
    (smoke,) = exhibit.sweeps("smoke")
    (board,) = smoke.boards()
    assert smoke.count() == 5
    assert (board.values["setting"], board.values["epochs"], board.values["latents"]) == ("A", 1, 16)
    assert exhibit.name == "doe-2024/table1"
    assert (smoke.metric, smoke.report) == ("expected_loss", ("expected_loss",))


def test_its_numbers_stand_beside_its_boards(follow: Callable[..., Suite]) -> None:
    suite = follow()
    exhibit = suite.exhibits["table1"]
    equal, spread = [next(sweep.boards()) for sweep in exhibit.sweeps("full")]
    found = {one.estimator: one for one in published.of(suite, exhibit, equal)}
    assert (found["st"].mean, found["st"].sd, found["st"].n) == (0.2481, 0.0004, 5)
    assert found["reinmax"].comparable == ""
    assert found["reinmax"].source == "Doe, Learning bits, 2024, Table 1"
    slips = {one.estimator: one.slip for one in published.of(suite, exhibit, spread)}
    assert slips == {"st": "", "reinmax": "a zero is missing: the text has 0.0859"}
    (short,) = [next(sweep.boards()) for sweep in exhibit.sweeps("smoke")]
    assert {one.comparable for one in published.of(suite, exhibit, short)} == {
        "published after 10 epochs, here 1"
    }


def test_the_page_explains_every_key() -> None:
    text = PAGE.read_text(encoding="utf-8")
    sections = [
        one for one in vars(schema).values() if isinstance(one, type) and issubclass(one, schema.Section)
    ]
    keys = {key for one in sections for key in one.model_fields}
    assert {key for key in keys if f"`{key}`" not in text} == set()


@pytest.mark.parametrize(
    ("file", "old", "new", "place", "message", "suggestion"),
    [
        ("suite", "venue:", "venues:", "/venues", "unknown key 'venues'", "venue"),
        ("table1", "sentence: Str", "sentense: Str", "/claims/1/sentense", "unknown key", "sentence"),
        (
            "table1",
            "changes: Equal",
            "change: Equal",
            "/tiers/smoke/changes",
            "is missing; it is: what",
            None,
        ),
        ("table1", "value: 0.005", "value: -1", "/margins/expected_loss/value", "greater than 0", None),
        ("table1", "sweeps: grid", "sweeps: gird", "/tiers/smoke/sweeps", "list of sweeps 'gird'", "grid"),
        ("table1", "task: polynomial", "task: polynom", "/published/0/task", "task 'polynom'", "polynomial"),
        ("table1", "same: [p,", "same: [pp,", "/published/0/same", "parameter of polynomial 'pp'", "p"),
        ("table1", "estimator: st,", "estimator: str,", "/claims/1/tests/0/estimator", "'str'", "st"),
        (
            "table1",
            "file: bits.csv",
            "file: bit.csv",
            "/published/0/file",
            "has no file 'bit.csv'",
            "bits.csv",
        ),
        ("table1", "file: bits.csv", "file: do/bits.csv", "/published/0/file", "no suite 'do'", None),
        ("table1", 'table: "1"', 'table: "2"', "/published/0/where", "no row of bits.csv", None),
        ("table1", "[{kind: best,", "[{kind: bets,", "/claims/0/tests/0/kind", "unknown word 'bets'", "best"),
        ("table1", "  smoke:", "  smok:", "/tiers/smok", "unknown word 'smok'", "smoke"),
        (
            "table1",
            "setting: A}, {p",
            "seting: A}, {p",
            "/sweeps/grid/0/boards/0/seting",
            "'seting'",
            "setting",
        ),
        ("table1", "latents: 16, b", "latent: 16, b", "/sweeps/grid/0/task/latent", "'latent'", "latents"),
        ("table1", "{id: st, te", "{id: stt, te", "/sweeps/grid/0/estimators/0/id", "'stt'", "st"),
        (
            "table1",
            "st, temperature",
            "st, temprature",
            "/sweeps/grid/0/estimators/0/temprature",
            "",
            "temperature",
        ),
        ("table1", "seeds: 5\n", "seds: 5\n", "/sweeps/grid/0/seds", "unknown key 'seds'", "seeds"),
        ("table1", "seeds: 1}", "seds: 2}", "/tiers/smoke/set/seds", "unknown key 'seds'", "seeds"),
        ("table1", "{epochs: 1}", "{epoch: 1}", "/tiers/smoke/set/task/epoch", "'epoch'", "epochs"),
        ("table1", "{task: {epochs: 1}", "{task: [1]", "/tiers/smoke/set/task", "must be a mapping", None),
        (
            "table1",
            "boards: [{p: 2, setting: A}, {p: 2, setting: B}]",
            "boards: {p: 2}",
            "/sweeps/grid/0/boards",
            "must be a list",
            None,
        ),
        ("table1", "only: [{setting: A", "only: [{setting: C", "/tiers/smoke/only/0", "has setting C", None),
        ("table1", "only: [{setting", "only: [{seting", "/tiers/smoke/only/0", "'seting'", "setting"),
        ("table1", "seeds: [1, 2, 5]", "seeds: [1, 5, 2]", "/tiers/budget/halving/seeds", "must rise", None),
        (
            "table1",
            "select: expected_loss",
            "select: expected_los",
            "/select",
            "'expected_los'",
            "expected_loss",
        ),
        ("table1", "report: [expected_loss", "report: [expected_los", "/report/0", "", "expected_loss"),
        (
            "table1",
            "metric: expected_loss, estimator: st",
            "metric: expected_los, estimator: st",
            "/claims/1/tests/0/metric",
            "unknown metric 'expected_los'",
            "expected_loss",
        ),
        (
            "table1",
            "  expected_loss:\n",
            "  expected_los:\n",
            "/margins/expected_los",
            "under `report`",
            "expected_loss",
        ),
        (
            "table1",
            "boards: [{setting: A}]}",
            "boards: [{setting: C}]}",
            "/claims/0/tests/0/boards/0",
            "no board of any tier has setting C",
            None,
        ),
        (
            "table1",
            "boards: [{setting: A}]}",
            "boards: [{seting: A}]}",
            "/claims/0/tests/0/boards/0",
            "'seting'",
            "setting",
        ),
        ("table1", "low: stall", "low: stal", "/claims/1/tests/0/low", "no level 'stal'", "stall"),
        ("table1", "low: stall, high: stall,", "", "/claims/1/tests/0", "needs low or high", None),
        (
            "table1",
            "metric: train_loss",
            "metric: trian_loss",
            "/figure/metric",
            "'trian_loss'",
            "train_loss",
        ),
        ("table1", "panels: [setting]", "panels: [seting]", "/figure/panels/0", "'seting'", "setting"),
        ("table1", "kind: curves", "kind: curve", "/figure/kind", "unknown word 'curve'", "curves"),
        ("table1", "kind: curves\n", "kind: curves\n  on: sst\n", "/figure/on", "exhibit 'sst'", "st"),
        ("table1", "kind: curves\n", "kind: curves\n  on: st\n", "/figure/on", "no diagnostic metric", None),
        (
            "table1",
            "tests: [{kind: best,",
            "on: reinmax\n    tests: [{kind: best,",
            "/claims/0/on",
            "no diagnostic metric",
            None,
        ),
        ("table1", "levels: [optimum", "levels: [optimun", "/figure/levels/0", "'optimun'", "optimum"),
        ("bits", "16,st,expected_loss", "16,sst,expected_loss", "/published/0", "bits.csv, line 2", "st"),
        ("bits", "st,expected_loss", "st,expected_los", "/published/0", "bits.csv, line 2", "expected_loss"),
        ("suite", "  polynomial:", "  polynomal:", "/words/polynomal", "unknown task", "polynomial"),
        ("suite", "    setting:", "    seting:", "/words/polynomial/seting", "", "setting"),
        ("bits", "latents,", "latent,", "/published/0", "column of bits.csv 'latents'", "latent"),
        ("bits", "0.2481", "o.2481", "/published/0", "bits.csv, line 2: mean must be a number", None),
    ],
)
def test_mistakes_are_told_with_their_place_and_the_nearest_name(
    follow: Callable[..., Suite],
    tmp_path: Path,
    file: str,
    old: str,
    new: str,
    place: str,
    message: str,
    suggestion: str | None,
) -> None:
    with suppress(SpecError):  # of suite.yaml, which no exhibit can do without
        follow(**{file: (old, new)})
    (error,) = reading.mistakes(tmp_path / "doe-2024")
    assert error.source == f"doe-2024/{'suite' if file == 'suite' else 'table1'}.yaml"
    (issue,) = [one for one in error.issues if one.path == place]
    assert message in issue.message
    assert issue.suggestion == suggestion


def test_everything_is_told_at_once(follow: Callable[..., Suite], tmp_path: Path) -> None:
    with pytest.raises(SpecError):
        follow(suite=("venue:", "venues:"), table1=("select: expected_loss", "select: expected_los"))
    places = {
        (one.source, issue.path) for one in reading.mistakes(tmp_path / "doe-2024") for issue in one.issues
    }
    assert places == {
        ("doe-2024/suite.yaml", "/venue"),
        ("doe-2024/suite.yaml", "/venues"),
        ("doe-2024/table1.yaml", "/select"),
    }


def test_an_exhibit_that_cannot_be_used_leaves_the_others(
    follow: Callable[..., Suite], tmp_path: Path
) -> None:
    follow()
    text = (tmp_path / "doe-2024/table1.yaml").read_text()
    (tmp_path / "doe-2024/table2.yaml").write_text(text.replace("estimator: st,", "estimator: str,"))
    suite = follow(suite=("[table1]", "[table1, table2, table3]"))
    assert list(suite.exhibits) == ["table1"]
    assert {id: error.issues[0].path for id, error in suite.broken.items()} == {
        "table2": "/claims/1/tests/0/estimator",
        "table3": "",
    }
    with pytest.raises(SpecError, match="'str'"):
        reading.exhibit("doe-2024/table2")


def test_a_list_of_another_exhibit_is_told_where_it_is_written(
    follow: Callable[..., Suite], tmp_path: Path
) -> None:
    follow()
    (tmp_path / "doe-2024/table2.yaml").write_text(
        "title: T\nwhere: W\nabout: A\nsweeps_of: table1\nselect: expected_loss\nreport: [expected_loss]\n"
        "tiers: {full: {sweeps: grid, changes: ''}}\n"
    )
    suite = follow(suite=("[table1]", "[table1, table2]"), table1=("{id: st, te", "{id: stt, te"))
    (issue,) = suite.broken["table2"].issues
    assert (issue.path, issue.suggestion) == ("/sweeps_of", "st")
    assert issue.message.startswith("table1.yaml, /sweeps/grid/0/estimators/0/id: no estimator 'stt'")


def test_boards_are_shown_without_the_numbers_of_a_broken_suite(
    follow: Callable[..., Suite], caplog: pytest.LogCaptureFixture
) -> None:
    board = next(reading.exhibit("reinmax-2023/figure1").sweeps("full")[0].boards())
    with pytest.raises(SpecError):
        follow(suite=("venue:", "venues:"))
    published.readable.cache_clear()
    try:
        assert {one.exhibit.partition("/")[0] for one in published.references.__wrapped__(board)} <= {
            "reinmax-2023"
        }
        assert "the numbers of suite doe-2024 are not shown" in caplog.text
    finally:
        published.readable.cache_clear()
