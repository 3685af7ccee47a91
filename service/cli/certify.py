"""``heunboard certify``: measure what an estimator declares, on this machine."""

from __future__ import annotations

import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.problems import nearest
from estimators import registry
from estimators.certification import picture
from estimators.certification.record import COMMON_PROBLEM, Certificate, Finding
from service.certificates import text_of
from service.cli.output import AsJson, console, print_json

VERDICT_STYLES = {
    "as declared": "green",
    "contradicts": "bold red",
    "not detectable": "yellow",
    "not declared": "dim",
}

Subject = Annotated[
    str | None, typer.Argument(help="Estimator id, or path/to/file.py:function.", show_default=False)
]
Tell = Callable[[float, str], None]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(certify)


def certify(
    subject: Subject = None,
    every: Annotated[bool, typer.Option("--all", help="All registered estimators.")] = False,
    like: Annotated[
        str | None, typer.Option(help="Estimator id that a function of your own claims to be.")
    ] = None,
    image: Annotated[
        Path | None, typer.Option("--picture", help="Write a picture, FILE.svg or FILE.html.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write ID.json of every certificate to this folder.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure bias, order of accuracy, variance and cost of an estimator; status 1 if it is not as declared.

    A file named as FILE:FUNCTION is executed. Nothing is sent to a server.
    """
    _check(subject, every, like)
    _check_files(every, image, out)
    subjects = list(registry.available()) if every else [_load(str(subject), like)]
    certificates = []
    for one in subjects:
        certificates.append(_measure(one))
        _write(certificates[-1], out, image)
    if as_json:
        answers = [certificate.to_json() for certificate in certificates]
        print_json(answers if every else answers[0])
    elif every:
        show_all(console(), certificates)
    else:
        show(console(), certificates[0])
    if not all(certificate.passed for certificate in certificates):
        raise typer.Exit(1)


def show(out: Console, certificate: Certificate) -> None:
    """One certificate: findings, figures by problem, cost."""
    verdict = "[green]as declared[/]" if certificate.passed else "[bold red]not as declared[/]"
    out.print(
        f"\n[bold]{escape(certificate.title)}[/] version {certificate.version}: {verdict}", highlight=False
    )
    findings = _table("property", "declared", "measured", "verdict")
    for finding in certificate.findings:
        findings.add_row(*_finding(finding))
    out.print(findings)
    figures = _table("problem", "order", "bias, s = 1", "variance", "cosine", "draws")
    for problem in certificate.problems:
        point = next(p for p in problem.points if p.scale == 1.0)
        draws = "enumerated" if point.exact else f"{point.draws:,}"
        order = "–" if problem.order is None else str(problem.order)
        figures.add_row(
            problem.problem, order, str(point.bias), str(point.variance), str(point.cosine), draws
        )
    out.print(figures)
    for line in (_cost_line(certificate), NOTE):
        out.print(f"[dim]{escape(line)}[/]", highlight=False)


def show_all(out: Console, certificates: list[Certificate]) -> None:
    """One line for each estimator."""
    names = (
        "estimator",
        "verdict",
        "order",
        "bias",
        "variance",
        "cosine",
        "evaluations",
        "time / st",
        "memory / st",
    )
    table = _table(*names)
    for certificate in certificates:
        table.add_row(*_summary(certificate))
    out.print(table)
    text = f"Bias, variance and cosine on {COMMON_PROBLEM} at scale 1. {NOTE}"
    out.print(f"[dim]{escape(text)}[/]", highlight=False)
    for certificate in certificates:
        for finding in certificate.contradictions:
            text = (
                f"{certificate.id}: {finding.name}: declared {finding.declared}, measured {finding.measured}"
            )
            out.print(f"[red]{escape(text)}[/]", highlight=False)


NOTE = (
    "Bias and variance are relative to the exact gradient; intervals hold with 95 %. A correct estimator is "
    "contradicted in one property with a probability of about 1e-6."
)


def _summary(certificate: Certificate) -> list[str]:
    point, cost = certificate.common, certificate.cost
    return [
        certificate.id,
        "[green]passed[/]" if certificate.passed else "[bold red]failed[/]",
        "–" if certificate.order is None else f"{certificate.order.value:.2f}",
        point.bias_text(),
        f"{point.variance.value:.3g}",
        f"{point.cosine.value:.3f}",
        f"{cost.evaluations}",
        f"{cost.seconds_ratio.value:.1f}",
        f"{cost.peak_ratio:.1f}",
    ]


def _cost_line(certificate: Certificate) -> str:
    cost = certificate.cost
    return (
        f"{cost.evaluations} evaluations of f; forward and backward on {cost.shape} in "
        f"{cost.seconds.value * 1e3:.3g} ms, {cost.seconds_ratio} times st; "
        f"{cost.peak_bytes / 2**20:.1f} MiB, {cost.peak_ratio:.2f} times st. "
        f"torch {certificate.torch}, {certificate.device}, seed {certificate.seed}, "
        f"{certificate.seconds:.1f} s."
    )


def _finding(finding: Finding) -> tuple[str, ...]:
    style = VERDICT_STYLES[finding.verdict]
    return finding.name, escape(finding.declared), escape(finding.measured), f"[{style}]{finding.verdict}[/]"


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in names:
        table.add_column(name, overflow="fold")
    return table


def _check(subject: str | None, every: bool, like: str | None) -> None:
    if every == bool(subject):
        raise typer.BadParameter("give one estimator id or FILE:FUNCTION, or --all")
    if like is not None:
        _check_id(like)
        if every or ":" not in str(subject):
            raise typer.BadParameter(
                f"--like is for FILE:FUNCTION; {subject or '--all'} has its own declaration"
            )


def _check_files(every: bool, image: Path | None, out: Path | None) -> None:
    """Refuse before measuring what could not be written after it."""
    if image is not None and (every or image.suffix not in (".svg", ".html")):
        raise typer.BadParameter("--picture takes one estimator and a FILE.svg or FILE.html")
    if image is not None and not image.parent.is_dir():
        raise typer.BadParameter(f"--picture {image}: there is no folder {image.parent}; make it first")
    if out is not None:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise typer.BadParameter(f"--out {out} cannot be made a folder: {error.strerror}") from error


def _check_id(id: str) -> None:
    if id not in registry.available():
        near = nearest(id, registry.available())
        hint = f"did you mean {near!r}? There are" if near else "there are"
        raise typer.BadParameter(
            f"no estimator {id!r}; {hint} {', '.join(registry.available())}. A function of your own is "
            "path/to/file.py:function"
        )


def _load(subject: str, like: str | None) -> Any:
    """What ``estimators.certify`` takes for the argument of the command."""
    file, colon, name = subject.rpartition(":")
    if not colon and subject.endswith(".py"):
        raise typer.BadParameter(f"{subject} names a file only; name the function too: {subject}:FUNCTION")
    if not colon:
        _check_id(subject)
        return subject
    from estimators.certify import describe  # torch takes seconds to import; other commands do without

    try:
        return describe(_function(Path(file), name), like=None if like is None else registry.get(like))
    except TypeError as error:
        raise typer.BadParameter(str(error)) from error


def _function(file: Path, name: str) -> Callable[..., Any]:
    """Execute a file and take a function from it."""
    module = _module(file)
    function: object = getattr(module, name, None)
    if callable(function):
        return function
    found = f"{name!r} there is of type {type(function).__name__}" if function else f"it has no {name!r}"
    own = [n for n, x in vars(module).items() if inspect.isfunction(x) and x.__module__ == module.__name__]
    raise typer.BadParameter(f"{file} needs a function: {found}. Its functions: {', '.join(own) or 'none'}")


def _module(file: Path) -> ModuleType:
    """The file as a module whose name hides no other; it finds modules beside it, as a script does."""
    name = f"certified_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if not file.is_file() or spec is None or spec.loader is None:
        state = "is no Python file" if file.exists() else f"does not exist in {Path.cwd()}"
        raise typer.BadParameter(f"{str(file)!r} {state}; expected path/to/file.py:function")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and annotations of the file look themselves up there
    sys.path.insert(0, str(file.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a user's file raises is the answer
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(file)]
        line = f" line {lines[-1]}" if lines else ""
        raise typer.BadParameter(f"{file} does not run:{line} {type(error).__name__}: {error}") from error
    return module


def _measure(subject: Any) -> Certificate:
    # torch takes seconds to import; other commands do without
    from estimators.certify import NotAnEstimator
    from estimators.certify import certify as measure

    name = subject if isinstance(subject, str) else subject.title
    try:
        with _progress(name) as tell:
            return measure(subject, progress=tell)
    except NotAnEstimator as error:
        raise typer.BadParameter(str(error)) from error


@contextmanager
def _progress(name: str) -> Iterator[Tell]:
    """A line on standard error that says what is measured; nothing when it is not a terminal."""
    err = Console(stderr=True)
    with err.status(f"certify {escape(name)}") as status:
        yield lambda share, what: status.update(f"certify {escape(name)}: {what} ({share:.0%})")


def _write(certificate: Certificate, out: Path | None, image: Path | None) -> None:
    if out is not None:
        (out / f"{certificate.id}.json").write_text(text_of(certificate), "utf-8")
    if image is not None:
        draw = picture.svg if image.suffix == ".svg" else picture.html
        image.write_text(draw(certificate), "utf-8")
