"""docs/adding-a-suite.md, followed: its files make a suite."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.suites import published, reading, schema
from benchmarks.suites.reading import Suite
from benchmarks.sweep import SpecError

PAGE = Path(__file__).parents[2] / "docs" / "adding-a-suite.md"
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
        ("table1", "estimator: st,", "estimator: str,", "/claims/1/tests/0", "estimator 'str'", "st"),
        ("table1", "file: bits.csv", "file: bit.csv", "/published", "has no file 'bit.csv'", None),
        ("bits", "latents,", "latent,", "/published/0", "column of bits.csv 'latents'", "latent"),
        ("bits", "0.2481", "o.2481", "/published/0", "bits.csv, line 2: mean must be a number", None),
    ],
)
def test_mistakes_are_told_with_their_place_and_the_nearest_name(
    follow: Callable[..., Suite],
    file: str,
    old: str,
    new: str,
    place: str,
    message: str,
    suggestion: str | None,
) -> None:
    with pytest.raises(SpecError, match="is not a valid part of a suite") as refused:
        follow(**{file: (old, new)})
    (issue,) = [one for one in refused.value.issues if one.path == place]
    assert message in issue.message
    assert issue.suggestion == suggestion


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
