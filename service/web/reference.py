"""The page `/docs`: every operation of the API, from its OpenAPI description."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from io import StringIO
from typing import Any

from fastapi import APIRouter, Request
from markupsafe import Markup, escape
from ruamel.yaml import YAML
from starlette.responses import HTMLResponse

from service.dependencies import AddressDep
from service.web.render import page

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

Described = Mapping[str, Any]
"""A part of the OpenAPI description."""

LONGEST_INLINE = 160
"""Characters of a body that stands in a curl line itself; a longer one is read from a file."""

_CODE = re.compile(r"`+([^`]+)`+")
_METHODS = ("get", "post", "put", "patch", "delete")


@router.get("/docs")
def reference_page(request: Request, address: AddressDep) -> HTMLResponse:
    """All operations by tag, then the shapes of what they take and answer."""
    described = request.app.openapi()
    groups: dict[str, list[dict[str, Any]]] = {tag["name"]: [] for tag in described["tags"]}
    for path, methods in described["paths"].items():
        for method in _METHODS:
            if method in methods:
                operation = methods[method]
                groups[operation["tags"][0]].append(_operation(path, method, operation, address))
    return page(
        "reference.html",
        tags=described["tags"],
        groups=groups,
        schemas=[_schema(name, one) for name, one in sorted(described["components"]["schemas"].items())],
        problems=described["components"]["schemas"]["ProblemDocument"]["properties"]["type"].get("enum", ()),
        address=address,
    )


def _operation(path: str, method: str, operation: Described, address: str) -> dict[str, Any]:
    body = operation.get("requestBody", {})
    return {
        "id": operation["operationId"],
        "method": method.upper(),
        "path": path,
        "summary": _words(operation["summary"]),
        "paragraphs": [_words(text) for text in operation["description"].split("\n\n")],
        "parameters": [_parameter(one) for one in operation.get("parameters", [])],
        "body": _words(body.get("description", "")),
        "bodies": [_content(kind, one) for kind, one in body.get("content", {}).items()],
        "answers": [_answer(status, one) for status, one in operation["responses"].items()],
        "curl": _curl(path, method, operation, address),
    }


def _parameter(parameter: Described) -> dict[str, Any]:
    schema = parameter["schema"]
    return {
        "name": parameter["name"],
        "place": parameter["in"],
        "required": parameter.get("required", False),
        "type": _type(schema),
        "default": json.dumps(schema["default"]) if schema.get("default") not in (None, "") else "",
        "description": _words(parameter.get("description", "")),
    }


def _answer(status: str, answer: Described) -> dict[str, Any]:
    content = [_content(kind, one) for kind, one in answer.get("content", {}).items()]
    return {"status": status, "description": _words(answer["description"]), "content": content}


def _content(kind: str, content: Described) -> dict[str, Any]:
    reference = str(content.get("schema", {}).get("$ref", ""))
    return {
        "kind": kind,
        "schema": reference.rpartition("/")[2],
        "example": _text(kind, content["example"]) if "example" in content else "",
    }


def _text(kind: str, example: Any) -> str:
    """An example as it is sent."""
    if isinstance(example, str):
        return example
    if kind == "text/event-stream":
        return "".join(f"{name}: {value}\n" for name, value in example.items())
    if "yaml" not in kind:
        return json.dumps(example, indent=2, ensure_ascii=False)
    text = StringIO()
    writer = YAML()
    writer.default_flow_style = None  # short lists and mappings on one line
    writer.dump(example, text)
    return text.getvalue()


def _curl(path: str, method: str, operation: Described, address: str) -> str:
    """A command to copy, with examples in place of ids."""
    query = []
    for parameter in operation.get("parameters", []):
        examples = parameter["schema"].get("examples") or parameter["schema"].get("enum") or ["..."]
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", str(examples[0]))
        elif parameter.get("required"):
            query.append(f"{parameter['name']}={examples[0]}")
    url = address + path + ("?" + "&".join(query) if query else "")
    command = ["curl", *(() if method == "get" else ("-X", method.upper()))]
    for kind, content in list(operation.get("requestBody", {}).get("content", {}).items())[-1:]:
        text = json.dumps(content.get("example"))
        short = len(text) <= LONGEST_INLINE and "yaml" not in kind
        command += ["-H", f"Content-Type: {kind}", "--data-binary"]
        command += [text if short else "@sweep.yaml" if "yaml" in kind else "@body.json"]
    return shlex.join([*command, url])


def _schema(name: str, schema: Described) -> dict[str, Any]:
    required = schema.get("required", [])
    fields = [
        {
            "name": field,
            "type": _type(one),
            "required": field in required,
            "nullable": any(kind.get("type") == "null" for kind in one.get("anyOf", ())),
            "description": _words(one.get("description", "")),
        }
        for field, one in schema.get("properties", {}).items()
    ]
    paragraphs = [_words(text) for text in schema.get("description", "").split("\n\n") if text]
    return {"name": name, "paragraphs": paragraphs, "fields": fields}


def _type(schema: Described) -> Markup:
    """A schema in a few words, without whether it may be null; names of others are links."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return Markup('<a href="#schema-{0}">{0}</a>').format(name)
    for several in ("anyOf", "oneOf"):
        if several in schema:
            kinds = [one for one in schema[several] if one.get("type") != "null"]
            return Markup(" or ").join(dict.fromkeys(_type(one) for one in kinds))
    if "enum" in schema:
        return Markup(", ").join(Markup("<code>{}</code>").format(one) for one in schema["enum"])
    if "const" in schema:
        return Markup("<code>{}</code>").format(json.dumps(schema["const"]))
    kind = schema.get("type", "anything")
    if kind == "array":
        return Markup("list of ") + _type(schema.get("items", {}))
    words = " or ".join(kind) if isinstance(kind, list) else str(kind)
    return escape(" ".join([words, *_limits(schema)]))


def _limits(schema: Described) -> Iterator[str]:
    words = {
        "minimum": "from {}",
        "maximum": "to {}",
        "exclusiveMinimum": "above {}",
        "maxLength": "of at most {} characters",
        "format": "({})",
    }
    return (text.format(schema[name]) for name, text in words.items() if name in schema)


def _words(text: str) -> Markup:
    """Prose with what stands between backticks as code."""
    parts = _CODE.split(text)
    return Markup("").join(Markup("<code>{}</code>").format(p) if i % 2 else p for i, p in enumerate(parts))
