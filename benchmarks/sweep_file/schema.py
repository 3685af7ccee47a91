"""The shape of a sweep file as pydantic models: keys, text lengths, lists. What the registries must be
asked for (names, ranges) follows in ``benchmarks.sweep_file.validation``."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema
from pydantic_core import ErrorDetails

from benchmarks.spec import PRECISIONS
from benchmarks.sweep_file.issues import Issues, at, listed, shown
from benchmarks.sweep_file.limits import (
    MAX_AXIS_VALUES,
    MAX_DESCRIPTION_LENGTH,
    MAX_DRAWS,
    MAX_ESTIMATORS,
    MAX_EXAMPLES,
    MAX_NAME_LENGTH,
    MAX_OPTIMIZERS,
    MAX_PRIORITY,
    MAX_SEED,
    MAX_SEEDS,
    MAX_TAG_LENGTH,
    MAX_TAGS,
    MIN_PRIORITY,
)

_SCALAR: dict[str, Any] = {"type": ["string", "number"]}
_VALUES: dict[str, Any] = {
    "anyOf": [_SCALAR, {"type": "array", "items": _SCALAR, "minItems": 1, "maxItems": MAX_AXIS_VALUES}]
}
_BLOCK: dict[str, Any] = {
    "type": "object",
    "properties": {"id": {"type": "string"}},
    "required": ["id"],
    "additionalProperties": _VALUES,
}
_NAMED: list[dict[str, Any]] = [{"type": "string"}, _BLOCK]
_OPTIMIZERS: dict[str, Any] = {
    "anyOf": [
        *_NAMED,
        {"type": "array", "items": {"anyOf": _NAMED}, "minItems": 1, "maxItems": MAX_OPTIMIZERS},
    ]
}
_ESTIMATOR: dict[str, Any] = {
    "anyOf": [
        {"type": "string"},
        _BLOCK | {"properties": {"id": {"type": "string"}, "optimizer": _OPTIMIZERS}},
    ]
}
_EPOCH: dict[str, Any] = {"type": "integer", "minimum": 1}
_EPOCHS: dict[str, Any] = {
    "anyOf": [
        _EPOCH,
        {
            "type": "array",
            "items": _EPOCH,
            "minItems": 1,
            "maxItems": MAX_AXIS_VALUES,
            "uniqueItems": True,
        },
    ]
}
_DRAWS: dict[str, Any] = {"type": "integer", "minimum": 2, "maximum": MAX_DRAWS, "multipleOf": 2}
_EXAMPLES: dict[str, Any] = {"type": "integer", "minimum": 1, "maximum": MAX_EXAMPLES}
_SEED: dict[str, Any] = {"type": "integer", "minimum": 0, "maximum": MAX_SEED}
_SEEDS: dict[str, Any] = {
    "anyOf": [
        {"type": "integer", "minimum": 1, "maximum": MAX_SEEDS},
        {"type": "array", "items": _SEED, "minItems": 1, "maxItems": MAX_SEEDS, "uniqueItems": True},
    ]
}
_PRIORITY: dict[str, Any] = {"type": "integer", "minimum": MIN_PRIORITY, "maximum": MAX_PRIORITY}
_PRECISION: dict[str, Any] = {"type": "string", "enum": list(PRECISIONS)}

Values = Annotated[Any, WithJsonSchema(_VALUES)]
Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME_LENGTH)]
Tags = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=MAX_TAG_LENGTH)]],
    Field(max_length=MAX_TAGS, json_schema_extra={"uniqueItems": True}),
]
Description = Annotated[str, Field(max_length=MAX_DESCRIPTION_LENGTH)]


class Section(BaseModel):
    """Base of the parts of a sweep file: unknown keys are errors, nothing is converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class GridSection(Section):
    """Optimizers and learning rates of every estimator that does not bring its own."""

    optimizer: Annotated[Any, WithJsonSchema(_OPTIMIZERS)] = Field(
        default=None,
        description="one optimizer or a list; each an id, or a mapping with an id and parameters",
    )
    lr: Values = Field(default=None, description="one learning rate or a list")


class SelectSection(Section):
    """The rule that chooses the best cell of an estimator."""

    metric: str | None = Field(default=None, description="a metric of the task")
    goal: str | None = Field(default=None, description="minimize or maximize")


class DiagnosticsSection(Section):
    """What is measured of gradients during training."""

    epochs: Annotated[Any, WithJsonSchema(_EPOCHS)] = Field(
        description="at the start of which epochs, e.g. [1, 2]"
    )
    draws: Annotated[Any, WithJsonSchema(_DRAWS)] = Field(default=1024, description="repeated estimates")
    examples: Annotated[Any, WithJsonSchema(_EXAMPLES)] = Field(
        default=100, description="examples of the fixed batch"
    )
    estimators: Annotated[
        list[Annotated[Any, WithJsonSchema({"anyOf": _NAMED})]], Field(max_length=MAX_ESTIMATORS)
    ] = Field(default=[], description="others to measure at the same parameters, each an id or a mapping")


class SweepFile(Section):
    """A sweep file, see ``docs/reference/sweep-file.md``."""

    name: Name = Field(description="what people call the sweep")
    description: Description = Field(default="", description="free text")
    owner: Name | None = Field(default=None, description="whose sweep it is")
    tags: Tags = Field(default=[], description="a list of short texts to find it by, e.g. [vae, pilot]")
    task: Annotated[dict[str, Any], WithJsonSchema(_BLOCK)] = Field(
        description="the task's id and parameters, e.g. {id: polynomial, p: 2}"
    )
    estimators: Annotated[
        list[Annotated[Any, WithJsonSchema(_ESTIMATOR)]],
        Field(min_length=1, max_length=MAX_ESTIMATORS),
    ] = Field(description="a list of ids, or of mappings with an id and parameters")
    grid: GridSection = Field(default=GridSection(), description="optimizer and lr")
    seeds: Annotated[Any, WithJsonSchema(_SEEDS)] = Field(description="a number of seeds, or a list of seeds")
    select: SelectSection = Field(default=SelectSection(), description="metric and goal")
    report: Annotated[list[str], Field(min_length=1)] | None = Field(
        default=None, description="metrics shown for the chosen cell"
    )
    priority: Annotated[Any, WithJsonSchema(_PRIORITY)] = Field(default=0, description="higher runs first")
    precision: Annotated[Any, WithJsonSchema(_PRECISION)] = Field(
        default="float32", description="float32 or tf32, of matmul on a GPU"
    )
    diagnostics: DiagnosticsSection | None = Field(
        default=None, description="epochs, draws, examples and estimators"
    )


_STAND_INS: dict[str, Any] = {"name": "stand-in", "task": {}, "estimators": [None], "seeds": 1}
_SECTIONS: dict[tuple[int | str, ...], type[Section]] = {
    (): SweepFile,
    ("grid",): GridSection,
    ("select",): SelectSection,
    ("diagnostics",): DiagnosticsSection,
}
_EXPECTED = {
    "string_type": "expected text, got {input}; put it in quotes if it is meant as text.",
    "string_too_short": "expected text, got none; write at least one character.",
    "string_too_long": "the text has {length:,} characters, at most {max_length:,} are allowed; shorten it.",
    "dict_type": "expected a mapping, got {input}; write {description}.",
    "model_type": "expected a mapping, got {input}; its keys are {description}.",
    "list_type": "expected a list, got {input}; write {description}.",
    "too_short": "the list is empty; give at least one entry.",
    "too_long": "the list has {actual_length:,} entries, at most {max_length:,} are allowed; shorten it.",
    "missing": "the key {key!r} is missing; write {description}.",
}


def read_fields(document: dict[str, Any], issues: Issues) -> dict[str, Any]:
    """The top-level values that have the right shape; what is wrong with the others is noted.

    Sections come as models; text keeps its type; names and numbers are not checked yet.
    """
    try:
        return dict(SweepFile.model_validate(document))
    except ValidationError as error:
        details = error.errors(include_url=False)
    for detail in details:
        _note(detail, issues)
    wrong = {str(detail["loc"][0]) for detail in details}
    rest = {key: value for key, value in document.items() if key not in wrong}
    stand_ins = {key: value for key, value in _STAND_INS.items() if key in wrong}
    fields = dict(SweepFile.model_validate(rest | stand_ins))
    return {key: value for key, value in fields.items() if key not in wrong}


def _note(detail: ErrorDetails, issues: Issues) -> None:
    location = detail["loc"]
    path = ""
    for part in location:
        path = at(path, part)
    fields = _SECTIONS.get(location[:-1], SweepFile).model_fields
    key = str(location[-1])
    if detail["type"] == "extra_forbidden":
        message = f"unknown key {shown(key)}; the keys here are {listed(fields)}."
        issues.add(path, message, given=key, names=list(fields))
        return
    given = detail["input"]
    facts: dict[str, Any] = dict(detail.get("ctx", {}))
    facts |= {"key": key, "input": shown(given), "length": len(given) if isinstance(given, str) else 0}
    facts["description"] = fields[key].description if key in fields else ""
    issues.add(path, _EXPECTED[detail["type"]].format(**facts))
