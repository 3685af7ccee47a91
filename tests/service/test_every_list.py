"""What all lists of the API have in common, and all answers with an entity tag; on both databases."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine

from service.api import openapi
from service.resources import paging
from service.resources.schemas import PREFIX
from tests.support.seeded import Seeded, seed
from tests.support.web import application, browser_of

HUGE = (2**31, 2**63, 2**64, 10**30)
QUERY = {"tier": "smoke", "kind": "curves", "a": "reinmax", "b": "st"}


@pytest.fixture
def world(engine: Engine) -> Seeded:
    return seed(engine)


@pytest.fixture
def http(engine: Engine, world: Seeded) -> Iterator[httpx.Client]:
    with browser_of(application(engine)) as http:
        yield http


def filled(path: str, world: Seeded) -> str:
    id = world.board if "/boards/" in path else world.sweep
    return path.format(id=id, key=world.trial, suite="reinmax-2023", exhibit="figure1", name=world.node)


def with_parameter(http: httpx.Client, world: Seeded, name: str) -> list[tuple[str, dict[str, Any]]]:
    """Addresses of GET operations that take a parameter, and their descriptions."""
    operations = openapi.operations(http.get("/openapi.json").json())
    return [
        (filled(path, world), operation)
        for path, method, operation in operations
        if method == "get" and any(one["name"] == name for one in operation.get("parameters", []))
    ]


def entries(path: str, page: dict[str, Any]) -> list[Any]:
    """Of a page of ``/.../trials`` its ``trials``; of the audit its ``entries``."""
    name = path.rpartition("/")[2]
    return list(page["entries" if name == "audit" else name])


def wrong_tokens(kind: str) -> Iterator[str]:
    """Made up, of another list, and of rows that no database numbers."""
    yield from ("", "!", "A", "AAAA", "\u00e9", "=" * 200, base64.urlsafe_b64encode(b"\xff\xfe").decode())
    yield base64.urlsafe_b64encode(f"{kind}:".encode()).decode().rstrip("=")
    yield base64.urlsafe_b64encode(f"{kind}:-1".encode()).decode().rstrip("=")
    for number in HUGE:
        yield paging.token(kind, number)
        yield base64.urlsafe_b64encode(f"{kind}:{number}:{number}".encode()).decode().rstrip("=")
        yield base64.urlsafe_b64encode(f"{kind}:1:{number}".encode()).decode().rstrip("=")


def test_every_list_goes_on_where_it_ended_and_refuses_other_tokens(
    http: httpx.Client, world: Seeded
) -> None:
    lists = with_parameter(http, world, "page_token")
    assert len(lists) >= 7
    went_on = 0
    for path, _ in lists:
        whole, kind = http.get(path).json(), ""
        pages, token = [], None
        while token != "end":
            page = http.get(path, params={"limit": 1} | ({"page_token": token} if token else {})).json()
            pages += entries(path, page)
            token = page["next_page_token"] or "end"
            if token != "end":
                kind = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode().partition(":")[0]
        assert pages == entries(path, whole), path
        went_on += len(pages) > 1
        for wrong in wrong_tokens(kind or "sweeps"):
            answer = http.get(path, params={"page_token": wrong})
            assert answer.status_code == 400, (path, wrong, answer.text)
            assert answer.json()["type"] == "urn:heunboard:problem:invalid-page-token"
        for limit in ("0", "-1", "501", "x", str(2**63)):
            assert http.get(path, params={"limit": limit}).status_code == 422, (path, limit)
    assert went_on >= 5


def test_every_tag_is_honoured(http: httpx.Client, world: Seeded) -> None:
    tagged = with_parameter(http, world, "if-none-match")
    assert len(tagged) >= 5
    for path, operation in tagged:
        needed = [one["name"] for one in operation["parameters"] if one.get("required")]
        query = {name: QUERY[name] for name in needed if name in QUERY}
        first = http.get(path, params=query)
        assert first.status_code == 200, (path, first.text)
        tag = first.headers["etag"]
        assert tag.startswith('W/"'), path
        for given in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
            again = http.get(path, params=query, headers={"If-None-Match": given})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag), (path, given)
        other = http.get(path, params=query, headers={"If-None-Match": '"other"'})
        assert (other.status_code, other.headers["etag"]) == (200, tag), path


def test_ids_that_no_database_numbers_are_not_there(http: httpx.Client) -> None:
    document = http.get("/openapi.json").json()
    tried = 0
    for path, method, operation in openapi.operations(document):
        if "{id}" not in path and "{key}" not in path:
            continue
        needed = [one["name"] for one in operation["parameters"] if one.get("required")]
        query = {name: value for name, value in (QUERY | {"estimator": "st"}).items() if name in needed}
        for number in HUGE:
            at = path.replace("{id}", str(number)).replace("{key}", str(number))
            body = {"priority": 1} if method == "patch" else {} if method in ("post", "put") else None
            answer = http.request(method, at, params=query, json=body)
            assert answer.status_code == 404, (method, at, answer.text)
            tried += 1
    assert tried >= 100
    for number in HUGE:
        assert http.get(f"{PREFIX}/attempts", params={"sweep": number}).status_code in (404, 422)
        assert http.get(f"{PREFIX}/events/latest", params={"sweep": number}).status_code == 404
