"""The description of the API: every operation in words, with all of its answers and an example of each.

FastAPI derives it from the routes. What it cannot know is added here: that errors are problem details, which
answers any operation has besides its own, what a sweep file looks like, and examples. The examples are
answers of a server (``python -m tests.contract.examples`` records them), shortened.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from http import HTTPStatus
from importlib import resources
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from benchmarks.sweep import SweepFile
from service.api.problem_details import MEDIA_TYPE, TYPE_PREFIX, kinds
from service.resources.schemas import ProblemDocument

Document = dict[str, Any]
Answers = dict[int | str, Document]
"""As a route takes them: status -> description of an answer."""

TAGS = {
    "sweeps": "Submit sweeps, follow them, pause, resume, cancel and delete them.",
    "trials": "One trial: what was computed, its curves, who computed it.",
    "boards": "Leaderboards, their settings, files, figures and comparisons.",
    "suites": "Papers as data: what to compute of them, and what came of it beside what was published.",
    "registry": "Estimators and tasks that a sweep can name, and certificates.",
    "nodes": "Where trials are computed.",
    "attempts": "Every execution of trials, searchable.",
    "events": "What changes, as it changes.",
    "access": "Tokens, by which programs and people are known, and the audit of what they changed.",
    "health": "Probes and numbers for those who run the service.",
}
"""In the order in which pages show them; operations of other tags follow."""

COMMON: dict[int, str] = {
    401: "This needs a token, or the token that was sent is not valid.",
    403: "The token does not allow this, or a page of another server asks through a browser.",
    421: "The Host header is not a name of this server.",
    429: "More requests than allowed; ask again after Retry-After seconds.",
    500: "A mistake of the server; its log has the traceback.",
    503: "The database is away, or too much is asked at once; ask again after Retry-After seconds.",
}
"""Answers that every operation has."""

SUCCESS: dict[int, str] = {200: "What was asked for.", 201: "It was stored.", 204: "It is done."}
"""In place of FastAPI's words, where a route has none of its own."""

WITH_ID: dict[int, str] = {404: "There is nothing with this id."}
WITH_PARAMETERS: dict[int, str] = {422: "A value in the request cannot be used; `errors` says where."}
WITH_PAGES: dict[int, str] = {400: "The page token is not one of this list."}
WITH_BODY: dict[int, str] = {
    400: "The body cannot be read.",
    413: "The body is larger than the limit.",
    415: "The body is declared as another media type than this takes.",
}

TOKEN = {
    "type": "http",
    "scheme": "bearer",
    "description": "A token, as `heunboard token create` prints it. Where there is none, nobody needs one.",
}

_PROBLEM = {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{ProblemDocument.__name__}"}}}
SWEEP_FILE = {"schema": {"$ref": f"#/components/schemas/{SweepFile.__name__}"}}
"""What a sweep file is, in a body."""
METHODS = ("get", "post", "put", "patch", "delete")


def problems(**words: str) -> Answers:
    """Errors of one route besides those that follow from its form: ``problems(conflict="it is paused")``."""
    return {int(HTTPStatus[name.upper()]): {"description": text} for name, text in words.items()}


def operation_id(route: APIRoute) -> str:
    """``boards_list_cells``: what generated clients call the operation."""
    return "_".join([*map(str, route.tags[:1]), route.name])


def operations(schema: Document) -> Iterator[tuple[str, str, Document]]:
    """Path, method and description of every operation."""
    for path, found in schema["paths"].items():
        for method in METHODS:
            if method in found:
                yield path, method, found[method]


def install(app: FastAPI) -> None:
    """Complete what FastAPI says of ``app``.

    The application's default answer has to have the model :class:`ProblemDocument`.
    """
    describe: Callable[[], Document] = app.openapi

    def completed() -> Document:
        if app.openapi_schema is None:
            app.openapi_schema = _completed(describe())
        return app.openapi_schema

    app.openapi = completed  # type: ignore[method-assign] # FastAPI's own way of extending the description


def _completed(schema: Document) -> Document:
    components = schema["components"]["schemas"]
    sweep = SweepFile.model_json_schema(ref_template="#/components/schemas/{model}")
    components |= sweep.pop("$defs") | {SweepFile.__name__: sweep}
    for name in ("HTTPValidationError", "ValidationError"):
        components.pop(name, None)
    components[ProblemDocument.__name__]["properties"]["type"]["enum"] = sorted(
        TYPE_PREFIX + one for one in kinds()
    )
    schema["components"]["securitySchemes"] = {"token": TOKEN}
    schema["security"] = [{}, {"token": []}]  # the first: where everybody may do it
    examples = _examples()
    for _, _, operation in operations(schema):
        _summarise(operation)
        operation["responses"] = _answers(operation)
        _add_examples(operation, examples.get(operation["operationId"], {}))
    used = {tag for _, _, operation in operations(schema) for tag in operation["tags"]}
    named = [tag for tag in TAGS if tag in used] + sorted(used - set(TAGS))
    schema["tags"] = [{"name": tag, "description": TAGS.get(tag, "")} for tag in named]
    return schema


def _summarise(operation: Document) -> None:
    """The first sentence of a description is its summary."""
    first = operation["description"].partition("\n\n")[0].replace("\n", " ")
    operation["summary"] = first.partition(". ")[0].removesuffix(".")


def _answers(operation: Document) -> Document:
    """Its own answers and those that follow from its form, all errors as problem details."""
    own = {status: one for status, one in operation["responses"].items() if status != "default"}
    if "HTTPValidationError" in str(own.get("422")):
        del own["422"]  # FastAPI's words; ours follow from the form, too
    for status, answer in own.items():
        if answer["description"] == "Successful Response":
            answer["description"] = SUCCESS[int(status)]
    answers = {str(status): {"description": text} for status, text in _following(operation).items()} | own
    for status, answer in answers.items():
        if status >= "400":
            answer["content"] = _PROBLEM
    return dict(sorted(answers.items()))


def _following(operation: Document) -> dict[int, str]:
    """Answers that follow from the form of an operation: its parameters and its body."""
    parameters = operation.get("parameters", [])
    found = dict(COMMON)
    if any(one["in"] == "path" for one in parameters):
        found |= WITH_ID
    if any(one["in"] != "path" for one in parameters) or "requestBody" in operation:
        found |= WITH_PARAMETERS
    if any(one["name"] == "page_token" for one in parameters):
        found |= WITH_PAGES
    return found | WITH_BODY if "requestBody" in operation else found


def _examples() -> dict[str, Document]:
    found: dict[str, Document] = json.loads(
        resources.files(__package__).joinpath("examples.json").read_text(encoding="utf-8")
    )
    return found


def _add_examples(operation: Document, recorded: Document) -> None:
    """Put recorded bodies beside their schemas; those of types that are not recorded stay without."""
    for body in operation.get("requestBody", {}).get("content", {}).values():
        if "request" in recorded:
            body["example"] = recorded["request"]
    for status, bodies in recorded.get("answers", {}).items():
        content = operation["responses"].get(status, {}).get("content", {})
        for media_type, example in bodies.items():
            if media_type in content:
                content[media_type]["example"] = example
