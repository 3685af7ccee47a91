"""The description of the API is complete: words, all answers, an example of each body."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from service.api import openapi
from service.resources.schemas import PREFIX
from tests.support.databases import engine_of
from tests.support.web import application

BINARY = {"image/png", "image/svg+xml", "application/vnd.apache.parquet"}
"""Files of whose content the description shows nothing."""
PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}}


@pytest.fixture(scope="module")
def description(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    path: Path = tmp_path_factory.mktemp("openapi") / "board.sqlite"
    with engine_of(f"sqlite:///{path}") as engine:
        yield application(engine).openapi()


def bodies(operation: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(where, media type, content) of its request and of what it answers when all is well."""
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        yield "request", kind, content
    for status, answer in operation["responses"].items():
        if status < "300":
            for kind, content in answer.get("content", {}).items():
                yield status, kind, content


def test_every_operation_is_told_in_words(description: dict[str, Any]) -> None:
    found = list(openapi.operations(description))
    assert len(found) >= 55
    tags = {tag["name"] for tag in description["tags"]}
    ids = [operation["operationId"] for _, _, operation in found]
    assert len(set(ids)) == len(ids)
    for path, method, operation in found:
        place = (path, method)
        assert re.fullmatch("[a-z]+_[a-z_]+", operation["operationId"]), place
        assert 5 <= len(operation["summary"]) <= 110, place
        assert operation["description"].replace("\n", " ").startswith(operation["summary"]), place
        assert operation["tags"], place
        assert tags.issuperset(operation["tags"]), place
        for parameter in operation.get("parameters", []):
            assert parameter["in"] != "path" or parameter["description"], place


def test_every_answer_is_described_with_its_type(description: dict[str, Any]) -> None:
    for path, method, operation in openapi.operations(description):
        place, answers = (path, method), operation["responses"]
        assert any(status < "300" for status in answers), place
        assert "default" not in answers, place
        assert {str(status) for status in openapi.COMMON} <= set(answers), place
        names = {parameter["name"] for parameter in operation.get("parameters", [])}
        assert ("304" in answers) == ("if-none-match" in names), place
        assert ("404" in answers) >= ("{" in path), place
        assert ("400" in answers) >= ("page_token" in names), place
        assert ({"413", "415", "422"} <= set(answers)) >= ("requestBody" in operation), place
        for status, answer in answers.items():
            assert answer["description"], place
            if status >= "400":
                assert answer["content"] == PROBLEM, (place, status)
            elif status in ("204", "304"):
                assert not answer.get("content"), (place, status)
            else:
                assert answer["content"], (place, status)


def test_every_body_has_an_example_that_fits_its_schema(description: dict[str, Any]) -> None:
    seen = 0
    for path, method, operation in openapi.operations(description):
        for where, kind, content in bodies(operation):
            if kind in BINARY or (where == "200" and "201" in operation["responses"]):
                continue  # the second: of a suite of which nothing was left to submit, as where something was
            assert "example" in content, (path, method, where, kind)
            schema = {"components": description["components"]} | content.get("schema", {})
            jsonschema_rs.validator_for(schema).validate(content["example"])
            seen += 1
    assert seen >= 60


def test_a_sweep_is_taken_as_yaml_and_json(description: dict[str, Any]) -> None:
    content = description["paths"][f"{PREFIX}/sweeps"]["post"]["requestBody"]["content"]
    assert list(content) == ["application/json", "application/yaml"]
    for body in content.values():
        assert body["schema"] == {"$ref": "#/components/schemas/SweepFile"}
        assert body["example"]["task"]["id"] == "polynomial"
