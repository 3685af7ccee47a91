"""The shape of the repository, as rules that can fail."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from enum import StrEnum
from pathlib import Path

import pytest

from service.states import MACHINES, mermaid

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("estimators", "benchmarks", "workers", "service", "heunboard")
ALL = (*PACKAGES, "documentation")  # which is not installed: it makes pages of the site

TORCH_FREE = (
    "estimators",
    "estimators.info",
    "estimators.registry",
    "estimators.certification.record",
    "estimators.certification.picture",
    "benchmarks.datasets.catalogue",
    "benchmarks.engine.optimizers.fixed",
    "benchmarks.engine.optimizers.registry",
    "benchmarks.spec",
    "benchmarks.sweep",
    "benchmarks.scoring.claims",
    "benchmarks.scoring.halving",
    "benchmarks.scoring.orders",
    "benchmarks.scoring.seeds",
    "benchmarks.scoring.verdicts",
    "benchmarks.suites.published",
    "benchmarks.tasks.info",
    "benchmarks.tasks.registry",
    "benchmarks.tasks.tables",
    "workers.ports",
    "workers.messages",
    "workers.planning",
    "service.app",
    "service.cli",
    "service.client",
    "heunboard",
)


def python_files(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def test_import_contracts_hold() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("module", TORCH_FREE)
def test_module_loads_neither_torch_nor_ray(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({{'torch', 'ray'}} & set(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == ""


def test_commands_that_talk_to_a_server_load_no_database() -> None:
    """The address of the server is settled without one, too."""
    code = "import sys, service.cli, service.client as c; c.default_url(); print('sqlalchemy' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "False"


def imported(path: Path) -> set[str]:
    """Full names of the modules and of the names that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_private_modules_are_imported_by_their_own_package_alone(package: str) -> None:
    for path in python_files(*(other for other in PACKAGES if other != package)):
        private = {
            name
            for name in imported(path)
            if name.startswith(f"{package}.") and any(part.startswith("_") for part in name.split("."))
        }
        assert not private, f"{path.relative_to(ROOT)} imports {', '.join(sorted(private))}"


def test_scoring_imports_numpy_and_scipy_alone() -> None:
    known = {"numpy", "scipy", "benchmarks.scoring", *sys.stdlib_module_names}
    for path in python_files("benchmarks/scoring"):
        for name in imported(path):
            assert name.split(".")[0] in known or ".".join(name.split(".")[:2]) in known, (path, name)


def test_only_one_file_imports_ray() -> None:
    importers = {
        str(path.relative_to(ROOT))
        for path in python_files(*ALL)
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Import) and any(a.name.split(".")[0] == "ray" for a in node.names))
        or (isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "ray")
    }
    assert importers == {"workers/ray_launcher.py"}


def test_only_one_file_of_benchmarks_touches_private_torch() -> None:
    """Underscored modules and attributes of torch, and what it calls experimental, change without notice."""
    touching = set()
    for path in python_files("benchmarks", "workers", "service"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [ast.unparse(node)] if isinstance(node, ast.Attribute) else []
            if any(re.match(r"torch\.(\w+\.)*(_[a-z]|experimental)", name) for name in names):
                touching.add(str(path.relative_to(ROOT)))
    assert touching == {"benchmarks/engine/compiled/inductor.py"}


def test_tests_say_for_how_long_they_wait_for_an_answer() -> None:
    """httpx waits for 5 seconds, and a machine may stand still for longer than that."""
    asking = re.compile(r"httpx\.(get|options|head|post|put|patch|delete|request|stream|Client|AsyncClient)")
    unsaid = {
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in python_files("tests")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and asking.fullmatch(ast.unparse(node.func))
        if not {"timeout", "transport"} & {keyword.arg for keyword in node.keywords}
    }
    assert not unsaid


def test_alembic_folder_does_not_hide_the_library() -> None:
    assert not (ROOT / "alembic" / "__init__.py").exists()


def test_every_test_folder_is_a_package() -> None:
    folders = {path.parent for path in python_files("tests")}
    assert [str(f) for f in folders if not (f / "__init__.py").exists()] == []


def test_the_four_packages_are_listed_one_by_one() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert config["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == list(PACKAGES)


def _function_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring."""
    first = node.body[0]
    is_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    doc = (first.end_lineno or 0) - first.lineno + 1 if is_docstring else 0
    return (node.end_lineno or 0) - node.lineno + 1 - doc


def test_functions_stay_small() -> None:
    """Median at most 10 lines, 90th percentile at most 30, none over 60."""
    sizes = sorted(
        (_function_lines(node), f"{path.relative_to(ROOT)}:{node.name}")
        for path in python_files(*ALL)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    lines = [size for size, _ in sizes]
    assert lines[-1] <= 60, sizes[-3:]
    assert lines[len(lines) // 2] <= 10
    assert lines[int(len(lines) * 0.9)] <= 30


def test_public_functions_are_documented() -> None:
    """Every module, public class and public function of the packages says what it is."""
    missing = []
    for path in python_files(*ALL):
        tree = ast.parse(path.read_text())
        if tree.body and ast.get_docstring(tree) is None:
            missing.append(str(path.relative_to(ROOT)))
        missing += [
            f"{path.relative_to(ROOT)}:{node.name}"
            for node in tree.body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            and not node.name.startswith("_")
            and ast.get_docstring(node) is None
        ]
    assert missing == []


@pytest.mark.parametrize("kind", MACHINES, ids=lambda kind: kind.__name__)
def test_documented_states_are_the_real_ones(kind: type[StrEnum]) -> None:
    documented = (ROOT / "docs" / "explanation" / "architecture.md").read_text()
    assert f"```mermaid\n{mermaid(MACHINES[kind])}\n```" in documented
