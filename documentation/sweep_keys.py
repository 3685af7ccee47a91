"""The page on the keys of a sweep file: every key of the models that a file is read with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.sweep_file.schema import SweepFile
from documentation import markdown

EXAMPLES = {
    "name": "name: vae-pilot",
    "description": "description: Which temperature, before the long run.",
    "owner": "owner: ana",
    "tags": "tags: [vae, pilot]",
    "task": "task: {id: polynomial, p: [1.5, 2]}",
    "estimators": "estimators: [st, {id: reinmax, temperature: [1.0, 1.3]}]",
    "grid": "grid: {optimizer: [adam, radam], lr: [1e-3, 5e-4]}",
    "grid.optimizer": "grid: {optimizer: {id: sgd, momentum: [0.0, 0.9]}}",
    "grid.lr": "grid: {lr: 1e-3}",
    "seeds": "seeds: 10",
    "select": "select: {metric: expected_loss, goal: minimize}",
    "select.metric": "select: {metric: train_loss}",
    "select.goal": "select: {goal: minimize}",
    "report": "report: [expected_loss, train_loss]",
    "priority": "priority: 10",
    "precision": "precision: tf32",
    "diagnostics": "diagnostics: {epochs: [1, 2]}",
    "diagnostics.epochs": "diagnostics: {epochs: 1}",
    "diagnostics.draws": "diagnostics: {epochs: 1, draws: 256}",
    "diagnostics.examples": "diagnostics: {epochs: 1, examples: 50}",
    "diagnostics.estimators": "diagnostics: {epochs: 1, estimators: [st, reinmax]}",
}
"""Key -> a line of a sweep file that uses it; each is read by a test."""

_IN_SECTION = {"type": "mapping of the keys below"}

_INTRODUCTION = """\
# Keys of a sweep file

Every key that a [sweep file](sweep-file.md) may have, from the models that it is read with. A dot stands
between a section and a key in it. A key without a default is required, unless another line says what
stands in its place. Names of tasks, estimators, optimizers and metrics, and the ranges of their
parameters, come from the registries: see [tasks](task-parameters.md) and [estimators](estimators.md)."""


def page() -> str:
    """The whole page."""
    rows = (
        (
            markdown.code(key),
            markdown.sentence(str(schema.get("description", ""))),
            markdown.allowed(schema),
            _default(schema, required),
            markdown.code(EXAMPLES[key]),
        )
        for key, schema, required in every_key()
    )
    return markdown.page(
        _INTRODUCTION, markdown.table(("Key", "Meaning", "Allowed", "Default", "Example"), rows)
    )


def every_key() -> Iterator[tuple[str, Mapping[str, Any], bool]]:
    """Every key with its schema and whether it is required, those of sections after the section."""
    schema = SweepFile.model_json_schema()
    sections = schema["$defs"]
    for name, own in schema["properties"].items():
        section = _section(own, sections)
        yield (
            name,
            own if section is None else _IN_SECTION | {"description": own["description"]},
            name in schema["required"],
        )
        for key, inner in (section or {}).get("properties", {}).items():
            yield f"{name}.{key}", inner, key in (section or {}).get("required", ())


def _section(schema: Mapping[str, Any], sections: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The section that a key holds, if it holds one."""
    for one in (schema, *schema.get("anyOf", ()), *schema.get("allOf", ())):
        if "$ref" in one:
            found: Mapping[str, Any] = sections[one["$ref"].rpartition("/")[2]]
            return found
    return None


def _default(schema: Mapping[str, Any], required: bool) -> str:
    value = schema.get("default")
    if required:
        return "required"
    return markdown.code(value) if value not in (None, "", [], {}) and not isinstance(value, dict) else ""
