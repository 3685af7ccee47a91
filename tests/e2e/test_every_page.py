"""What holds of every page: quiet, self-contained, accessible, as wide as the window, whatever it shows."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.e2e.conftest import FullSite
from tests.e2e.database import HOSTILE, OVERRIDE
from tests.e2e.places import PLACES, Place
from tests.e2e.visit import Visit

NAME = """(() => {
    const one = document.activeElement;
    return one.ariaLabel ?? one.labels?.[0]?.firstChild.textContent.trim() ?? one.innerText;
})()"""
"""What a screen reader calls the element that has the focus."""

WIDTHS = (360, 640, 1280, 1920, 2560)


def open_place(tab: Visit, site: FullSite, place: Place) -> Page:
    """Go there and wait until it is drawn."""
    tab.page.goto(site.address(place.path))
    expect(tab.page.locator(place.shows).first).to_be_visible()
    return tab.page


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.path)
def test_page(full: FullSite, visit: Callable[..., Visit], place: Place, scheme: str) -> None:
    tab = visit(color_scheme=scheme)
    page = open_place(tab, full, place)
    found = Axe().run(page).response["violations"]
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []
    for width in WIDTHS if scheme == "light" else ():
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, width
    # A page that is not there is told of by the browser, too.
    assert [text for text in tab.complaints if "404" not in text] == []
    assert tab.asked == {full.url}
    # Nobody's name has become a part of the page.
    assert page.title() != "taken"
    assert page.locator("main script:not([type='application/json'])").count() == 0
    assert page.locator("a").evaluate_all("all => all.some((a) => a.hostname === 'example.org')") is False


def test_names_of_strangers_are_shown_letter_for_letter(full: FullSite, visit: Callable[..., Visit]) -> None:
    page = visit().page
    page.goto(full.address("/sweeps/{hostile_sweep}"))
    expect(page.locator("h1")).to_contain_text(HOSTILE)
    expect(page.locator("details.failure").first).to_contain_text(f"{OVERRIDE}abc")
    page.goto("/sweeps")
    expect(page.get_by_role("link", name=HOSTILE).first).to_be_visible()
    page.goto("/nodes")
    expect(page.get_by_role("rowheader", name="<b>node</b>")).to_be_visible()


def test_what_is_written_backwards_ends_with_its_name(full: FullSite, visit: Callable[..., Visit]) -> None:
    page = visit().page
    page.goto(full.address("/sweeps/{hostile_sweep}"))
    error = page.locator("details.failure .error").first
    assert error.evaluate("e => getComputedStyle(e).unicodeBidi") == "isolate"


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "America/Los_Angeles"])
def test_times_say_their_zone_and_are_the_same_everywhere(
    full: FullSite, visit: Callable[..., Visit], zone: str
) -> None:
    texts = []
    for tab in (visit(timezone_id="UTC"), visit(timezone_id=zone, locale="de-DE")):
        tab.page.goto("/sweeps")
        texts.append(tab.page.locator("time").all_inner_texts())
    assert texts[0] == texts[1] != []
    assert all(text.endswith(" UTC") for text in texts[0])


def test_boards_read_without_scripts(full: FullSite, visit: Callable[..., Visit]) -> None:
    page = visit(java_script_enabled=False).page
    page.goto(full.address("/boards/{small_board}"))
    expect(page.get_by_role("rowheader", name="ReinMax").first).to_be_visible()
    expect(page.get_by_label("Colours")).to_be_hidden()


def test_a_page_is_used_by_keyboard_alone(full: FullSite, visit: Callable[..., Visit]) -> None:
    page = visit().page
    page.goto("/estimators")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{full.url}/estimators#main")
    reached = []
    for _ in range(8):
        page.keyboard.press("Tab")
        reached.append(page.evaluate(NAME))
    fields, region = ["Find an estimator", "Kind"], ["Estimators"]
    assert reached == [*fields, *region, "Estimator", "Kind", "Certificate", "Order", "Bias"]
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
