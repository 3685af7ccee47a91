"""Sorting, filtering, heads that stay, tables that scroll, rows as cards."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Locator, Page, expect

from estimators import registry
from tests.e2e.conftest import FullSite
from tests.e2e.visit import Visit

ORDER = [registry.get(id).title for id in registry.available()]


def estimators(tab: Visit, query: str = "") -> Page:
    tab.page.goto(f"/estimators{query}")
    expect(tab.page.locator("th button.sort").first).to_be_visible()
    return tab.page


def estimators_on_a_phone(tab: Visit) -> Page:
    tab.page.goto("/estimators")
    expect(tab.page.get_by_role("combobox", name="Sort by")).to_be_visible()
    return tab.page


def header(page: Page, name: str) -> Locator:
    return page.get_by_role("columnheader", name=name, exact=True)


def names(page: Page) -> list[str]:
    """Of the rows that are shown, from top to bottom."""
    return page.locator("tbody th .name:visible").all_inner_texts()


def values(page: Page, column: str) -> list[float]:
    """What a column is sorted by, without the rows that have nothing there."""
    place = page.locator("thead th").evaluate_all(
        "(all, name) => all.findIndex(one => one.innerText.trim() === name)", column
    )
    cells = page.locator(f"tbody tr > :nth-child({place + 1})")
    found = cells.evaluate_all("all => all.map(one => one.dataset.value)")
    return [float(text) for text in found if text]


def test_a_press_sorts_by_number_the_next_the_other_way_the_third_as_it_was(
    visit: Callable[..., Visit],
) -> None:
    page = estimators(visit())
    assert names(page) == ORDER
    button = page.get_by_role("button", name="Bias")
    button.click()
    expect(header(page, "Bias")).to_have_attribute("aria-sort", "ascending")
    assert values(page, "Bias") == sorted(values(page, "Bias"))
    assert len(set(values(page, "Bias"))) > 5
    button.click()
    expect(header(page, "Bias")).to_have_attribute("aria-sort", "descending")
    assert values(page, "Bias") == sorted(values(page, "Bias"), reverse=True)
    button.click()
    assert header(page, "Bias").get_attribute("aria-sort") is None
    assert names(page) == ORDER


def test_names_sort_as_words(visit: Callable[..., Visit]) -> None:
    page = estimators(visit())
    page.get_by_role("button", name="Estimator").click()
    assert names(page) == sorted(ORDER, key=str.casefold)


def test_rows_with_nothing_to_sort_by_are_last_in_either_direction(visit: Callable[..., Visit]) -> None:
    for query in ("?sort=order", "?sort=-order"):
        page = estimators(visit(), query)
        orders = page.locator("tbody td[data-label='Order']").all_inner_texts()
        unknown = [text.strip() == "–" for text in orders]
        assert unknown == sorted(unknown)
        assert True in unknown
        assert False in unknown


def test_the_address_holds_order_and_filters(full: FullSite, visit: Callable[..., Visit]) -> None:
    page = estimators(visit())
    page.get_by_role("searchbox", name="Find an estimator").fill("reinmax baseline")
    page.get_by_role("combobox", name="Kind").select_option("path")
    page.get_by_role("button", name="Variance").click()
    page.get_by_role("button", name="Variance").click()
    expect(page).to_have_url(f"{full.url}/estimators?find=reinmax+baseline&kind=path&sort=-variance")
    expect(page.locator(".counted")).to_have_text(f"2 of {len(ORDER)}")
    seen = names(page)
    again = estimators(visit(), page.url.partition("/estimators")[2])
    assert names(again) == seen
    expect(again.get_by_role("searchbox")).to_have_value("reinmax baseline")
    again.get_by_role("button", name="Show all").click()
    assert len(names(again)) == len(ORDER)
    expect(again).to_have_url(f"{full.url}/estimators?sort=-variance")


def test_filters_that_leave_nothing_say_so(visit: Callable[..., Visit]) -> None:
    page = estimators(visit(), "?find=nothing+like+it")
    assert names(page) == []
    expect(page.locator(".counted")).to_have_text(f"none of {len(ORDER)}")


def test_sorting_by_keyboard(visit: Callable[..., Visit]) -> None:
    page = estimators(visit())
    page.get_by_role("button", name="Cosine").focus()
    page.keyboard.press("Enter")
    expect(header(page, "Cosine")).to_have_attribute("aria-sort", "descending")  # the best first
    page.keyboard.press("Space")
    expect(header(page, "Cosine")).to_have_attribute("aria-sort", "ascending")


def test_the_head_stays_in_sight(visit: Callable[..., Visit]) -> None:
    page = estimators(visit())
    page.evaluate("window.scrollTo(0, document.querySelector('tbody').offsetHeight)")
    box = page.locator("thead th").first.bounding_box()
    assert box is not None
    assert 0 <= box["y"] < 5


def test_a_table_that_is_too_wide_scrolls_beside_its_names_and_shows_that_it_goes_on(
    visit: Callable[..., Visit],
) -> None:
    page = estimators(visit(width=700))
    card = page.locator(".card:has(> table)")
    expect(card).to_have_class("card scrolls to-right")
    assert card.evaluate("one => getComputedStyle(one, '::after').opacity") == "1"
    name = page.locator("tbody th").first
    before = name.bounding_box()
    card.evaluate("one => one.scrollTo(one.scrollWidth, 0)")
    expect(card).to_have_class("card scrolls from-left")
    assert name.bounding_box() == before


def test_rows_become_cards_on_a_phone(visit: Callable[..., Visit]) -> None:
    page = estimators_on_a_phone(visit(width=390))
    expect(page.locator("thead")).to_be_hidden()
    label = page.locator("tbody td[data-label='Bias']").first
    assert label.evaluate("one => getComputedStyle(one, '::before').content") == '"Bias"'
    page.get_by_role("combobox", name="Sort by").select_option("-bias")
    assert values_of_cards(page) == sorted(values_of_cards(page), reverse=True)


def values_of_cards(page: Page) -> list[float]:
    found = page.locator("tbody td[data-label='Bias']").evaluate_all(
        "all => all.map(one => one.dataset.value)"
    )
    return [float(text) for text in found if text]


def test_points_stand_below_one_another(visit: Callable[..., Visit]) -> None:
    """The right end of the digit before the point, in pixels, in every row of a column."""
    page = estimators(visit())
    ends = page.locator("tbody td[data-label='Variance'] .digits").evaluate_all(
        """all => all.filter(one => one.textContent.includes(".")).map(one => {
            const range = document.createRange();
            range.setStart(one.firstChild, 0);
            range.setEnd(one.firstChild, one.firstChild.data.indexOf("."));
            return Math.round(range.getBoundingClientRect().right);
        })"""
    )
    assert len(ends) > 10
    assert len(set(ends)) == 1


def test_rows_that_a_script_puts_in_take_their_place(visit: Callable[..., Visit]) -> None:
    page = estimators(visit(), "?sort=-evaluations")
    page.locator("tbody").evaluate(
        """one => {
            const row = one.rows[0].cloneNode(true);
            row.querySelector(".name").textContent = "Newcomer";
            row.querySelector("[data-label=Evaluations]").dataset.value = "0";
            one.prepend(row);
        }"""
    )
    expect(page.locator("tbody tr").last).to_contain_text("Newcomer")


def test_what_has_the_focus_keeps_it_when_a_row_changes(visit: Callable[..., Visit]) -> None:
    page = estimators(visit(), "?sort=-cosine")
    page.locator("tbody a").nth(2).focus()
    page.locator("tbody td").first.evaluate("one => one.append('!')")
    expect(page.locator("tbody a").nth(2)).to_be_focused()
