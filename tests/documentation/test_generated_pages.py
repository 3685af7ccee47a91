"""Pages that are made from the code have everything that the code has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File
from mkdocs.structure.pages import Page
from ruamel.yaml import YAML
from typer.core import TyperGroup

from benchmarks.sweep import read_sweep
from benchmarks.tasks import registry as tasks
from documentation import (
    commands,
    exit_codes,
    fences,
    markdown,
    routes,
    settings,
    sweep_keys,
    task_parameters,
)
from documentation.hooks import PAGES, on_post_page
from service.cli.main import app
from service.settings import Settings

SMALLEST = {"name": "x", "task": {"id": "polynomial"}, "estimators": ["st"], "seeds": 1}


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEUNBOARD_DATA_HOME", str(tmp_path))


@pytest.mark.parametrize("name", PAGES)
def test_a_page_begins_with_its_title(name: str) -> None:
    assert PAGES[name]().startswith("# ")


def test_every_command_and_option_is_there() -> None:
    page = commands.page()
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    found = commands.every_command(group, "heunboard")
    assert len(found) > 30
    for name, command in found:
        assert f"## `{name}`\n" in page
        for parameter in command.params:
            if not getattr(parameter, "hidden", False):
                assert all(option in page for option in parameter.opts if option.startswith("-")), name
    assert "\n* `heunboard plan --suite reinmax-2023/table2 --tier full`\n" in page
    assert "--end-with-parent" not in page  # hidden: between processes of one `up`


def test_every_route_and_parameter_is_there() -> None:
    page, schema = routes.page(), routes.description()
    found = routes.operations(schema)
    assert len(found) == sum(len(methods) for methods in schema["paths"].values())
    for method, path, operation in found:
        section = page.partition(f"### `{method} {path}`\n")[2].partition("\n### ")[0]
        for parameter in operation.get("parameters", []):
            assert f"| `{parameter['name']}` | {parameter['in']} |" in section
        for status in operation["responses"]:
            assert f"| `{status}` |" in section or status == "default"


def test_an_example_of_an_answer_is_folded_and_cut() -> None:
    content = {"application/json": {"example": {"names": ["a"] * 50}}}
    text = routes.example({"201": {"content": content}, "400": {"content": content}})
    assert text.startswith('??? example "An answer"\n\n    ```json\n    {\n      "names": [\n        "a",\n')
    assert text.endswith('        "a",\n    ...\n    ```')
    assert text.count('"a"') == routes.EXAMPLE_LINES - 2
    assert routes.example({"201": {}, "400": {"content": content}}) == ""


def test_every_model_and_field_is_there() -> None:
    page, models = routes.models_page(), routes.description()["components"]["schemas"]
    assert len(models) > 50
    for name, model in models.items():
        section = page.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        assert all(f"| `{field}` | " in section for field in model.get("properties", ())), name
    assert "One of queued or running or paused or succeeded or failed or cancelled." in page


def test_every_setting_is_there_with_its_sentence_and_default() -> None:
    page = settings.page()
    assert set(settings.described()) == set(Settings.model_fields)
    assert "| `HEUNBOARD_LEASE_SECONDS` | Silence after which a running attempt is given up" in page
    assert "| `30` | number, above 0 |" in page
    for name in Settings.model_fields:
        assert f"| `{settings.variable(name)}` | " in page


def test_every_variable_that_the_code_reads_is_on_the_page() -> None:
    page = settings.page()
    root = Path(__file__).resolve().parents[2]
    files = [path for name in ("benchmarks", "workers", "service") for path in (root / name).rglob("*.py")]
    read = {name for path in files for name in re.findall(r"HEUNBOARD_[A-Z_]+[A-Z]", path.read_text())}
    assert len(read) > 10
    assert not [name for name in read if f"`{name}`" not in page]


def test_every_key_of_a_sweep_file_is_there() -> None:
    keys = {key for key, _, _ in sweep_keys.every_key()}
    assert keys == set(sweep_keys.EXAMPLES)
    assert {"name", "seeds", "grid.lr", "select.metric", "diagnostics.draws"} <= keys
    page = sweep_keys.page()
    assert "| `diagnostics.draws` | Repeated estimates. | whole number, at least 2, at most 65,536" in page
    assert "| `diagnostics.epochs` |" in page.split("`diagnostics.draws`")[0]


@pytest.mark.parametrize("key", sweep_keys.EXAMPLES)
def test_an_example_of_a_key_uses_it_and_is_accepted(key: str) -> None:
    example = YAML(typ="safe").load(sweep_keys.EXAMPLES[key])
    inner: object = example
    for part in key.split("."):
        assert isinstance(inner, dict)
        inner = inner[part]
    read_sweep(SMALLEST | example)


def test_tasks_have_their_parameters_and_metrics() -> None:
    page = task_parameters.page()
    for id in ("polynomial", "categorical_vae", "bernoulli_vae", "listops", "gdas"):
        section = page.partition(f"\n## {id}\n")[2].partition("\n## ")[0]
        info = tasks.get(id)
        for name in (*(p.name for p in info.parameters), *(m.name for m in info.metrics)):
            assert f"| `{name}` | " in section


def test_exit_codes_have_their_meaning() -> None:
    page = exit_codes.page()
    assert re.findall(r"^\| `(\d+)` \|", page, re.MULTILINE) == ["0", "1", "2", "3", "130"]
    assert "| `2` | The input is wrong. |" in page
    assert "| `3` | `compare` found what `--fail-on` names. |" in page


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 500}, "whole number, at least 1, at most 500"),
        ({"anyOf": [{"type": "string", "maxLength": 200}, {"type": "null"}]}, "text, at most 200 characters"),
        ({"type": "array", "items": {"type": "number"}, "minItems": 1}, "list of (number), at least 1"),
        ({"enum": ["svg", "png"]}, "svg or png"),
        ({"$ref": "#/components/schemas/SweepState"}, "SweepState"),
    ],
)
def test_schemas_in_words(schema: dict[str, object], words: str) -> None:
    assert markdown.allowed(schema) == words


def test_equations_are_mathematics_and_states_are_a_table() -> None:
    assert "<msub><mi>π</mi><mrow><mi>τ</mi></mrow></msub>" in fences.equation("(1/K) pi_tau")
    table = fences.states("stateDiagram-v2\n    [*] --> queued\n    queued --> running: claim\n")
    assert "<tr><td>begins</td><td><code>queued</code></td><td></td></tr>" in table
    assert "<tr><td><code>queued</code></td><td><code>running</code></td><td>claim</td></tr>" in table


def test_a_page_that_loads_something_from_elsewhere_is_refused() -> None:
    config = MkDocsConfig()
    config.load_dict({"site_name": "x", "docs_dir": str(Path(__file__).parent)})
    config.validate()
    page = Page("x", File("x.md", "docs", "site", use_directory_urls=False), config)
    own = (
        '<link rel="canonical" href="http://127.0.0.1:8001/x.html"><link rel="stylesheet" href="a.css">'
        '<script src="assets/a.js"></script><a href="https://example.org">elsewhere</a>'
    )
    assert on_post_page(own, page) == own
    for foreign in (
        '<script src="https://unpkg.com/a.js"></script>',
        '<link rel="stylesheet" href="https://fonts.example.org/a.css">',
        '<link href="//example.org" rel="preconnect">',
        "<img src=http://example.org/a.png>",
    ):
        with pytest.raises(PluginError, match=r"x\.md loads something from elsewhere: <"):
            on_post_page(own + foreign, page)
