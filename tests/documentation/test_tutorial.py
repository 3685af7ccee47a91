"""The tutorial, followed to the letter: its files written, its commands run, what it shows compared.

Numbers may be others on another machine, so figures and durations of the shown output stand for any.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.processes.server import server

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "tutorial" / "first-estimator.md"
BLOCK = re.compile(
    r"^(?:`(?P<file>[\w./-]+)`:\n\n```\w+|```console)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
UP = "heunboard up"
LIMIT_SECONDS = 600
FIGURE = r"[+−-]?\d[\d.,]*(?:e-\d+)?"
DURATION = rf"(?:{FIGURE} (?:d|h|min|s)\b ?)+"


def blocks(text: str) -> list[tuple[str, str]]:
    """File and content, or no file and a console's text, in the order of the page."""
    return [(match["file"] or "", match["text"]) for match in BLOCK.finditer(text)]


def commands(console: str) -> str:
    return "\n".join(line[2:] for line in console.splitlines() if line.startswith("$ "))


def shown(console: str) -> list[str]:
    return [line for line in console.splitlines() if not line.startswith("$ ") and line.strip(" .")]


def pattern(line: str) -> str:
    """Of the lines that a shown one stands for: ``...`` is anything, figures and blanks are any."""
    parts = (_figures(part) for part in line.strip().split("..."))
    return ".*".join(parts) + r"\s*"


def _figures(text: str) -> str:
    found, last = "", 0
    for match in re.finditer(rf"{DURATION}|{FIGURE}", text):
        found += _words(text[last : match.start()])
        found += DURATION if re.fullmatch(DURATION, match[0]) else FIGURE
        last = match.end()
    return found + _words(text[last:])


def _words(text: str) -> str:
    return re.sub(r"(?:\\ )+", r"\\s+", re.escape(text))


def missing(console: str, output: str) -> list[str]:
    """Shown lines that no line of the output is like."""
    lines = output.splitlines()
    return [
        line
        for line in shown(console)
        if not any(re.fullmatch(pattern(line), real.strip()) for real in lines)
    ]


def environment(folder: Path) -> dict[str, str]:
    """Commands of this environment, in which pip installs into a folder of the test and asks no network."""
    installed = folder / "installed"
    return os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": f"{installed}{os.pathsep}{ROOT}",
        "HEUNBOARD_DATA_HOME": str(folder / "data"),
        "OMP_NUM_THREADS": "1",
        "PIP_TARGET": str(installed),
        "PIP_UPGRADE": "1",
        "PIP_NO_DEPS": "1",
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # which means that there is none
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


def follow(page: list[tuple[str, str]], folder: Path, variables: dict[str, str]) -> Iterator[str]:
    """Do what the page says up to the next ``heunboard up``; yields the text of every console."""
    while page:
        file, text = page.pop(0)
        if file:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(text, encoding="utf-8")
            continue
        if commands(text) == UP:
            return
        done = subprocess.run(
            ["bash", "-c", commands(text)],
            cwd=folder,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_SECONDS,
        )
        assert done.returncode == 0, done.stdout
        assert not missing(text, done.stdout), f"{missing(text, done.stdout)}\nin\n{done.stdout}"
        yield text


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.timeout(1800)
def test_the_tutorial_runs_as_it_is_written(tmp_path: Path, real_data_dir: Path) -> None:
    page = blocks(PAGE.read_text(encoding="utf-8"))
    work = tmp_path / "midpoint"
    work.mkdir()
    variables = environment(tmp_path)
    before = list(follow(page, work, variables))
    assert page, "the server is started on the way"
    with server(tmp_path / "data", ["--launcher=local"], warm=True, environment=variables):
        after = list(follow(page, work, variables))
    assert (len(before), len(after)) == (3, 5)


def test_what_is_shown_is_compared() -> None:
    console = "$ say\nranks 1 of 5 ... 0.35 ± 0.01\n...\ndone in 9 s\n"
    assert missing(console, "ranks 3 of 5   x  −0.2 ± 3e-05\ndone in 1 min 12 s\n") == []
    assert missing(console, "ranks 3 of 5   x  good ± 0.1\ndone in 9 s\n") == ["ranks 1 of 5 ... 0.35 ± 0.01"]
    assert missing(console, "ranks 3 of 5 x 1 ± 0.1\nnot done in 9 s\n") == ["done in 9 s"]
