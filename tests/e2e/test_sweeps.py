"""The page of a sweep at work: live progress, failures, buttons."""

from __future__ import annotations

from playwright.sync_api import expect

from service.queue.cohorts import Queue
from service.queue.control import Controls
from service.queue.submission import submit
from tests.e2e.conftest import Site
from tests.e2e.visit import Visit
from tests.support.sweeps import outcome, small_sweep
from tests.support.web import fail
from workers.messages import Heartbeat


def test_progress_is_live(tab: Visit, fresh: Site) -> None:
    stored = submit(fresh.engine, small_sweep(estimators=["st"]))
    tab.page.goto(f"/sweeps/{stored.sweep_id}")
    expect(tab.page.locator("#state")).to_have_text("queued")
    queue = Queue(fresh.engine)
    queue.plan(max_lanes=64, slots=1)
    (claim,) = queue.claim(owner="test", limit=10)
    reply = queue.start(claim.attempt_id, claim.secret)
    queue.heartbeat(claim.attempt_id, claim.secret, Heartbeat(steps_done=15, steps_total=30))
    expect(tab.page.locator("#percent")).to_have_text("50 %")
    expect(tab.page.locator("#cells .chip")).to_have_text("running")
    queue.finish(claim.attempt_id, claim.secret, outcome(reply.trials))
    expect(tab.page.locator("#state")).to_have_text("succeeded")
    expect(tab.page.locator("#cells .chip")).to_have_text("succeeded")
    expect(tab.page.locator("#percent")).to_have_text("100 %")
    assert tab.complaints == []


def test_a_failure_opens_its_traceback_by_keyboard(tab: Visit, fresh: Site) -> None:
    id = fail(fresh.engine, small_sweep(), error="RuntimeError: boom", traceback="Traceback: line 1")
    tab.page.goto(f"/sweeps/{id}")
    trace = tab.page.locator("details.failure pre").first
    expect(trace).to_be_hidden()
    tab.page.locator("details.failure summary").first.focus()
    tab.page.keyboard.press("Enter")
    expect(trace).to_be_visible()


def test_buttons_do_what_they_say(tab: Visit, fresh: Site) -> None:
    submit(fresh.engine, small_sweep())
    page = tab.page
    page.goto("/sweeps/1")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#state")).to_have_text("paused")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#state")).to_have_text("queued")
    page.get_by_label("Priority").fill("12")
    with page.expect_event("load"):  # the field has its value before
        page.get_by_role("button", name="Set").click()
    expect(page.get_by_label("Priority")).to_have_value("12")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("dialog").get_by_role("button", name="Leave it").click()
    expect(page.locator("#state")).to_have_text("queued")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(page.locator("#state")).to_have_text("cancelled")
    page.get_by_role("button", name="Retry").click()
    expect(page.locator("#state")).to_have_text("queued")
    assert tab.complaints == []


def test_a_deleted_sweep_comes_back_from_the_bin(tab: Visit, fresh: Site) -> None:
    submit(fresh.engine, small_sweep(name="mine"))
    page = tab.page
    page.goto("/sweeps/1")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page).to_have_url(f"{fresh.url}/sweeps")
    expect(page.get_by_text("mine")).to_have_count(0)
    page.get_by_role("link", name="Deleted sweeps").click()
    page.get_by_role("button", name="Restore").click()
    expect(page.get_by_text("The bin is empty.")).to_be_visible()
    page.goto("/sweeps/1")
    expect(page.locator("#state")).to_have_text("cancelled")
    assert tab.complaints == []


def test_what_another_did_shows_in_the_buttons_and_what_is_refused_is_said(tab: Visit, fresh: Site) -> None:
    submit(fresh.engine, small_sweep())
    page = tab.page
    page.goto("/sweeps/1")
    Controls(fresh.engine).pause(1)
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    page.route("**/resume", lambda route: route.fulfill(status=409, json={"detail": "not now"}))
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#said")).to_have_text("not now")
