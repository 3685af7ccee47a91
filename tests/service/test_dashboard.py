"""Every number that the Grafana dashboard asks for is one that ``/metrics`` really has."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from ruamel.yaml import YAML
from sqlalchemy import Engine

from service.queue.cohorts import Queue
from service.queue.submission import submit
from tests.support.sweeps import small_sweep
from tests.support.web import application, browser_of
from workers.ports import NodeReport

DOCKER = Path(__file__).resolve().parents[2] / "docker"
SELECTED = re.compile(r"\b(heunboard_\w+)(?:\{((?:[^}\"]|\"[^\"]*\")*)\})?")
MATCHER = re.compile(r'(\w+)(=~|!=|=)"([^"]*)"')
GROUPED = re.compile(r"\bby \(([^)]*)\)")


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DOCKER / "grafana" / "heunboard.json").read_text(encoding="utf-8"))
    return found


def queries() -> list[str]:
    return [target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", ())]


@pytest.fixture
def exported(engine: Engine) -> dict[str, list[dict[str, str]]]:
    """Name -> labels of its samples, of a server that has a queue, a node and answered requests."""
    submit(engine, small_sweep(estimators=["st"], seeds=1))
    Queue(engine).see_nodes([NodeReport(name="a", device="cpu", slots=2, free=2)])
    found: dict[str, list[dict[str, str]]] = {}
    with browser_of(application(engine)) as http:
        for path in ("/boards/1", "/api/v1/boards/1", "/api/v1/sweeps/17"):
            http.get(path)
        text = http.get("/metrics").text
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    return found


def matches(how: str, wanted: str, value: str) -> bool:
    wanted = wanted.replace("\\\\", "\\")  # a string of PromQL
    if how == "=~":
        return re.fullmatch(wanted, value) is not None
    return (value == wanted) == (how == "=")


def test_every_query_selects_something(exported: dict[str, list[dict[str, str]]]) -> None:
    checked = set()
    for query in queries():
        for name, selector in SELECTED.findall(query):
            assert name in exported, f"{name} of {query}"
            wanted = MATCHER.findall(selector)
            assert bool(wanted) == bool(selector)
            fitting = [
                labels
                for labels in exported[name]
                if all(key in labels and matches(how, value, labels[key]) for key, how, value in wanted)
            ]
            assert fitting or "5.." in selector, f"{query} selects nothing"  # no request has failed
            checked.add(name)
    assert len(checked) >= 13


def test_groups_are_labels(exported: dict[str, list[dict[str, str]]]) -> None:
    for query in queries():
        known = {key for name, _ in SELECTED.findall(query) for labels in exported[name] for key in labels}
        asked = {key.strip() for group in GROUPED.findall(query) for key in group.split(",")}
        assert asked <= known, query
        assert query.count("(") == query.count(")")


def test_what_operators_need_is_on_it() -> None:
    text = " ".join(queries())
    for needed in (
        "heunboard_cohorts",
        'heunboard_attempts_lost_total{cause="silence"}',
        "heunboard_lane_steps_per_second",
        "heunboard_node_slot_difference",
        'heunboard_http_request_seconds_bucket{route=~"(/api/v1)?/boards/',
        'status=~"5.."',
        "heunboard_database_",
    ):
        assert needed in text


def test_panels_have_titles_places_and_the_provisioned_source() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    source = YAML(typ="safe").load(
        (DOCKER / "grafana/provisioning/datasources/prometheus.yml").read_text(encoding="utf-8")
    )["datasources"][0]
    for panel in panels:
        assert panel["title"]
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
        if panel["type"] != "row":
            assert panel["description"]
            assert panel["datasource"] == {"type": source["type"], "uid": source["uid"]}


def test_prometheus_asks_the_web_service() -> None:
    config = YAML(typ="safe").load((DOCKER / "prometheus.yml").read_text(encoding="utf-8"))
    (job,) = config["scrape_configs"]
    assert job["metrics_path"] == "/metrics"
    mounted = YAML(typ="safe").load((DOCKER.parent / "docker-compose.yml").read_text(encoding="utf-8"))
    (secret,) = mounted["services"]["prometheus"]["secrets"]
    assert job["authorization"]["credentials_file"] == f"/run/secrets/{secret}"
    assert job["static_configs"] == [{"targets": ["web:8000"]}]
