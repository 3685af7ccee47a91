"""The page of a board at work: rows that open, seeds that are missing, pictures."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.e2e.conftest import FullSite, Site
from tests.e2e.database import board_of
from tests.e2e.visit import Visit
from tests.support.results import results
from tests.support.sweeps import small_sweep

CLOSE = {"st": [1.0, 2.0, 3.0], "reinmax": [1.1, 2.4, 3.1]}


def toggle(page: Page, title: str) -> None:
    page.get_by_role("link", name=f"All settings and seeds of {title}", exact=True).focus()
    page.keyboard.press("Enter")


def test_a_row_opens_by_keyboard_and_stays_open(full: FullSite, visit: Callable[..., Visit]) -> None:
    tab = visit()
    page = tab.page
    page.goto(full.address("/boards/{board}"))
    toggle(page, "ReinMax")
    opened = page.locator("#more-reinmax")
    expect(opened).to_contain_text("1 setting tried")
    expect(opened.get_by_role("link", name="0", exact=True)).to_be_visible()
    assert "open=reinmax" in page.url
    page.reload()
    expect(opened).to_contain_text("1 setting tried")
    toggle(page, "ReinMax")
    expect(opened).to_be_hidden()
    assert "open=" not in page.url
    assert tab.complaints == []


def test_an_opened_row_moves_with_its_row(full: FullSite, visit: Callable[..., Visit]) -> None:
    page = visit().page
    page.goto(full.address("/boards/{board}?open=reinmax"))
    page.get_by_role("button", name="Estimator").first.click()
    expect(page.locator(".leaderboard tbody").first).to_contain_text("ARM")
    expect(page.locator("#row-reinmax #more-reinmax")).to_contain_text("1 setting tried")


def test_rows_open_without_scripts(full: FullSite, visit: Callable[..., Visit]) -> None:
    page = visit(java_script_enabled=False).page
    page.goto(full.address("/boards/{board}"))
    page.get_by_role("link", name="All settings and seeds of ReinMax", exact=True).click()
    expect(page.locator("#more-reinmax")).to_contain_text("1 setting tried")


def test_missing_seeds_are_computed_after_a_question(tab: Visit, fresh: Site) -> None:
    sweep = small_sweep(estimators=list(CLOSE))
    results(fresh.engine, sweep, lambda spec: CLOSE[spec["estimator"]["id"]][spec["seed"]])
    page = tab.page
    page.goto(f"/boards/{board_of(sweep)}")
    page.get_by_role("button", name=re.compile(r"Compute \d+ more")).click()
    expect(page.get_by_role("dialog")).to_contain_text(re.compile(r"Compute \d+ trials\?"))
    page.get_by_role("button", name="Leave it").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.get_by_role("button", name=re.compile(r"Compute \d+ more")).click()
    page.get_by_role("button", name="Compute them").click()
    expect(page).to_have_url(f"{fresh.url}/sweeps/2")
    expect(page.locator("h1")).to_contain_text("More seeds: ReinMax and Straight-through")
    assert tab.complaints == []


def test_settings_are_drawn(tab: Visit, fresh: Site) -> None:
    temperatures = [0.5, 1.0, 2.0]
    sweep = small_sweep(estimators=[{"id": id, "temperature": temperatures} for id in ("st", "reinmax")])
    results(fresh.engine, sweep, lambda spec: spec["seed"] + spec["estimator"]["parameters"]["temperature"])
    page = tab.page
    page.goto(f"/boards/{board_of(sweep)}")
    for figure in ("response-temperature", "best-of"):
        picture = page.locator(f"[data-figure=figure-{figure}]")
        picture.scroll_into_view_if_needed()
        expect(picture.locator(".scatterlayer .trace")).to_have_count(2)
        expect(picture.locator(".annotation")).to_have_count(2)
    assert tab.complaints == []
    assert tab.asked == {fresh.url}
