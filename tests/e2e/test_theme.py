"""Light, dark, as the system, and kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import FullSite
from tests.e2e.visit import Visit

GROUNDS = {"light": "rgb(251, 251, 250)", "dark": "rgb(17, 19, 22)"}


def ground(page: Page) -> str:
    shown: str = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return shown


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_follow_the_system(visit: Callable[..., Visit], scheme: Literal["light", "dark"]) -> None:
    page = visit(color_scheme=scheme).page
    page.goto("/")
    assert ground(page) == GROUNDS[scheme]
    other: Literal["light", "dark"] = "light" if scheme == "dark" else "dark"
    page.emulate_media(color_scheme=other)
    assert ground(page) == GROUNDS[other]


def test_a_choice_is_kept_and_holds_in_all_tabs_until_it_is_taken_back(visit: Callable[..., Visit]) -> None:
    tab = visit(color_scheme="light")
    tab.page.goto("/")
    second = tab.another()
    second.goto("/estimators")
    tab.page.get_by_label("Colours").select_option("Dark")
    assert ground(tab.page) == GROUNDS["dark"]
    expect(second.locator("html")).to_have_attribute("data-theme", "dark")
    tab.page.reload()
    assert ground(tab.page) == GROUNDS["dark"]
    expect(tab.page.get_by_label("Colours")).to_have_value("dark")
    tab.page.get_by_label("Colours").select_option("As the system")
    assert ground(tab.page) == GROUNDS["light"]


def test_pictures_change_with_it(full: FullSite, visit: Callable[..., Visit]) -> None:
    tab = visit(color_scheme="light")
    tab.page.goto(full.address("/boards/{small_board}"))
    line = tab.page.locator("#curves .js-line").last
    expect(line).to_be_visible()
    before = line.evaluate("one => getComputedStyle(one).stroke")
    tab.page.get_by_label("Colours").select_option("Dark")
    assert tab.page.locator("#curves .js-line").last.evaluate("one => getComputedStyle(one).stroke") != before
    assert tab.complaints == []


def test_paper_is_white(visit: Callable[..., Visit]) -> None:
    page = visit(color_scheme="dark").page
    page.goto("/estimators")
    page.emulate_media(media="print")
    assert ground(page) == GROUNDS["light"]
    expect(page.get_by_role("navigation", name="Site")).to_be_hidden()
    expect(page.get_by_role("searchbox")).to_be_hidden()
