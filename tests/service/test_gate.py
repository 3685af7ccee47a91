"""Who may do what: every route, with every kind of caller."""

from __future__ import annotations

import json
import re
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from sqlalchemy import Engine
from starlette.routing import Mount

from service.access import audit, callers
from service.access.callers import Caller
from service.api.gate import HARMLESS, OPEN, UNGUARDED, needed
from service.errors import NotPermitted
from service.queue.submission import submit
from service.states import AuditOutcome, Scope
from service.storage.engine import database_clock, read, write
from service.storage.queries import access
from tests.service.test_problem_details import require_problem
from tests.support.access import OWN_PAGE, bearer, known, public_id, signed_in, token
from tests.support.sweeps import small_sweep
from tests.support.web import application, browser_of

JSON = {"Content-Type": "application/json"}
ADMIN_ROUTES = {
    ("POST", "/api/v1/nodes/{name:path}/drain"),
    ("POST", "/api/v1/nodes/{name:path}/undrain"),
    ("GET", "/api/v1/tokens"),
    ("POST", "/api/v1/tokens"),
    ("DELETE", "/api/v1/tokens/{id}"),
    ("GET", "/api/v1/audit"),
}


@pytest.fixture
def app(engine: Engine) -> FastAPI:
    token(engine, "admin", "root")  # from now on nobody does anything without one
    return application(engine)


def routes(app: FastAPI) -> set[tuple[str, str]]:
    """Method and path of everything that the application answers."""
    found = {
        (method, context.path)
        for context in iter_route_contexts(app.routes)
        for method in context.methods or ()
        if context.path is not None
    }
    return {(method, path) for method, path in found if method != "HEAD"}


def filled(path: str) -> str:
    return re.sub(r"{\w+(:path)?}", "1", path)


def ask(http: httpx.Client, method: str, path: str) -> httpx.Response:
    body = None if method == "GET" else "{}"
    return http.request(method, filled(path), content=body, headers=JSON)


def test_every_route_asks_for_a_token_but_for_a_short_list(app: FastAPI) -> None:
    """Whatever is added is protected, with nothing said about it."""
    http, found = browser_of(app), routes(app)
    assert len(found) > 60
    assert not [one for one in app.routes if isinstance(one, Mount) and one.path != "/static"]
    for method, path in found:
        answer = ask(http, method, path)
        if path in OPEN or path.startswith("/static/"):
            assert answer.status_code != 403, path
            assert answer.status_code != 401 or path == "/sign-in"  # of a form without a token
        elif path.startswith("/internal/"):
            assert "attempt's secret" in require_problem(answer, 401)["detail"]
        else:
            assert "heunboard token create" in require_problem(answer, 401)["detail"], (method, path)
            assert answer.headers["www-authenticate"] == "Bearer"
    assert set(OPEN) == {"/healthz", "/readyz", "/openapi.json", "/sign-in", "/sign-out"}
    assert (set(UNGUARDED), set(HARMLESS)) == ({"/internal/", "/static/"}, {"/api/v1/sweeps/plan"})


def test_a_token_that_reads_changes_nothing_anywhere(app: FastAPI, engine: Engine) -> None:
    http = known(app, token(engine, "read"))
    for method, path in routes(app):
        if method == "GET" or path in (*OPEN, *HARMLESS) or path.startswith(UNGUARDED):
            continue
        detail = require_problem(ask(http, method, path), 403)["detail"]
        assert "has read" in detail
        assert "heunboard token create NAME --scope" in detail


def test_routes_for_administrators_are_these(app: FastAPI, engine: Engine) -> None:
    http = known(app, token(engine, "submit"))
    refused = set()
    for method, path in routes(app) - {("GET", "/api/v1/events"), ("POST", "/sign-out")}:
        answer = ask(http, method, path)
        if answer.status_code == 403:
            assert "needs scope admin" in answer.json()["detail"]
            refused.add((method, path))
    assert refused == ADMIN_ROUTES


def test_what_a_method_needs_without_a_word_about_its_route() -> None:
    assert needed("GET", "/api/v1/new") is Scope.READ
    assert needed("HEAD", "/new") is Scope.READ
    assert needed("PURGE", "/api/v1/new") is Scope.SUBMIT
    assert needed("GET", "/healthzz") is Scope.READ
    assert needed("GET", "/healthz") is None


@pytest.mark.parametrize(
    ("scope", "allowed"), [("read", ["read"]), ("submit", ["read", "submit"]), ("admin", list(Scope))]
)
def test_scopes_include_those_before_them(scope: str, allowed: list[str]) -> None:
    assert [one for one in Scope if Scope(scope).includes(one)] == allowed


def test_without_tokens_everybody_may_do_everything(engine: Engine) -> None:
    http = browser_of(application(engine))
    made = http.post("/api/v1/sweeps", content=sweep_file(), headers=JSON)
    assert (made.status_code, made.json()["owner"]) == (201, None)
    assert http.get("/api/v1/tokens").json() == {"tokens": [], "next_page_token": None}
    refused = http.post("/api/v1/tokens", json={"name": "a", "scope": "admin"})
    assert "heunboard token create" in require_problem(refused, 403)["detail"]
    assert audit.entries(engine, limit=9) == []


def test_authentication_may_be_required_before_there_is_a_token(engine: Engine) -> None:
    http = browser_of(application(engine, auth="required"))
    require_problem(http.get("/api/v1/sweeps"), 401)
    assert http.get("/readyz").status_code == 200


def test_whoever_has_no_token_may_read_if_the_setting_says_so(engine: Engine) -> None:
    secret = token(engine)
    http = browser_of(application(engine, anonymous_read=True))
    for path in ("/api/v1/sweeps", "/", "/metrics"):
        assert http.get(path).status_code == 200
    require_problem(http.post("/api/v1/sweeps", content=sweep_file(), headers=JSON), 401)
    require_problem(http.get("/api/v1/tokens"), 401)
    forged = {"Authorization": f"Bearer {secret[:-1]}{'A' if secret[-1] != 'A' else 'B'}"}
    require_problem(http.get("/api/v1/sweeps", headers=forged), 401)  # not as if nothing were there


@pytest.mark.parametrize("path", ["/metrics", "/api/v1/events/latest", "/nodes"])
def test_reading_is_closed_by_default(app: FastAPI, path: str) -> None:
    require_problem(browser_of(app).get(path), 401)


def test_a_forged_token_is_refused(app: FastAPI, engine: Engine) -> None:
    secret = token(engine, "submit")
    other = token(engine, "admin")
    _, id, rest = secret.split("_", 2)
    last = "A" if rest[-1] != "A" else "B"
    forged = [
        f"hb_{id}_{rest[:-1]}{last}",
        f"hb_{id}_{other.split('_', 2)[2]}",  # the secret of another
        f"hb_{'0' * 16}_{rest}",
        f"hb_{id}_{rest[:-1]}",
        f"hbs_{id}_{rest}",
        id,
        rest,
        "",
    ]
    for one in forged:
        answer = browser_of(app).get("/api/v1/sweeps", headers={"Authorization": f"Bearer {one}"})
        document = require_problem(answer, 401)
        assert rest not in json.dumps(document)
    assert known(app, secret).get("/api/v1/sweeps").status_code == 200
    basic = browser_of(app).get("/api/v1/sweeps", headers={"Authorization": f"Basic {secret}"})
    assert secret not in basic.text


def sweep_file(**changes: object) -> str:
    return json.dumps({**small_sweep().to_json(), **changes})


def test_an_unauthenticated_submission_is_refused_and_nothing_is_stored(app: FastAPI, engine: Engine) -> None:
    require_problem(browser_of(app).post("/api/v1/sweeps", content=sweep_file(), headers=JSON), 401)
    assert known(app, token(engine)).get("/api/v1/sweeps").json()["sweeps"] == []


def test_a_sweep_belongs_to_the_owner_of_the_token(app: FastAPI, engine: Engine) -> None:
    http = known(app, token(engine, "submit", "ada"))
    own = http.post("/api/v1/sweeps", content=sweep_file(), headers=JSON)
    named = http.post("/api/v1/sweeps", content=sweep_file(owner="ada"), headers=JSON)
    assert [one.json()["owner"] for one in (own, named)] == ["ada", "ada"]
    other = http.post("/api/v1/sweeps", content=sweep_file(owner="bob"), headers=JSON)
    assert "'bob'" in require_problem(other, 403)["detail"]
    assert http.get(f"/api/v1/sweeps/{own.json()['id']}/file").json()["owner"] == "ada"


def test_an_administrator_submits_for_anybody(app: FastAPI, engine: Engine) -> None:
    http = known(app, token(engine, "admin", "root"))
    found = [
        http.post("/api/v1/sweeps", content=sweep_file(**said), headers=JSON).json()["owner"]
        for said in ({}, {"owner": "bob"})
    ]
    assert found == ["root", "bob"]


CONTROLS = [
    ("POST", "/pause", "{}"),
    ("POST", "/resume", "{}"),
    ("POST", "/cancel", "{}"),
    ("POST", "/retry", "{}"),
    ("PATCH", "", '{"priority": 5}'),
    ("DELETE", "", ""),
    ("POST", "/restore", "{}"),
    ("DELETE", "?forever=true", ""),
]


@pytest.mark.parametrize(("method", "part", "body"), CONTROLS)
def test_sweeps_are_controlled_by_their_owner_and_administrators(
    app: FastAPI, engine: Engine, method: str, part: str, body: str
) -> None:
    """Others get 403 whatever the state of the sweep is, and change nothing."""
    id = submit(engine, small_sweep(owner="ada")).sweep_id
    nobodys = submit(engine, small_sweep()).sweep_id
    bob = known(app, token(engine, "submit", "bob"))
    for sweep, whose in ((id, "'ada'"), (nobodys, "nobody")):
        refused = bob.request(method, f"/api/v1/sweeps/{sweep}{part}", content=body, headers=JSON)
        assert whose in require_problem(refused, 403)["detail"]
    assert bob.get(f"/api/v1/sweeps/{id}").json()["state"] == "queued"
    for one in (known(app, token(engine, "submit", "ada")), known(app, token(engine, "admin", "root"))):
        answer = one.request(method, f"/api/v1/sweeps/{id}{part}", content=body, headers=JSON)
        assert answer.status_code not in (401, 403), answer.text
    missing = bob.request(method, f"/api/v1/sweeps/999999{part}", content=body, headers=JSON)
    assert missing.status_code == 404


def test_a_suite_is_reproduced_as_one_s_own(app: FastAPI, engine: Engine) -> None:
    http = known(app, token(engine, "submit", "ada"))
    suite = http.get("/api/v1/suites").json()["suites"][0]
    exhibit = next(one for one in suite["exhibits"] if one["command"] is None)
    path = f"/api/v1/suites/{suite['id']}/{exhibit['id']}"
    require_problem(http.post(path, json={"tier": "smoke", "owner": "bob"}), 403)
    made = http.post(path, json={"tier": "smoke"})
    assert {one["owner"] for one in made.json()["sweeps"]} == {"ada"}


def test_owners_of_nothing_own_nothing() -> None:
    """A caller without an owner is not the owner of sweeps without one."""
    nobody = Caller(scope=Scope.SUBMIT, owner=None, token="t")
    assert not nobody.owns(None)
    with pytest.raises(NotPermitted):
        nobody.require_own(None)
    assert callers.EVERYBODY.owns("anybody")


def test_tokens_are_made_listed_and_revoked_by_administrators(app: FastAPI, engine: Engine) -> None:
    http = known(app, token(engine, "admin", "root"))
    made = http.post("/api/v1/tokens", json={"name": "ci", "scope": "submit", "owner": "ada", "days": 2})
    assert made.status_code == 201
    new = made.json()
    assert re.fullmatch(r"hb_[0-9a-f]{16}_[\w-]{43}", new["secret"])
    assert (new["name"], new["owner"], new["scope"]) == ("ci", "ada", "submit")
    listed = http.get("/api/v1/tokens").json()["tokens"]
    assert new["id"] in [one["id"] for one in listed]
    assert new["secret"].split("_", 2)[2] not in json.dumps(listed)
    his = known(app, new["secret"])
    assert his.get("/api/v1/sweeps").status_code == 200
    assert http.delete(f"/api/v1/tokens/{new['id']}").json()["revoked_at"] is not None
    assert "was revoked" in require_problem(his.get("/api/v1/sweeps"), 401)["detail"]
    require_problem(http.delete("/api/v1/tokens/nope"), 404)


def test_lists_of_tokens_and_of_the_audit_go_on_where_they_stopped(app: FastAPI, engine: Engine) -> None:
    secrets = [token(engine, "admin", f"owner {i}") for i in range(3)]
    http = known(app, secrets[0])
    for path, name in (("/api/v1/tokens", "tokens"), ("/api/v1/audit", "entries")):
        seen, page_token = [], None
        for _ in range(4):
            params = {"limit": 1} | ({"page_token": page_token} if page_token else {})
            page = http.get(path, params=params).json()
            seen += [one["id"] for one in page[name]]
            page_token = page["next_page_token"]
        assert (len(set(seen)), page_token) == (4, None)
        require_problem(http.get(path, params={"page_token": "!"}), 400)


def test_a_token_without_a_usable_name_is_refused(app: FastAPI, engine: Engine) -> None:
    http = known(app, token(engine))
    for body in (
        {"name": " "},
        {"name": "a\nb"},
        {"name": "a", "owner": "\x1b[31m"},
        {"name": "a", "days": 0},
    ):
        require_problem(http.post("/api/v1/tokens", json={"scope": "read", **body}), 422)


FOREIGN = [
    {"Origin": "http://evil.example"},
    {"Origin": "http://127.0.0.1:9999"},
    {"Origin": "http://127.0.0.1.evil.example"},
    {"Origin": "null"},
    {"Origin": "http://[::1"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1"},
]


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize("tokens", [False, True])
def test_json_with_a_foreign_origin_is_refused(engine: Engine, headers: dict[str, str], tokens: bool) -> None:
    """Without a token, and with one: a page that got hold of it is still foreign."""
    app = application(engine)
    http = known(app, token(engine)) if tokens else browser_of(app)
    answer = http.post("/api/v1/sweeps", content=sweep_file(), headers={**JSON, **headers})
    document = require_problem(answer, 403)
    assert document["type"] == "urn:heunboard:problem:foreign-origin"
    assert http.get("/api/v1/sweeps", headers=headers).status_code == 200  # which changes nothing


@pytest.mark.parametrize(
    "headers",
    [{}, {"Origin": "http://127.0.0.1"}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}],
)
def test_own_pages_and_programs_are_not_foreign(engine: Engine, headers: dict[str, str]) -> None:
    http = browser_of(application(engine))
    answer = http.post("/api/v1/sweeps", content=sweep_file(), headers={**JSON, **headers})
    assert answer.status_code == 201


def test_a_browser_s_cookie_changes_nothing_without_its_origin(app: FastAPI, engine: Engine) -> None:
    http = signed_in(app, token(engine, "submit"))
    assert http.get("/api/v1/sweeps").status_code == 200
    for headers in ({}, *FOREIGN):
        answer = http.post("/api/v1/sweeps", content=sweep_file(), headers={**JSON, **headers})
        assert require_problem(answer, 403)["type"].endswith("foreign-origin")
    answer = http.post("/api/v1/sweeps", content=sweep_file(), headers={**JSON, **OWN_PAGE})
    assert answer.status_code == 201


def test_a_name_that_leads_here_is_not_enough(app: FastAPI, engine: Engine) -> None:
    """DNS rebinding: a foreign name that resolves to this machine, with Origin and Host of that name."""
    rebound = {"Host": "evil.example", "Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"}
    for http in (browser_of(app), known(app, token(engine))):
        require_problem(http.get("/api/v1/sweeps", headers=rebound), 421)
        require_problem(http.post("/api/v1/sweeps", content=sweep_file(), headers={**JSON, **rebound}), 421)


@pytest.mark.parametrize(
    "host", ["127.0.0.1:80/healthz?", "127.0.0.1:80/sign-in#", "localhost:/openapi.json?"]
)
def test_what_is_asked_for_is_not_taken_from_the_host(app: FastAPI, host: str) -> None:
    """The address of a request is put together from its Host header and its path."""
    for method, path in (("GET", "/api/v1/sweeps"), ("DELETE", "/api/v1/sweeps/1"), ("GET", "/sweeps")):
        answer = browser_of(app).request(method, path, headers={"Host": host})
        assert answer.status_code in (401, 421)


def test_too_many_requests_of_one_token_leave_the_others_alone(engine: Engine) -> None:
    """Three at once, then one every three seconds and a bit."""
    first, second = token(engine), token(engine)
    app = application(engine, requests_per_second=0.3)
    mine, others = known(app, first), known(app, second)
    answers = [mine.get("/api/v1/nodes") for _ in range(12)]
    assert [one.status_code for one in answers[:3]] == [200] * 3
    refused = next(one for one in answers if one.status_code == 429)
    assert 1 <= int(refused.headers["retry-after"]) <= 4
    assert "HEUNBOARD_REQUESTS_PER_SECOND" in require_problem(refused, 429)["detail"]
    assert others.get("/api/v1/nodes").status_code == 200
    assert browser_of(app).get("/healthz").status_code == 200


def test_reports_of_workers_are_not_counted(engine: Engine) -> None:
    app = application(engine, requests_per_second=0.1)
    http = browser_of(app)
    assert {http.post("/internal/v1/attempts/1/start").status_code for _ in range(5)} == {401}


def test_changes_and_refusals_are_in_the_audit_without_secrets(app: FastAPI, engine: Engine) -> None:
    secret = token(engine, "submit", "ada")
    http = known(app, secret)
    sweep = http.post("/api/v1/sweeps", content=sweep_file(), headers=JSON).json()["id"]
    http.delete(f"/api/v1/sweeps/{sweep}")
    http.post(f"/api/v1/sweeps/{sweep}/pause", json={})
    http.post("/api/v1/sweeps/plan", content=sweep_file(), headers=JSON)  # changes nothing
    http.get("/api/v1/tokens")
    browser_of(app).post(f"/api/v1/sweeps/{secret}/pause", json={})
    browser_of(app).get("/api/v1/sweeps")  # nobody in particular looked
    forged = f"{secret[:-3]}AAA"
    browser_of(app).get("/api/v1/sweeps", headers=bearer(forged))
    entries = [one for one in audit.entries(engine, limit=20) if not one.action.startswith("token")]
    seen = [(one.who, one.action, one.subject, one.outcome.value, one.detail[:3]) for one in entries[::-1]]
    me = public_id(secret)
    assert seen == [
        ("ada", "POST", "/api/v1/sweeps", "done", "201"),
        ("ada", "DELETE", f"/api/v1/sweeps/{sweep}", "done", "204"),
        ("ada", "POST", f"/api/v1/sweeps/{sweep}/pause", "failed", "404"),
        ("ada", "GET", "/api/v1/tokens", "refused", "403"),
        ("", "POST", f"/api/v1/sweeps/hb_{me}_.../pause", "refused", "401"),
        ("", "GET", "/api/v1/sweeps", "refused", "401"),
    ]
    assert entries[-1].detail == f"201 /api/v1/sweeps/{sweep}"
    assert {one.address for one in entries} == {"127.0.0.1"}
    assert {one.token for one in entries} == {me, None}
    assert me in entries[0].detail  # whose token somebody tried
    assert secret.split("_", 2)[2] not in str(audit.entries(engine, limit=99))


def test_a_flood_of_refusals_fills_no_audit(app: FastAPI, engine: Engine) -> None:
    """Fifty of one address, then one every five seconds."""
    http = browser_of(app)
    for _ in range(60):
        http.post("/api/v1/sweeps")
    assert 50 <= len(audit.entries(engine, limit=99, outcome=AuditOutcome.REFUSED)) <= 55


def test_the_audit_is_bounded_by_outcome(engine: Engine) -> None:
    for i in range(12):
        outcome = AuditOutcome.DONE if i < 3 else AuditOutcome.REFUSED
        entry = audit.Entry(who="", token=None, action="POST", subject=str(i), address="", outcome=outcome)
        with write(engine) as connection:
            audit.record(connection, entry, now=database_clock(connection), kept=4)
    left = [one.subject for one in audit.entries(engine, limit=99)]
    assert left == ["11", "10", "9", "8", "2", "1", "0"]


def test_what_one_caller_sees_is_kept_by_no_cache_in_between(app: FastAPI, engine: Engine) -> None:
    answer = known(app, token(engine)).get("/api/v1/sweeps")
    assert answer.headers["cache-control"].startswith("private")
    assert "Cookie" in answer.headers["vary"]


def test_no_secret_is_in_any_table(engine: Engine, app: FastAPI) -> None:
    secret = token(engine, "admin", "ada")
    known(app, secret).get("/api/v1/sweeps")
    signed_in(app, secret)
    with read(engine) as connection:
        rows = access.token_rows(connection, limit=9)
    hidden = secret.split("_", 2)[2]
    assert hidden not in str(rows)
    assert all(re.fullmatch(r"[0-9a-f]{64}", row.secret_hash) for row in rows)


def test_the_application_needs_no_data_directory_for_that(engine: Engine, tmp_path: Path) -> None:
    assert browser_of(application(engine, tmp_path)).get("/sign-in").status_code == 200
