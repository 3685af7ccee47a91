"""Pages that tell what others do while they are open: lists, titles, the chip, new results."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect
from sqlalchemy import Engine

from service.queue.cohorts import Queue
from service.queue.submission import submit
from tests.e2e.conftest import Site
from tests.e2e.visit import Visit
from tests.support.processes import until
from tests.support.sweeps import outcome, small_sweep
from tests.support.web import compute
from workers.messages import CurveSegment, Heartbeat, MetricsBatch, StartReply
from workers.ports import Claim


def begin(engine: Engine, *, done: int) -> tuple[Queue, Claim, StartReply]:
    """Let an attempt take what is queued and do some of its 30 steps."""
    queue = Queue(engine)
    queue.plan(max_lanes=64, slots=1)
    (claim,) = queue.claim(owner="test", limit=10)
    reply = queue.start(claim.attempt_id, claim.secret)
    queue.heartbeat(claim.attempt_id, claim.secret, Heartbeat(steps_done=done, steps_total=30))
    return queue, claim, reply


def board_with_results(site: Site, page: Page) -> None:
    """Open a board that has results of four seeds."""
    compute(site.engine, small_sweep(seeds=4), {0: 1.0, 1: 2.0, 2: 6.0, 3: 4.0})
    page.goto(f"/boards/{next(iter(small_sweep().expand())).task_key}")


def trials_shown(page: Page) -> Locator:
    """How many trials the board says that it has."""
    return page.get_by_text("in the board")


def test_lists_titles_and_the_chip_of_every_page_are_live(tab: Visit, fresh: Site) -> None:
    stored = submit(fresh.engine, small_sweep(estimators=["st"]))
    page, other = tab.page, tab.another()
    page.goto("/sweeps")
    other.goto("/estimators")
    expect(other.locator("#running b")).to_have_text("1 sweep waiting")
    expect(other.locator("#running span")).to_have_text("0 of 3 trials")
    queue, claim, reply = begin(fresh.engine, done=15)
    row = page.locator(f"[data-live-sweep='{stored.sweep_id}']")
    expect(row.locator(".chip")).to_have_text("running")
    expect(row.locator("[data-live=percent]")).to_have_text("50 %")
    expect(other.locator("#running b")).to_have_text("1 sweep running")
    other.goto(f"/sweeps/{stored.sweep_id}")
    expect(other).to_have_title("50 % · small – Heunboard")
    queue.finish(claim.attempt_id, claim.secret, outcome(reply.trials))
    expect(row.locator(".chip")).to_have_text("succeeded")
    expect(other).to_have_title("small – Heunboard")
    expect(other.locator("#running")).to_be_hidden()
    submit(fresh.engine, small_sweep(name="newcomer", seeds=[7]))
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.get_by_role("link", name="newcomer")).to_be_visible()
    assert tab.complaints == []


def test_a_board_offers_new_results_and_keeps_what_was_open(tab: Visit, fresh: Site) -> None:
    page = tab.page
    board_with_results(fresh, page)
    expect(trials_shown(page)).to_have_text("8 shown, 8 in the board")
    compute(fresh.engine, small_sweep(seeds=[8, 9]), {8: 1.5, 9: 2.5})
    expect(page.locator(".live-offer span")).to_have_text("4 new results")
    expect(trials_shown(page)).to_have_text("8 shown, 8 in the board")
    page.get_by_text("Values as a table").first.click()
    page.evaluate("scrollTo(0, 120)")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(trials_shown(page)).to_have_text("12 shown, 12 in the board")
    expect(page.locator(".live-offer")).to_be_hidden()
    expect(page.get_by_role("region", name="Curve values")).to_be_visible()
    assert page.evaluate("scrollY") == 120
    assert tab.complaints == []


def test_a_board_that_is_to_show_what_is_new_does(tab: Visit, fresh: Site) -> None:
    page = tab.page
    page.clock.install()
    board_with_results(fresh, page)
    compute(fresh.engine, small_sweep(seeds=[8, 9]), {8: 1.5, 9: 2.5})
    page.get_by_role("button", name="Always show").click()
    expect(trials_shown(page)).to_have_text("12 shown, 12 in the board")
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    compute(fresh.engine, small_sweep(seeds=[10]), {10: 2.0})
    page.clock.fast_forward(10_000)
    expect(trials_shown(page)).to_have_text("14 shown, 14 in the board")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".live-offer")).to_be_hidden()
    assert tab.complaints == []


def test_the_curve_of_a_trial_grows_while_it_is_computed(tab: Visit, fresh: Site) -> None:
    submit(fresh.engine, small_sweep(estimators=["st"], seeds=1))
    queue, claim, reply = begin(fresh.engine, done=5)
    (trial,) = reply.trials
    page = tab.page
    page.goto(f"/trials/{trial.key}")
    expect(page.get_by_text("No epoch has been reported yet.")).to_be_visible()

    def report(seq: int, value: float) -> None:
        curve = CurveSegment(trial=trial.key, metric="expected_loss", first=seq, values=(value,))
        batch = MetricsBatch(
            seq=seq, progress=Heartbeat(steps_done=5 + 5 * seq, steps_total=30), segments=(curve,)
        )
        queue.metrics(claim.attempt_id, claim.secret, batch)

    report(1, 3.0)
    expect(page.locator("#curves .scatterlayer")).to_be_visible()
    page.evaluate("window.stayed = true")
    report(2, 2.0)
    until(lambda: page.evaluate("document.getElementById('curves').data.at(-1).y") == [3, 2], "it has grown")
    assert page.evaluate("window.stayed")  # drawn in place
    queue.finish(claim.attempt_id, claim.secret, outcome(reply.trials))
    expect(page.locator("h1 .chip")).to_have_text("succeeded")
    assert tab.complaints == []


def test_without_a_stream_the_page_asks_and_not_while_it_is_hidden(tab: Visit, fresh: Site) -> None:
    page = tab.page
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/events" in request.url else None)
    page.route("**/api/v1/events?*", lambda route: route.fulfill(status=503))
    page.clock.install()
    stored = submit(fresh.engine, small_sweep(estimators=["st"]))
    page.goto(f"/sweeps/{stored.sweep_id}")
    expect(page.locator("#state")).to_have_text("queued")
    begin(fresh.engine, done=15)
    expect(page.locator("#percent")).to_have_text("50 %")
    page.evaluate("Object.defineProperty(document, 'hidden', { get: () => window.away })")
    page.evaluate("window.away = true; document.dispatchEvent(new Event('visibilitychange'))")
    before = len(asked)
    page.clock.fast_forward(100_000)  # longer than between two questions, and two streams
    assert page.evaluate("document.readyState") == "complete"
    assert len(asked) == before
    with page.expect_request("**/api/v1/events?*"):
        page.evaluate("window.away = false; document.dispatchEvent(new Event('visibilitychange'))")
