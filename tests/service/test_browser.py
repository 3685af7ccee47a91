"""The pages in a real Chromium: pictures, live progress, policy violations, narrow screens, keyboard."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from sqlalchemy import Engine

from service.queue.cohorts import Queue
from service.queue.control import Controls
from service.queue.submission import submit
from service.storage import migrations
from service.storage.engine import open_engine
from tests.support.sweeps import outcome, small_sweep
from tests.support.web import application, compute, fail, served
from workers.messages import Heartbeat, StartReply
from workers.ports import Claim

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium on the PATH: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path / 'board.sqlite'}")
    migrations.upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def url(database: Engine) -> Iterator[str]:
    with served(application(database)) as address:
        yield address


class Visit:
    """A tab that remembers what went wrong and whom it asked."""

    def __init__(self, browser: Browser, *, width: int = 1280, scheme: str = "light") -> None:
        dark = scheme == "dark"
        self._context = browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme="dark" if dark else "light"
        )
        self.page: Page = self._context.new_page()
        self.complaints: list[str] = []
        self.asked: set[str] = set()
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.asked.add("/".join(request.url.split("/")[:3])))

    def close(self) -> None:
        """Close the tab."""
        self._context.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    made = Visit(browser)
    yield made
    made.close()


def computed(engine: Engine) -> str:
    """A board with results; returns its path."""
    compute(engine, small_sweep(seeds=4), {0: 1.0, 1: 2.0, 2: 6.0, 3: 4.0})
    queue_board = small_sweep().expand()
    return f"/boards/{next(iter(queue_board)).task_key}"


def test_curves_are_drawn_without_complaint_or_stranger(visit: Visit, database: Engine, url: str) -> None:
    visit.page.goto(url + computed(database))
    expect(visit.page.locator("#curves .scatterlayer .trace")).to_have_count(
        6
    )  # two bands' edges and a line each
    expect(visit.page.locator("#curves .annotation")).to_have_count(2)
    drawn = visit.page.locator("#curves .js-line").evaluate_all(
        "all => all.map(e => getComputedStyle(e).stroke)"
    )
    keys = visit.page.locator("tbody .key").evaluate_all("all => all.map(e => getComputedStyle(e).color)")
    assert set(keys) <= set(drawn)
    assert visit.complaints == []
    assert visit.asked == {url}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_no_page_scrolls_sideways(
    browser: Browser, database: Engine, url: str, scheme: str, width: int
) -> None:
    paths = [
        "/",
        "/sweeps",
        "/sweeps?deleted=true",
        "/sweeps/1",
        computed(database),
        "/boards/none",
        "/estimators",
        "/estimators/st",
    ]
    paths += ["/suites", "/suites/reinmax-2023/table2?tier=budget", "/suites/reinmax-2023/figure1"]
    tab = Visit(browser, width=width, scheme=scheme)
    for path in paths:
        tab.page.goto(url + path)
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= width, path
    tab.close()


def test_dark_is_dark(browser: Browser, url: str) -> None:
    shades = []
    for scheme in ("light", "dark"):
        tab = Visit(browser, scheme=scheme)
        tab.page.goto(url)
        shades.append(tab.page.evaluate("getComputedStyle(document.body).backgroundColor"))
        tab.close()
    assert shades == ["rgb(251, 251, 250)", "rgb(17, 19, 22)"]


def test_progress_is_live(visit: Visit, database: Engine, url: str) -> None:
    stored = submit(database, small_sweep(estimators=["st"]))
    visit.page.goto(f"{url}/sweeps/{stored.sweep_id}")
    expect(visit.page.locator("#state")).to_have_text("queued")
    queue = Queue(database)
    queue.plan(max_lanes=64, slots=1)
    (claim,) = queue.claim(owner="test", limit=10)
    reply = queue.start(claim.attempt_id, claim.secret)
    queue.heartbeat(claim.attempt_id, claim.secret, Heartbeat(steps_done=15, steps_total=30))
    expect(visit.page.locator("#percent")).to_have_text("50 %")
    expect(visit.page.locator("#cells .chip")).to_have_text("running")
    queue.finish(claim.attempt_id, claim.secret, outcome(reply.trials))
    expect(visit.page.locator("#state")).to_have_text("succeeded")
    expect(visit.page.locator("#cells .chip")).to_have_text("succeeded")
    expect(visit.page.locator("#percent")).to_have_text("100 %")
    assert visit.complaints == []


def begin(engine: Engine, *, done: int) -> tuple[Queue, Claim, StartReply]:
    """Let an attempt take what is queued and do some of its 30 steps."""
    queue = Queue(engine)
    queue.plan(max_lanes=64, slots=1)
    (claim,) = queue.claim(owner="test", limit=10)
    reply = queue.start(claim.attempt_id, claim.secret)
    queue.heartbeat(claim.attempt_id, claim.secret, Heartbeat(steps_done=done, steps_total=30))
    return queue, claim, reply


def test_lists_titles_and_the_chip_of_every_page_are_live(
    visit: Visit, browser: Browser, database: Engine, url: str
) -> None:
    stored = submit(database, small_sweep(estimators=["st"]))
    other = Visit(browser)
    visit.page.goto(f"{url}/sweeps")
    other.page.goto(f"{url}/estimators")
    expect(other.page.locator("#running")).to_have_text("1 sweep waiting0 of 3 trials")
    queue, claim, reply = begin(database, done=15)
    row = visit.page.locator(f"[data-live-sweep='{stored.sweep_id}']")
    expect(row.locator(".chip")).to_have_text("running")
    expect(row.locator("[data-live=percent]")).to_have_text("50 %")
    expect(other.page.locator("#running b")).to_have_text("1 sweep running")
    other.page.goto(f"{url}/sweeps/{stored.sweep_id}")
    expect(other.page).to_have_title("50 % · small – Heunboard")
    queue.finish(claim.attempt_id, claim.secret, outcome(reply.trials))
    expect(row.locator(".chip")).to_have_text("succeeded")
    expect(other.page).to_have_title("small – Heunboard")
    expect(other.page.locator("#running")).to_be_hidden()
    submit(database, small_sweep(name="newcomer", seeds=[7]))
    visit.page.get_by_role("button", name="Show", exact=True).click()
    expect(visit.page.get_by_role("link", name="newcomer")).to_be_visible()
    assert visit.complaints == other.complaints == []
    other.close()


def test_a_board_offers_new_results_and_keeps_what_was_open(visit: Visit, database: Engine, url: str) -> None:
    page = visit.page
    path = computed(database)
    page.goto(url + path)
    compute(database, small_sweep(seeds=[8, 9]), {8: 1.5, 9: 2.5})
    offer = page.locator(".live-offer")
    expect(offer.locator("span")).to_have_text("4 new results")
    expect(page.locator("tbody td:last-child").first).to_have_text("4")
    page.get_by_text("Values as a table").click()
    page.evaluate("scrollTo(0, 120)")
    offer.get_by_role("button", name="Show", exact=True).click()
    expect(page.locator("tbody td:last-child").first).to_have_text("6")
    expect(offer).to_be_hidden()
    expect(page.get_by_role("region", name="Curve values")).to_be_visible()
    assert page.evaluate("scrollY") == 120
    assert visit.complaints == []


def test_a_board_that_is_to_show_what_is_new_does(visit: Visit, database: Engine, url: str) -> None:
    page = visit.page
    page.clock.install()
    path = computed(database)
    page.goto(url + path)
    seeds = page.locator("tbody td:last-child").first
    compute(database, small_sweep(seeds=[8, 9]), {8: 1.5, 9: 2.5})
    page.get_by_role("button", name="Always show").click()
    expect(seeds).to_have_text("6")
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    compute(database, small_sweep(seeds=[10]), {10: 2.0})
    page.clock.fast_forward(10_000)
    expect(seeds).to_have_text("7")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".live-offer")).to_be_hidden()
    assert visit.complaints == []


def test_without_a_stream_the_page_asks_and_not_while_it_is_hidden(
    visit: Visit, database: Engine, url: str
) -> None:
    page = visit.page
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/events" in request.url else None)
    page.route("**/api/v1/events?*", lambda route: route.fulfill(status=503))
    page.clock.install()
    stored = submit(database, small_sweep(estimators=["st"]))
    page.goto(f"{url}/sweeps/{stored.sweep_id}")
    expect(page.locator("#state")).to_have_text("queued")
    begin(database, done=15)
    expect(page.locator("#percent")).to_have_text("50 %", timeout=15_000)
    page.evaluate("Object.defineProperty(document, 'hidden', { get: () => window.away })")
    page.evaluate("window.away = true; document.dispatchEvent(new Event('visibilitychange'))")
    before = len(asked)
    page.clock.fast_forward(100_000)  # longer than between two questions, and two streams
    assert page.evaluate("document.readyState") == "complete"
    assert len(asked) == before
    with page.expect_request("**/api/v1/events?*"):
        page.evaluate("window.away = false; document.dispatchEvent(new Event('visibilitychange'))")


def test_a_failure_opens_its_traceback_by_keyboard(visit: Visit, database: Engine, url: str) -> None:
    id = fail(database, small_sweep(), error="RuntimeError: boom", traceback="Traceback: line 1")
    visit.page.goto(f"{url}/sweeps/{id}")
    trace = visit.page.locator("details.failure pre").first
    expect(trace).to_be_hidden()
    visit.page.locator("details.failure summary").first.focus()
    visit.page.keyboard.press("Enter")
    expect(trace).to_be_visible()


def test_the_table_reads_without_scripts(browser: Browser, database: Engine, url: str) -> None:
    path = computed(database)
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(url + path)
    expect(page.locator("tbody .name")).to_have_count(2)
    expect(page.locator("svg.rail")).to_have_count(2)
    context.close()


def test_buttons_do_what_they_say(visit: Visit, database: Engine, url: str) -> None:
    submit(database, small_sweep())
    page = visit.page
    page.goto(f"{url}/sweeps/1")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#state")).to_have_text("paused")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#state")).to_have_text("queued")
    page.get_by_label("Priority").fill("12")
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
    assert visit.complaints == []


def test_a_deleted_sweep_comes_back_from_the_bin(
    visit: Visit,
    database: Engine,
    url: str,
) -> None:
    submit(database, small_sweep(name="mine"))
    page = visit.page
    page.goto(f"{url}/sweeps/1")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page).to_have_url(f"{url}/sweeps")
    expect(page.get_by_text("mine")).to_have_count(0)
    page.get_by_role("link", name="Deleted sweeps").click()
    page.get_by_role("button", name="Restore").click()
    expect(page.get_by_text("The bin is empty.")).to_be_visible()
    page.goto(f"{url}/sweeps/1")
    expect(page.locator("#state")).to_have_text("cancelled")
    assert visit.complaints == []


def test_what_another_did_shows_in_the_buttons_and_what_is_refused_is_said(
    visit: Visit,
    database: Engine,
    url: str,
) -> None:
    submit(database, small_sweep())
    page = visit.page
    page.goto(f"{url}/sweeps/1")
    Controls(database).pause(1)
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    page.route("**/resume", lambda route: route.fulfill(status=409, json={"detail": "not now"}))
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#said")).to_have_text("not now")
