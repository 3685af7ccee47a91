"""Record the examples of the description of the API: ``python -m tests.contract.examples``.

Every operation is asked of a small world (``tests.support.seeded``), and its answer shortened.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from service.api import openapi
from service.api.live.stream import EventStream
from service.resources import certificates
from service.storage import migrations
from tests.support.access import known, public_id, token
from tests.support.databases import engine_of
from tests.support.seeded import SWEEP, Seeded, seed
from tests.support.suites import efficiency_document
from tests.support.web import application

TARGET = Path(openapi.__file__).parent / "examples.json"
LONGEST_TEXT = 300
LONGEST_LIST = 2
LONGEST_TUPLE = 4
LINES = 4
SECRET = "hb_…"
"""In place of secrets."""

EMPTY: dict[str, Any] = {}
BODIES: dict[str, Any] = {
    "sweeps_submit": SWEEP | {"name": "temperatures again", "seeds": 4},
    "sweeps_plan": SWEEP | {"seeds": 4},
    "sweeps_change": {"priority": 10, "tags": ["pilot", "temperature"]},
    "sweeps_pause": EMPTY,
    "sweeps_resume": EMPTY,
    "sweeps_cancel": EMPTY,
    "sweeps_retry": EMPTY,
    "sweeps_delete_sweep": None,
    "sweeps_restore": EMPTY,
    "nodes_drain": EMPTY,
    "nodes_undrain": EMPTY,
    "suites_reproduce_exhibit": {"tier": "smoke", "owner": "ada"},
    "suites_reproduce_suite": {"tier": "smoke", "owner": "ada"},
    "suites_publish_measurements": efficiency_document(),
    "registry_publish_certificate": certificates.shipped(certificates.entry("st")).to_json(),
    "access_create_token": {"name": "ada's laptop", "scope": "submit", "owner": "ada", "days": 90},
    "access_list_tokens": None,
    "access_revoke_token": None,
    "access_list_audit": None,
}
"""What is sent by operations that change something or tell of it: asked in this order, after the others."""

NEW = "5"
"""The id that the first sweep gets which is submitted."""
QUERY = {"tier": "smoke", "kind": "curves", "a": "reinmax", "b": "st", "estimator": "st"}
TABLE = ("suites_list_measurements", "suites_publish_measurements")
FORMATS = {
    "boards_show_board": ("csv", "markdown", "latex", "bibtex", "html"),
    "suites_show_report": ("markdown", "latex"),
}


def main() -> None:
    """Write the file."""
    with tempfile.TemporaryDirectory() as folder, engine_of(f"sqlite:///{folder}/board.sqlite") as engine:
        migrations.upgrade(engine)
        world = seed(engine)
        app = application(engine, Path(folder) / "home")
        other = public_id(token(engine, "read", owner="grace"))
        recorded = dict(_recorded(known(app, token(engine)), app, world, other))
    text = json.dumps(dict(sorted(recorded.items())), indent=1, ensure_ascii=False, allow_nan=False)
    TARGET.write_text(text + "\n", "utf-8")
    sys.stdout.write(f"{len(recorded)} operations in {TARGET}\n")


def _recorded(http: httpx.Client, app: FastAPI, world: Seeded, token: str) -> Iterator[tuple[str, Any]]:
    described = {
        one["operationId"]: (path, method, one) for path, method, one in openapi.operations(app.openapi())
    }
    changing = [id for id in BODIES if id in described]
    for id in [id for id in described if id not in changing] + changing:
        path, method, operation = described[id]
        answers: dict[str, Any] = {}
        for query in _queries(id, operation):
            answer = _ask(http, method, _filled(path, id, world, token), query, BODIES.get(id))
            assert answer.is_success, (id, answer.text)
            if (body := _body(answer)) is not None:
                kind = answer.headers["content-type"].partition(";")[0]
                answers.setdefault(str(answer.status_code), {})[kind] = body
        recorded = {"answers": answers}
        if BODIES.get(id) is not None:
            recorded["request"] = shortened(BODIES[id])
        yield id, recorded


def _ask(http: httpx.Client, method: str, path: str, query: Mapping[str, str], body: Any) -> httpx.Response:
    if path.endswith("/events"):  # which has no end of its own
        latest = http.get(f"{path}/latest").json()["events"]
        first = latest[0] | {"data": json.dumps(latest[0]["data"])}
        return httpx.Response(200, json=first, headers={"Content-Type": EventStream.media_type})
    return http.request(method, path, params=query, json=body)


def _queries(id: str, operation: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    needed = {one["name"] for one in operation.get("parameters", []) if one.get("required")}
    query = {name: value for name, value in QUERY.items() if name in needed}
    yield query
    for format in FORMATS.get(id, ()):
        yield query | {"format": format}


def _filled(path: str, id: str, world: Seeded, token: str) -> str:
    sweep = {"sweeps_retry": world.failed, "sweeps_list_causes": world.failed}
    sweep |= dict.fromkeys(("sweeps_pause", "sweeps_resume", "sweeps_cancel"), NEW)
    ids = {"/sweeps/": sweep.get(id, world.sweep), "/boards/": world.board, "/estimators/": "st"}
    ids |= {"/tasks/": "polynomial", "/tokens/": token}
    values = {
        "id": next((value for part, value in ids.items() if part in path), ""),
        "key": world.trial,
        "name": world.node,
        "suite": "reinmax-2023",
        "exhibit": "table3" if id in TABLE else "figure1",
    }
    return path.format(**values)


def _body(answer: httpx.Response) -> Any:
    """Shortened; ``None`` for pictures and empty answers."""
    kind = answer.headers.get("content-type", "") if answer.content else ""
    if kind in ("application/json", EventStream.media_type):
        return shortened(answer.json())
    if kind.startswith("text/html"):
        return "<!doctype html> …"
    if kind.startswith(("text/", "application/x-")):
        return "\n".join(line[:LONGEST_TEXT] for line in answer.text.splitlines()[:LINES]) + "\n"
    return None


def shortened(value: Any) -> Any:
    """Long lists to their first entries, long texts to their beginning."""
    if isinstance(value, dict):
        return {key: SECRET if key == "secret" else shortened(one) for key, one in value.items()}
    if isinstance(value, list):
        simple = len(value) <= LONGEST_TUPLE and not any(isinstance(one, dict | list) for one in value)
        return [shortened(one) for one in (value if simple else value[:LONGEST_LIST])]
    if isinstance(value, str) and len(value) > LONGEST_TEXT:
        return value[:LONGEST_TEXT] + "…"
    return value


if __name__ == "__main__":
    main()
