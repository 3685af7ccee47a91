"""Answers of the API of which a test states what matters to it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel

from service.resources.schemas import SweepDetail

M = TypeVar("M", bound=BaseModel)
EMPTY: dict[Any, Any] = {str: "", int: 0, float: 0.0, bool: False, Any: None, NoneType: None}


def filled(kind: type[M], given: Mapping[str, Any] | None = None) -> M:
    """A model with some fields, likewise of those inside; what is required besides is empty."""
    return kind.model_validate(_document(kind, given or {}))


def sweep_answer(state: str = "running", **given: Any) -> SweepDetail:
    """A sweep as the API answers it."""
    return filled(SweepDetail, {"id": "1", "name": "small", "state": state, "held": "active"} | given)


def _document(kind: type[BaseModel], given: Mapping[str, Any]) -> dict[str, Any]:
    required = {name: field.annotation for name, field in kind.model_fields.items() if field.is_required()}
    known = {name: field.annotation for name, field in kind.model_fields.items() if name in given}
    return {name: _empty(of) for name, of in required.items()} | {
        name: _given(of, given[name]) for name, of in known.items()
    }


def _given(of: Any, value: Any) -> Any:
    """A value with what models inside it need."""
    if isinstance(value, BaseModel):
        return value
    if isinstance(value, Mapping) and isinstance(of, type) and issubclass(of, BaseModel):
        return _document(of, value)
    if isinstance(value, list | tuple):
        return [_given(get_args(of)[0], one) for one in value]
    return value


def _empty(of: Any) -> Any:
    origin, inside = get_origin(of), get_args(of)
    if origin in (Union, UnionType):
        return None if NoneType in inside else _empty(inside[0])
    if origin is Literal:
        return inside[0]
    if origin in (list, dict):
        return origin()
    if of is datetime:
        return datetime(2030, 1, 1, tzinfo=UTC)
    if isinstance(of, type) and issubclass(of, BaseModel):
        return _document(of, {})
    return EMPTY[of]
