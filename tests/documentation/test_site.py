"""The site is built without a warning, and a link or an anchor that leads nowhere is an error."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def build(folder: Path, site: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The sources of the site, to be changed."""
    folder = tmp_path / "sources"
    shutil.copytree(ROOT / "docs", folder / "docs")
    shutil.copytree(ROOT / "documentation", folder / "documentation")
    shutil.copy(ROOT / "mkdocs.yml", folder)
    return folder


@pytest.mark.slow
def test_the_site_is_built_and_has_the_pages_made_from_the_code(tmp_path: Path) -> None:
    done = build(ROOT, tmp_path)
    assert done.returncode == 0, done.stdout
    assert "HEUNBOARD_LEASE_SECONDS" in (tmp_path / "reference" / "settings.html").read_text()
    assert '<p class="equation"><math>' in (tmp_path / "reference" / "estimators.html").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("link", ["[a page](nowhere.md)", "[a part](#nowhere)", "[a path](/nowhere)"])
def test_a_link_that_leads_nowhere_is_an_error(copy: Path, tmp_path: Path, link: str) -> None:
    page = copy / "docs" / "how-to" / "index.md"
    page.write_text(f"{page.read_text()}\n{link}\n")
    done = build(copy, tmp_path / "site")
    assert done.returncode == 1
    assert "how-to/index.md" in done.stdout
    assert "nowhere" in done.stdout
