"""``heunboard board`` writing files, and what the client hands out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from sqlalchemy import Engine

from service.cli import main
from service.cli.board_files import Wanted, wanted
from service.client import ApiError, Client, ClientError
from service.storage import migrations
from tests.support.databases import engine_of
from tests.support.scores import score
from tests.support.web import InProcess, application, served

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with engine_of(f"sqlite:///{tmp_path / 'files.sqlite'}") as engine:
        migrations.upgrade(engine)
        yield engine


@pytest.fixture
def id(engine: Engine) -> str:
    return score(engine, {("reinmax", 1.0): [1.0, 2.0, 3.0], ("st", 1.0): [2.0, 4.0, 3.0]})


@pytest.fixture
def client(engine: Engine) -> Iterator[Client]:
    with Client("http://127.0.0.1", transport=InProcess(application(engine))) as made:
        yield made


@pytest.mark.parametrize(
    ("options", "what", "format"),
    [
        ({"formats": ["latex"]}, "board", "latex"),
        ({"out": "x.tex"}, "board", "latex"),
        ({"out": "x.BIB"}, "board", "bibtex"),
        ({"out": "x.txt", "formats": ["csv"]}, "board", "csv"),
        ({"trials": True}, "trials", "csv"),
        ({"curves": True, "out": "x.parquet"}, "curves", "parquet"),
        ({"figure": "cost"}, "figure", "svg"),
        ({"figure": "cost", "out": "x.png"}, "figure", "png"),
    ],
)
def test_a_flag_or_the_ending_says_the_format(options: dict[str, Any], what: str, format: str) -> None:
    asked = _wanted(**options)
    assert asked is not None
    assert (asked.what, asked.format) == (what, format)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"out": "x.doc"}, r"x\.doc does not say the format: end it with \.json, .* or \.html"),
        ({"trials": True, "curves": True}, "one file at a time"),
        ({"formats": ["csv", "latex"]}, "one file at a time"),
        ({"trials": True, "formats": ["latex"]}, r"trials cannot be latex, but \.csv or \.parquet"),
        ({"figure": "cost", "out": "x.csv"}, r"end it with \.svg or \.png"),
    ],
)
def test_what_does_not_go_together_is_told(options: dict[str, Any], words: str) -> None:
    with pytest.raises(typer.BadParameter, match=words):
        _wanted(**options)


def test_without_an_option_there_is_no_file() -> None:
    assert _wanted() is None


def _wanted(**options: Any) -> Wanted | None:
    out = options.pop("out", None)
    usual = {"formats": [], "trials": False, "curves": False, "figure": None}
    return wanted(**{**usual, **options}, out=None if out is None else Path(out))


@pytest.fixture
def run(engine: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Runs a command; exit status, standard output, standard error."""
    with served(application(engine)) as url:

        def command(*arguments: str) -> tuple[int, str, str]:
            monkeypatch.setattr("sys.argv", ["heunboard", *arguments, "--url", url])
            with pytest.raises(SystemExit) as ended:
                main()
            captured = capsys.readouterr()
            return int(ended.value.code or 0), captured.out, captured.err

        yield command


def test_files_are_written_or_printed(run: Run, id: str, tmp_path: Path) -> None:
    status, out, _ = run("board", id[:8], "--latex")
    assert status == 0
    assert "\\toprule" in out
    table, trials = tmp_path / "board.csv", tmp_path / "trials.csv"
    assert run("board", id[:8], "-o", str(table))[0] == 0
    assert table.read_text(encoding="utf-8").startswith("board,select,rank_low")
    assert run("board", id[:8], "--trials", "-o", str(trials))[0] == 0
    assert len(trials.read_text(encoding="utf-8").splitlines()) == 1 + 6


def test_what_is_refused_leaves_no_file(run: Run, id: str, tmp_path: Path) -> None:
    picture = tmp_path / "map.svg"
    status, _, err = run("board", id[:8], "--figure", "heatmap", "-o", str(picture))
    assert (status, picture.exists()) == (2, False)
    assert "fewer than two temperatures" in err
    status, _, err = run("board", id[:8], "--trials", "-o", str(tmp_path / "none" / "x.csv"))
    assert status == 2
    assert "cannot be written" in err


def test_the_client_hands_out_files(client: Client, id: str) -> None:
    assert client.board_text(id, "csv").startswith("board,")
    assert client.board_figure(id, "curves").startswith(b"<?xml")
    lines = b"".join(client.curves_file(id, cells="shown")).decode().splitlines()
    assert len(lines) == 1 + 6 * 2
    with pytest.raises(ApiError, match="no board 'none'"):
        next(client.trials_file("none"))


def test_a_board_becomes_a_data_frame(client: Client, id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    board = client.board(id)
    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=list))
    rows = board.to_pandas()
    assert [(row["estimator"], row["metric"], row["mean"]) for row in rows] == [
        ("reinmax", "expected_loss", 2.0),
        ("reinmax", "train_loss", 4.0),
        ("st", "expected_loss", 3.0),
        ("st", "train_loss", 6.0),
    ]
    assert rows[0]["temperature"] == 1.0
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ClientError, match="pip install pandas"):
        board.to_pandas()
