"""Signing in and out: the cookie, what it is good for, and what pages show of it."""

from __future__ import annotations

from http.cookies import SimpleCookie

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import Engine

from service.access import audit, tokens
from service.queue.submission import submit
from tests.support.access import OWN_PAGE, known, public_id, signed_in, token
from tests.support.sweeps import small_sweep
from tests.support.web import InProcess, application, browser_of

HTML = {"Accept": "text/html"}


@pytest.fixture
def app(engine: Engine) -> FastAPI:
    token(engine, "admin", "root")
    return application(engine)


def cookie_of(answer: httpx.Response) -> SimpleCookie:
    return SimpleCookie(answer.headers["set-cookie"])


def give(http: httpx.Client, secret: str, **fields: str) -> httpx.Response:
    return http.post("/sign-in", data={"token": secret, **fields}, headers=OWN_PAGE)


def test_a_page_leads_to_the_sign_in_and_that_back_to_the_page(app: FastAPI, engine: Engine) -> None:
    http = browser_of(app)
    answer = http.get("/sweeps?q=a", headers=HTML)
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=%2Fsweeps%3Fq%3Da")
    page = http.get(answer.headers["location"], headers=HTML)
    assert 'value="/sweeps?q=a"' in page.text
    led = give(http, token(engine), next="/sweeps?q=a")
    assert (led.status_code, led.headers["location"]) == (303, "/sweeps?q=a")
    assert http.get("/sweeps?q=a", headers=HTML).status_code == 200


def test_the_cookie_is_for_this_host_alone_and_out_of_reach_of_scripts(app: FastAPI, engine: Engine) -> None:
    secret = token(engine)
    (cookie,) = cookie_of(give(browser_of(app), secret)).values()
    assert (cookie.key, cookie["domain"], cookie["path"]) == ("heunboard", "", "/")
    assert (cookie["httponly"], cookie["samesite"], cookie["secure"]) == (True, "lax", "")
    assert secret not in cookie.value
    assert public_id(secret) not in cookie.value
    https = httpx.Client(transport=InProcess(app), base_url="https://127.0.0.1")
    (cookie,) = cookie_of(give(https, secret)).values()
    assert (cookie.key, cookie["secure"], cookie["path"]) == ("__Host-heunboard", True, "/")
    assert https.get("/api/v1/sweeps").status_code == 200


@pytest.mark.parametrize("next", ["//evil.example", "https://evil.example", "/\\evil.example", "/a\nb", ""])
def test_nobody_is_led_elsewhere(app: FastAPI, engine: Engine, next: str) -> None:
    assert give(browser_of(app), token(engine), next=next).headers["location"] == "/"


def test_a_token_that_is_not_valid_is_told_so_on_the_page(app: FastAPI, engine: Engine) -> None:
    secret = token(engine)
    tokens.revoke(engine, public_id(secret))
    for given, said in (
        (secret, "was revoked"),
        (secret[:-1], "This is no token"),
        (f"hb_{'0' * 16}_{'A' * 43}", "is not known here"),
        ("", "This is no token"),
    ):
        answer = give(browser_of(app), given)
        assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)
        assert said in answer.text
        assert not given or secret.split("_", 2)[2][:-1] not in answer.text


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "multipart/form-data; boundary=x"])
def test_only_a_form_of_the_page_signs_in(app: FastAPI, engine: Engine, kind: str) -> None:
    body = f"token={token(engine)}"
    answer = browser_of(app).post("/sign-in", content=body, headers={**OWN_PAGE, "Content-Type": kind})
    assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)


def test_a_foreign_page_signs_nobody_in_or_out(app: FastAPI, engine: Engine) -> None:
    """Also not as itself: what the reader then does would be done in its name."""
    http = signed_in(app, token(engine))
    for path in ("/sign-in", "/sign-out"):
        for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            answer = http.post(path, data={"token": token(engine, owner="eve")}, headers=headers)
            assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)
    assert http.get("/api/v1/sweeps").status_code == 200


def test_signing_out_ends_the_cookie_here_and_everywhere(app: FastAPI, engine: Engine) -> None:
    http = signed_in(app, token(engine))
    stolen = dict(http.cookies)
    assert http.post("/sign-out", headers=OWN_PAGE).headers["location"] == "/"
    assert not http.cookies
    again = browser_of(app)
    again.cookies.update(stolen)
    assert again.get("/api/v1/sweeps").status_code == 401


def test_a_cookie_that_is_not_valid_is_nothing(app: FastAPI) -> None:
    """A browser keeps it longer than the server: its reader is led to the sign-in, with no error."""
    http = browser_of(app)
    http.cookies.set("heunboard", f"hbs_{'0' * 16}_{'A' * 43}")
    assert http.get("/sweeps", headers=HTML).status_code == 303
    open_to_all = browser_of(application(app.state.engine, anonymous_read=True))
    open_to_all.cookies.set("heunboard", "rubbish")
    assert open_to_all.get("/sweeps", headers=HTML).status_code == 200


def test_sign_ins_are_in_the_audit(app: FastAPI, engine: Engine) -> None:
    secret = token(engine, owner="ada")
    http = signed_in(app, secret)
    give(browser_of(app), secret[:-1])
    http.post("/sign-out", headers=OWN_PAGE)
    found = [one for one in audit.entries(engine, limit=9) if one.action == "POST"]
    assert [(one.who, one.subject, one.outcome.value) for one in found[::-1]] == [
        ("ada", "/sign-in", "done"),
        ("", "/sign-in", "refused"),
        ("ada", "/sign-out", "done"),
    ]
    assert secret.split("_", 2)[2][:-1] not in str(found)


def buttons(page: str) -> bool:
    return "data-action=" in page


def test_controls_are_shown_to_those_who_may_use_them(app: FastAPI, engine: Engine) -> None:
    id = submit(engine, small_sweep(owner="ada")).sweep_id
    seen = {
        who: known(app, token(engine, scope, owner)).get(f"/sweeps/{id}").text
        for who, scope, owner in (
            ("owner", "submit", "ada"),
            ("other", "submit", "bob"),
            ("reader", "read", "ada"),
            ("administrator", "admin", "root"),
        )
    }
    seen["stranger"] = browser_of(application(engine, anonymous_read=True)).get(f"/sweeps/{id}").text
    assert {who: (buttons(page), 'id="describe"' in page) for who, page in seen.items()} == {
        "owner": (True, True),
        "other": (False, False),
        "reader": (False, False),
        "administrator": (True, True),
        "stranger": (False, False),
    }
    assert f'href="/sign-in?next=/sweeps/{id}"' in seen["stranger"].replace("%2F", "/")
    assert "<bdi>ada</bdi> can control this sweep" in seen["other"]
    assert "Your token reads" in seen["reader"]
    assert "data-reads-only" in seen["reader"]
    assert "data-reads-only" not in seen["owner"]


def test_the_header_says_who_is_signed_in(app: FastAPI, engine: Engine) -> None:
    page = signed_in(app, token(engine, owner="<ada>")).get("/sweeps").text
    assert "<bdi>&lt;ada&gt;</bdi>" in page
    assert 'action="/sign-out"' in page


def test_without_tokens_pages_are_as_they_were(engine: Engine) -> None:
    id = submit(engine, small_sweep(owner="ada")).sweep_id
    http = browser_of(application(engine))
    page = http.get(f"/sweeps/{id}").text
    assert buttons(page)
    assert "/sign-in" not in page
    assert "there are no tokens yet" in http.get("/sign-in").text.replace("\n", " ")


def test_nodes_are_drained_by_administrators(app: FastAPI, engine: Engine) -> None:
    assert "Administrators drain nodes" in known(app, token(engine, "submit")).get("/nodes").text
    assert "Administrators drain nodes" not in known(app, token(engine, "admin")).get("/nodes").text
