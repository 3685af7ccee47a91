"""Signing in, in a browser, which says itself which page asks."""

from __future__ import annotations

from playwright.sync_api import expect

from service.queue.submission import submit
from tests.e2e.conftest import Site
from tests.e2e.visit import Visit
from tests.support.access import token
from tests.support.sweeps import small_sweep


def test_somebody_signs_in_works_and_signs_out(tab: Visit, fresh: Site) -> None:
    """With the content policy on and cookies as browsers send them; signing in needs no script."""
    secret = token(fresh.engine, "submit", "ada")
    submit(fresh.engine, small_sweep(owner="ada"))
    page = tab.page
    page.goto("/sweeps/1")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.get_by_label("Token").fill(secret[:-1])
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("This is no token")
    page.get_by_label("Token").fill(secret)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("#state")).to_have_text("queued")
    assert secret not in page.url
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#state")).to_have_text("paused")
    (cookie,) = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")
    assert page.evaluate("document.cookie") == ""
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert page.context.cookies() == []
    refused = [one for one in tab.complaints if "401" not in one]  # the wrong token, and the stream then
    assert refused == []
