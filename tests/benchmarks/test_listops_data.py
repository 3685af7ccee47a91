"""ListOps as data: values of expressions, the process that draws them, and the real files where they lie."""

from __future__ import annotations

import collections
from pathlib import Path

import pytest

from benchmarks.datasets import files, listops
from benchmarks.datasets.catalogue import LISTOPS_REGENERATED
from benchmarks.datasets.files import WrongChecksum


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", 7),
        ("( ( ( [MIN 4 ) 2 ) ] )", 2),
        ("( ( ( ( [MAX 4 ) 9 ) 2 ) ] )", 9),
        ("( ( ( ( [MED 4 ) 9 ) 2 ) ] )", 4),
        ("( ( ( [MED 4 ) 9 ) ] )", 6),  # 6.5 rounded down
        ("( ( ( ( [SM 4 ) 9 ) 9 ) ] )", 2),
        ("( ( ( [SM ( ( ( [MAX 1 ) 8 ) ] ) ) 5 ) ] )", 3),
    ],
)
def test_values_of_expressions(text: str, value: int) -> None:
    assert listops.value(text) == value


@pytest.mark.parametrize("text", ["", "1 2", "( ( [MIN 4 ) 2 )"])
def test_what_is_no_expression_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an expression"):
        listops.value(text)


def test_a_line_is_a_value_and_an_expression() -> None:
    assert listops.parsed(b"2\t( ( ( [MIN 4 ) 2 ) ] )\n7\t7\n") == [
        listops.Sentence(2, "( ( ( [MIN 4 ) 2 ) ] )"),
        listops.Sentence(7, "7"),
    ]


def test_generated_expressions_are_distinct_right_and_new() -> None:
    """3,000 of them: their values are right, none is known before, and the outermost operators are even.

    A count of 750 expected has a standard deviation of 24; four off by less than five of them: false alarm
    below 1e-5.
    """
    known = {"7", "( ( ( [MIN 4 ) 2 ) ] )"}
    sentences = listops.generated(3000, seed=1, without=known)
    texts = {sentence.text for sentence in sentences}
    assert len(texts) == 3000
    assert not texts & known
    assert all(listops.value(sentence.text) == sentence.label for sentence in sentences)
    nested = [sentence.text for sentence in sentences if "[" in sentence.text]
    outermost = collections.Counter(text.split("[")[1].split()[0] for text in nested)
    assert set(outermost) == set(listops.OPERATORS)
    assert all(abs(count - len(nested) / 4) < 120 for count in outermost.values())
    assert sentences == listops.generated(3000, seed=1, without=known)


def test_a_generated_split_is_checked_before_it_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "cache_dir", lambda: tmp_path)
    with pytest.raises(WrongChecksum, match=r"is not the train\.tsv\.gz"):
        listops._keep([listops.Sentence(7, "7")], LISTOPS_REGENERATED.files[0])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.data
@pytest.mark.usefixtures("real_data_dir")
def test_the_real_files_hold_what_they_should_and_the_training_split_is_reproduced() -> None:
    splits = listops.load()
    assert {split: len(sentences) for split, sentences in splits.items()} == {
        "train": 89_000,
        "valid": 1_000,
        "test": 10_000,
    }
    assert all(listops.value(one.text) == one.label for one in splits["valid"])
    known = {one.text for split in ("valid", "test") for one in splits[split]}
    assert listops.generated(89_000, seed=20231, without=known) == splits["train"]
