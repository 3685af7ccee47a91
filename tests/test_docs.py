"""What the documentation points at exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from documentation.hooks import PAGES as GENERATED

ROOT = Path(__file__).resolve().parent.parent
NOTES = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
WRITTEN = sorted(page for page in (ROOT / "docs").rglob("*.md") if page.parent.name != "decisions")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *WRITTEN]

FOLDERS = "estimators|benchmarks|workers|service|documentation|tests|docs|examples|docker|alembic"
MADE = {ROOT / "docs" / page for page in GENERATED}  # when the site is built, which checks their anchors
PATH = re.compile(rf"`((?:{FOLDERS})/[\w./-]*)`")
LINK = re.compile(r"\]\(([^)#\s]+)?(#[^)\s]+)?\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
MOVED = re.compile(r"^\| (?P<was>.*?) \| (?P<now>.*) \|$", re.MULTILINE)
STATUS = re.compile(
    r"\A# (?P<number>\d+)\. (?P<title>.*)\n\n\*\*Status:\*\* "
    r"(?P<status>accepted|(?:amended|superseded) by \[note \d+\]\([^)]*\)|amended)"
)
WAS = "## Where is it now"


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """Of the headings, as GitHub makes them."""
    headings = HEADING.findall(page.read_text(encoding="utf-8"))
    return {"#" + re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def present(page: Path) -> str:
    """The text of a page without the first column of the table of moved files, which names what was."""
    text, mark, table = page.read_text(encoding="utf-8").partition(WAS)
    return text + mark + MOVED.sub(r"\g<now>", table)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_paths_exist(page: Path) -> None:
    missing = [path for path in PATH.findall(present(page)) if not (ROOT / path).exists()]
    assert not missing


@pytest.mark.parametrize(
    "page", [*PAGES, ROOT / "CHANGELOG.md", ROOT / "docs/decisions/README.md", *NOTES], ids=name
)
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        found = (page.parent / target).resolve() if target else page
        if found in MADE:
            continue
        assert found.exists(), f"{target} of {name(page)}"
        assert not anchor or anchor in anchors(found), f"{target}{anchor} of {name(page)}"


def test_what_moved_is_no_longer_where_it_was() -> None:
    """A file of the old name would be found, and be another one; folders that were emptied may be there."""
    table = (ROOT / "docs/explanation/architecture.md").read_text(encoding="utf-8").partition(WAS)[2]
    old = [path for row in MOVED.finditer(table) for path in PATH.findall(row["was"]) if path.endswith(".py")]
    assert len(old) > 20
    kept = {"benchmarks/tasks/registry.py"}  # its entries moved
    assert not [path for path in old if (ROOT / path).exists() and path not in kept]


def test_every_package_is_in_the_tree() -> None:
    page = (ROOT / "docs/explanation/architecture.md").read_text(encoding="utf-8")
    tree = page.partition("## Modules")[2].partition("```\n")[2].partition("```")[0]
    for package in ("estimators", "benchmarks", "workers", "service"):
        for init in (ROOT / package).rglob("__init__.py"):
            assert f"{init.parent.name}/" in tree, init.parent


@pytest.mark.parametrize("note", NOTES, ids=name)
def test_a_note_has_a_status_and_the_list_repeats_it(note: Path) -> None:
    found = STATUS.match(note.read_text(encoding="utf-8"))
    assert found, "the line under the title says accepted, amended or superseded by a note"
    row = f"| [{found['number']}]({note.name}) | {found['title']} | {found['status']} |"
    assert row in (ROOT / "docs/decisions/README.md").read_text(encoding="utf-8")
