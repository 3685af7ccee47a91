"""Chromium, servers in processes of their own, and tabs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect, sync_playwright
from sqlalchemy import Engine

from service.storage import migrations
from service.storage.engine import open_engine
from tests.e2e import chromium
from tests.e2e.database import Contents, fill
from tests.e2e.visit import PATIENCE_MS, Visit

STOP_SECONDS = 20
expect.set_options(timeout=PATIENCE_MS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """A running server and its database."""

    url: str
    engine: Engine


@dataclass(frozen=True, kw_only=True, slots=True)
class FullSite(Site):
    """One that has something on every page; tests leave it as it is."""

    contents: Contents

    def address(self, path: str) -> str:
        """A path of :mod:`tests.e2e.places` with the ids of this database."""
        return path.format(**{name: getattr(self.contents, name) for name in Contents.__slots__})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here is marked, and skipped with the reason where there is no Chromium."""
    here = Path(__file__).parent
    mine = [item for item in items if here in item.path.parents]
    missing = bool(mine) and chromium.find() is None
    for item in mine:
        item.add_marker(pytest.mark.browser)
        if missing:
            item.add_marker(pytest.mark.skip(reason=chromium.MISSING))


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests here; it ends with them: no other test can run an event loop beside it."""
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=chromium.find(), args=["--no-sandbox", "--disable-gpu"]
        )
        yield launched
        launched.close()


@pytest.fixture(scope="package")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FullSite]:
    """A server with something of everything."""
    with _site(tmp_path_factory.mktemp("full")) as site:
        yield FullSite(url=site.url, engine=site.engine, contents=fill(site.engine))


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Site]:
    """A server with nothing, for tests that change something."""
    with _site(tmp_path) as site:
        yield site


@pytest.fixture
def visit(browser: Browser, full: FullSite) -> Iterator[Callable[..., Visit]]:
    """Opens tabs on the full site; they are closed with the test."""
    opened: list[Visit] = []

    def open_tab(**options: Any) -> Visit:
        opened.append(Visit(browser, full.url, **options))
        return opened[-1]

    yield open_tab
    for one in opened:
        one.close()


@pytest.fixture
def tab(browser: Browser, fresh: Site) -> Iterator[Visit]:
    """A tab on the fresh site."""
    opened = Visit(browser, fresh.url)
    yield opened
    opened.close()


@contextmanager
def _site(folder: Path) -> Iterator[Site]:
    database = f"sqlite:///{folder / 'board.sqlite'}"
    engine = open_engine(database)
    migrations.upgrade(engine)
    environment = os.environ | {"HEUNBOARD_DATA_HOME": str(folder), "HEUNBOARD_DATABASE_URL": database}
    command = [sys.executable, "-m", "service.cli", "serve", "--port=0"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None  # it was started with a pipe
            announcement = process.stdout.readline()
            assert announcement.startswith("listening on "), announcement
            yield Site(url=announcement.split()[-1], engine=engine)
        finally:
            process.terminate()
            process.wait(STOP_SECONDS)
            engine.dispose()
