"""Thirty training curves: six stand out, every other one can be had, the picture is saved as it is."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from estimators import registry
from service.resources.colours import marks
from tests.e2e.conftest import FullSite
from tests.e2e.visit import Visit

COUNT = len(registry.available())
BEST = registry.available()[:6]
LATER = registry.available()[20]


@pytest.fixture
def board(full: FullSite, visit: Callable[..., Visit]) -> Callable[..., Page]:
    def go(query: str = "", **options: object) -> Page:
        page = visit(**options).page
        page.goto(full.address("/boards/{board}") + query)
        expect(page.locator("#curves .scatterlayer .trace").first).to_be_attached()
        return page

    return go


def title(id: str) -> str:
    return registry.get(id).title


def legend(page: Page) -> Locator:
    return page.get_by_role("group", name="Lines that stand out").get_by_role("button")


def switch(page: Page, id: str) -> Locator:
    return page.get_by_role("group", name="Lines that stand out").get_by_role(
        "button", name=title(id), exact=True
    )


def strokes(page: Page) -> list[str]:
    found: list[str] = page.locator("#curves .js-line").evaluate_all(
        "all => all.map(one => getComputedStyle(one).stroke).filter(one => one !== 'none')"
    )
    return found


def rgb(colour: str) -> str:
    return "rgb({}, {}, {})".format(*(int(colour[at : at + 2], 16) for at in (1, 3, 5)))


def test_the_best_six_have_labels_and_their_own_colours(board: Callable[..., Page]) -> None:
    page = board()
    labels = page.locator("#curves .annotation-text")
    expect(labels).to_have_count(6)
    assert sorted(labels.all_text_contents()) == sorted(title(id) for id in BEST)
    every = marks(registry.available())
    assert {rgb(every[id].light) for id in BEST} <= set(strokes(page))
    assert rgb(every[LATER].light) not in strokes(page)
    expect(legend(page)).to_have_count(COUNT)


def test_labels_neither_overlap_nor_leave_the_plot(board: Callable[..., Page]) -> None:
    page = board("?lines=" + ",".join(registry.available()))
    boxes = page.locator("#curves .annotation-text").evaluate_all(
        "all => all.map(one => one.getBoundingClientRect()).map(one => [one.top, one.bottom])"
    )
    boxes.sort()
    assert len(boxes) == COUNT
    assert all(upper[1] <= lower[0] + 4 for upper, lower in itertools.pairwise(boxes))
    plot = page.locator("#curves").bounding_box()
    assert plot is not None
    assert plot["y"] <= boxes[0][0]
    assert boxes[-1][1] <= plot["y"] + plot["height"]


def test_a_line_is_switched_on_and_off_and_the_address_knows(
    board: Callable[..., Page], full: FullSite
) -> None:
    page = board()
    switch(page, LATER).click()
    expect(switch(page, LATER)).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#curves .annotation-text")).to_have_count(7)
    assert rgb(marks([LATER])[LATER].light) in strokes(page)
    switch(page, BEST[0]).press("Enter")
    expect(page.locator("#curves .annotation-text")).to_have_count(6)
    kept = "%2C".join([*BEST[1:], LATER])
    expect(page).to_have_url(full.url + full.address("/boards/{board}") + f"?lines={kept}")
    page.reload()
    expect(switch(page, LATER)).to_have_attribute("aria-pressed", "true")
    expect(switch(page, BEST[0])).to_have_attribute("aria-pressed", "false")
    page.get_by_role("button", name="Best 6").click()
    expect(page).to_have_url(full.url + full.address("/boards/{board}"))


def test_the_others_can_be_hidden(board: Callable[..., Page]) -> None:
    page = board()
    before = len(strokes(page))
    page.get_by_role("button", name="Others in grey").click()
    assert before - len(strokes(page)) == COUNT - 6


def test_pointing_at_a_line_dims_the_rest(board: Callable[..., Page]) -> None:
    page = board()
    switch(page, BEST[0]).hover()
    faint = "all => all.filter(one => Number(getComputedStyle(one).opacity) < 0.2).length"
    expect(page.locator("#curves .scatterlayer .trace").first).to_have_css("opacity", "0.15")
    assert page.locator("#curves .scatterlayer .trace").evaluate_all(faint) == COUNT - 1
    bands = page.locator("#curves .js-fill").evaluate_all(
        "all => all.map(one => getComputedStyle(one).fillOpacity)"
    )
    assert sorted(bands) == ["0"] * 5 + ["0.14"]
    page.mouse.move(0, 0)
    expect(page.locator("#curves .scatterlayer .trace").first).to_have_css("opacity", "1")


def test_axes_are_logarithmic_when_asked_for(board: Callable[..., Page]) -> None:
    page = board()
    page.get_by_role("button", name="log x").click()
    page.get_by_role("button", name="log y").click()
    kinds = page.evaluate("[curves.layout.xaxis.type, curves.layout.yaxis.type]")
    assert kinds == ["log", "log"]
    assert page.url.endswith("?log=xy")
    page.reload()
    expect(page.get_by_role("button", name="log y")).to_have_attribute("aria-pressed", "true")


@pytest.mark.parametrize("format", ["SVG", "PNG"])
def test_the_picture_is_saved(
    full: FullSite, visit: Callable[..., Visit], tmp_path: Path, format: str
) -> None:
    tab = visit()
    tab.page.goto(full.address("/boards/{small_board}"))
    with tab.page.expect_download() as waiting:
        tab.page.get_by_role("button", name=f"Save the picture as {format}").click()
    assert waiting.value.suggested_filename.endswith(f".{format.lower()}")
    waiting.value.save_as(tmp_path / "picture")
    content = (tmp_path / "picture").read_bytes()
    assert content.startswith(b"<svg" if format == "SVG" else b"\x89PNG")
    assert format == "PNG" or b"ReinMax" in content
    assert tab.complaints == []


def test_on_a_phone_the_plot_has_the_whole_width(board: Callable[..., Page]) -> None:
    page = board(width=390)
    expect(page.locator("#curves .annotation-text")).to_have_count(0)
    plot, card = (page.locator(one).bounding_box() for one in ("#curves .nsewdrag", "#curves"))
    assert plot is not None
    assert card is not None
    assert plot["width"] > 0.75 * card["width"]
    expect(switch(page, BEST[0])).to_be_visible()


def test_keys_of_the_table_have_the_colours_of_the_lines(board: Callable[..., Page]) -> None:
    page = board("?lines=" + ",".join(registry.available()))
    keys = page.locator("tbody .key").evaluate_all("all => all.map(one => getComputedStyle(one).color)")
    assert len(keys) >= COUNT
    assert set(keys) <= set(strokes(page))
