"""Tables and texts in Markdown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; bars inside of cells are escaped."""
    return "\n".join([_line(head), _line(["---"] * len(head)), *map(_line, rows)])


def page(*parts: str) -> str:
    """Parts with empty lines between them; empty parts are left out."""
    return "\n\n".join(part for part in parts if part) + "\n"


def code(value: object) -> str:
    """Set as code; nothing where there is nothing."""
    return f"`{value}`" if str(value) else ""


def from_docstring(text: str) -> str:
    """A docstring's double backticks as Markdown's single ones, in one line."""
    return " ".join(re.sub(r"``(.+?)``", r"`\1`", text).split())


_ATTRIBUTE = re.compile(r"^    (\w+): (.*?)(?=^    \w+: |\Z)", re.MULTILINE | re.DOTALL)


def attributes(docstring: str) -> dict[str, str]:
    """Name -> what the section ``Attributes`` of a docstring says of it."""
    section = docstring.partition("Attributes:\n")[2]
    return {name: from_docstring(text) for name, text in _ATTRIBUTE.findall(section)}


def sentence(text: str) -> str:
    """The text with a full stop and, unless it begins with a name of the code, a capital letter."""
    if not text:
        return ""
    first = text if "_" in text.split()[0] else text[:1].upper() + text[1:]
    return first if first.endswith(".") else f"{first}."


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |"


_TYPES = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false"}
_BOUNDS = (
    ("minimum", "at least {:,}"),
    ("exclusiveMinimum", "above {:,}"),
    ("maximum", "at most {:,}"),
    ("exclusiveMaximum", "below {:,}"),
    ("minLength", "at least {} characters"),
    ("maxLength", "at most {:,} characters"),
    ("minItems", "at least {}"),
    ("maxItems", "at most {:,}"),
    ("multipleOf", "a multiple of {}"),
)


def allowed(schema: Mapping[str, Any], link: str = "{name}") -> str:
    """What a JSON schema admits, in words; ``link`` is what stands for a schema of its own."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return link.format(name=name, anchor=name.lower())
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " or ".join(map(str, schema["enum"]))
    if "anyOf" in schema:
        choices = (allowed(one, link) for one in schema["anyOf"] if one.get("type") != "null")
        return ", or ".join(dict.fromkeys(choices))
    kinds = schema.get("type", "anything")
    kind = " or ".join(_TYPES.get(one, one) for one in ([kinds] if isinstance(kinds, str) else kinds))
    if kind == "array":
        kind = f"list of ({allowed(schema.get('items', {}), link)})"
    if kind == "object":
        kind = f"mapping with {', '.join(schema['properties'])}" if "properties" in schema else "mapping"
    bounds = [words.format(schema[key]) for key, words in _BOUNDS if key in schema]
    return ", ".join([kind, *bounds])
