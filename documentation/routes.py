"""The pages on the REST API: operations and models of the application's own OpenAPI description."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from itertools import groupby
from typing import Any

from sqlalchemy import create_engine

from documentation import markdown
from service.app import create_app
from service.settings import Settings

_INTRODUCTION = """\
# REST API

Every operation of the service, from the description that the server itself gives at `/openapi.json`.
Errors are problem documents ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)): they say what came,
what was expected and what to do."""

_MODELS = """\
# Models of the REST API

What the bodies of [requests and answers](rest-api.md) hold. A field that is not required may be left out of a
request; answers have all of them."""
EXAMPLE_LINES = 40
_LINK = "[{name}](rest-models.md#{anchor})"


def page() -> str:
    """The page of operations."""
    schema = description()
    found = operations(schema)
    described = {tag["name"]: tag["description"] for tag in schema.get("tags", ())}
    rows = (
        (f"[`{method} {path}`](#{anchor(method, path)})", _first_sentence(operation))
        for method, path, operation in found
    )
    return markdown.page(
        _INTRODUCTION,
        markdown.table(("Operation", "What it does"), rows),
        *(
            _group(tag, described.get(tag, ""), part)
            for tag, part in groupby(found, key=lambda one: one[2]["tags"][0])
        ),
    )


def models_page() -> str:
    """The page of models."""
    models = description()["components"]["schemas"]
    return markdown.page(_MODELS, *(_model_section(name, models[name]) for name in sorted(models)))


@cache
def description() -> dict[str, Any]:
    """The OpenAPI description; the database is never asked."""
    return create_app(Settings(), create_engine("sqlite://")).openapi()


def operations(schema: Mapping[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Method, path and description of every operation, those of one tag together."""
    found = [
        (method.upper(), path, operation)
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    ]
    tags = list(dict.fromkeys(operation["tags"][0] for _, _, operation in found))
    return sorted(found, key=lambda one: tags.index(one[2]["tags"][0]))


def anchor(method: str, path: str) -> str:
    """Of the heading of an operation."""
    return f"{method} {path}".lower().translate({ord(sign): None for sign in "/{}."}).replace(" ", "-")


def _group(tag: str, words: str, found: Iterable[tuple[str, str, dict[str, Any]]]) -> str:
    return markdown.page(f"## {tag.capitalize()}", words, *(_operation(*one) for one in found)).strip()


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    return "\n\n".join(
        part
        for part in (
            f"### `{method} {path}`",
            _words(operation),
            _parameters(operation.get("parameters", [])),
            _body(operation.get("requestBody")),
            _answers(operation["responses"]),
            example(operation["responses"]),
        )
        if part
    )


def _parameters(parameters: list[dict[str, Any]]) -> str:
    rows = [
        (
            markdown.code(p["name"]),
            p["in"],
            markdown.sentence(markdown.from_docstring(p.get("description", ""))),
            markdown.allowed(p["schema"], _LINK),
            "required" if p.get("required") else markdown.code(_text(p["schema"].get("default"))),
        )
        for p in parameters
    ]
    return markdown.table(("Parameter", "In", "Meaning", "Allowed", "Default"), rows) if rows else ""


def _body(body: dict[str, Any] | None) -> str:
    if body is None:
        return ""
    kinds = ", ".join(
        f"`{kind}`{_model(content.get('schema', {}))}" for kind, content in body["content"].items()
    )
    words = markdown.sentence(markdown.from_docstring(body.get("description", "")))
    return f"Body: {words} {kinds}.".replace("  ", " ")


def _answers(responses: dict[str, Any]) -> str:
    rows = (
        (
            markdown.code(status) if status != "default" else "any other",
            answer.get("description", "").replace("Successful Response", "Done."),
            ", ".join(
                f"`{kind}`{_model(content.get('schema', {}))}"
                for kind, content in answer.get("content", {}).items()
            ),
        )
        for status, answer in responses.items()
    )
    return markdown.table(("Status", "Answer", "Content"), rows)


def example(responses: Mapping[str, Any]) -> str:
    """The example of what is answered when all goes well, folded and cut; nothing where there is none."""
    for status, answer in responses.items():
        given = answer.get("content", {}).get("application/json", {}).get("example")
        if status.startswith("2") and given is not None:
            lines = json.dumps(given, indent=2, ensure_ascii=False).splitlines()
            cut = [*lines[:EXAMPLE_LINES], *["..."] * (len(lines) > EXAMPLE_LINES)]
            return "\n".join(
                ['??? example "An answer"\n', "    ```json", *(f"    {x}" for x in cut), "    ```"]
            )
    return ""


def _model(schema: Mapping[str, Any]) -> str:
    named = "$ref" in schema or "items" in schema
    return f" ({markdown.allowed(schema, _LINK)})" if named else ""


def _model_section(name: str, schema: Mapping[str, Any]) -> str:
    words = str(schema.get("description", "")).split("\n\n")[0]
    parts = (f"## {name}", markdown.from_docstring(words), _fields(schema))
    return "\n\n".join(part for part in parts if part)


def _fields(schema: Mapping[str, Any]) -> str:
    if "properties" not in schema:
        return f"One of {markdown.allowed(schema, _LINK)}." if "enum" in schema else ""
    required = schema.get("required", ())
    rows = (
        (
            markdown.code(field),
            markdown.sentence(markdown.from_docstring(own.get("description", ""))),
            markdown.allowed(own, _LINK),
            "yes" if field in required else "",
        )
        for field, own in schema["properties"].items()
    )
    return markdown.table(("Field", "Meaning", "Type", "Required"), rows)


def _words(operation: Mapping[str, Any]) -> str:
    paragraphs = str(operation.get("description", operation.get("summary", ""))).split("\n\n")
    return "\n\n".join(map(markdown.from_docstring, paragraphs))


def _first_sentence(operation: Mapping[str, Any]) -> str:
    return _words(operation).split("\n\n")[0].split(". ")[0].rstrip(".") + "."


def _text(value: object) -> str:
    return "" if value in (None, "") else str(value).lower() if isinstance(value, bool) else str(value)
