"""The description of the API, with every error as what it is: problem details."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI

from service.api.problem_details import MEDIA_TYPE
from service.resources.schemas import ProblemDocument

_PROBLEM = {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{ProblemDocument.__name__}"}}}


def install(app: FastAPI) -> None:
    """Correct what FastAPI says of errors: that they are ``application/json``, and of a shape of its own.

    The application's default answer has to have the model :class:`ProblemDocument`.
    """
    describe: Callable[[], dict[str, Any]] = app.openapi

    def corrected() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _corrected(describe())
        return app.openapi_schema

    app.openapi = corrected  # type: ignore[method-assign] # FastAPI's own way of extending the description


def _corrected(schema: dict[str, Any]) -> dict[str, Any]:
    for operations in schema["paths"].values():
        for operation in operations.values():
            for status, answer in operation["responses"].items():
                if status == "default" or status >= "400":
                    answer["content"] = _PROBLEM
    for name in ("HTTPValidationError", "ValidationError"):
        schema["components"]["schemas"].pop(name, None)
    return schema
