"""``heunboard certify``: measure what an estimator declares, on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from estimators import registry
from estimators.certification import picture
from estimators.certification.record import COMMON_PROBLEM, Certificate, Finding
from estimators.info import EstimatorInfo
from service.cli import completion
from service.cli.output import AsJson, Url, console, print_json
from service.cli.subjects import check_id, load, read_settings
from service.client import Client
from service.resources.certificates import text_of

VERDICT_STYLES = {
    "as declared": "green",
    "contradicts": "bold red",
    "not detectable": "yellow",
    "not declared": "dim",
}

Subject = Annotated[
    str | None,
    typer.Argument(
        help="Estimator id, or path/to/file.py:function.",
        show_default=False,
        autocompletion=completion.estimator_ids,
    ),
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
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A parameter other than its default; repeatable."),
    ] = None,
    image: Annotated[
        Path | None, typer.Option("--picture", help="Write a picture, FILE.svg or FILE.html.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write every certificate to this folder: ID.json, or ID.NAME=VALUE.json."),
    ] = None,
    publish: Annotated[
        bool, typer.Option("--publish", help="Send the certificate to the server, whose pages then show it.")
    ] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Measure bias, order of accuracy, variance and cost of an estimator; status 1 if it is not as declared.

    A file named as FILE:FUNCTION is executed. Nothing is sent to a server without --publish.

    Examples:

    * heunboard certify reinmax
    * heunboard certify stgs --set temperature=0.5 --picture bias.svg
    * heunboard certify my_estimators.py:halved --like st
    * heunboard certify --all --json
    """
    _check(subject, every, like, settings or [])
    if publish:
        _check_published(subject, settings or [])
    _check_files(every, image, out)
    subjects = [registry.get(id) for id in registry.available()] if every else [load(str(subject), like)]
    parameters = read_settings(settings or [], subjects[0])
    if publish:
        _check_server(url, subjects)
    certificates = []
    for one in subjects:
        certificates.append(_measure(one, parameters))
        _write(certificates[-1], out, image)
    _print(certificates, every, as_json)
    if publish:
        _publish(url, certificates, quiet=as_json)
    if not all(certificate.passed for certificate in certificates):
        raise typer.Exit(1)


def _print(certificates: list[Certificate], every: bool, as_json: bool) -> None:
    if as_json:
        answers = [certificate.to_json() for certificate in certificates]
        print_json(answers if every else answers[0])
    elif every:
        show_all(console(), certificates)
    else:
        show(console(), certificates[0])


def show(out: Console, certificate: Certificate) -> None:
    """One certificate: findings, figures by problem and by temperature, cost."""
    verdict = "[green]as declared[/]" if certificate.passed else "[bold red]not as declared[/]"
    settings = f", {escape(certificate.settings)}" if certificate.settings else ""
    title = f"[bold]{escape(certificate.title)}[/] version {certificate.version}{settings}"
    out.print(f"\n{title}: {verdict}", highlight=False)
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
    if certificate.temperatures:
        out.print(_by_temperature(certificate))
    for line in (_cost_line(certificate), NOTE):
        out.print(f"[dim]{escape(line)}[/]", highlight=False)


def _by_temperature(certificate: Certificate) -> Table:
    """A column for each temperature, on the problem that all estimators take."""
    points = certificate.temperatures
    table = _table(f"{COMMON_PROBLEM}, temperature", *(f"{at.temperature:g}" for at in points))
    table.add_row("bias", *(at.point.bias_text() for at in points))
    table.add_row("variance", *(f"{at.point.variance.value:.3g}" for at in points))
    table.add_row("cosine", *(f"{at.point.cosine.value:.3f}" for at in points))
    return table


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
                f"{f'; {finding.advice}' if finding.advice else ''}"
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
    measured = escape(finding.measured)
    if finding.advice:
        measured += f"\n[italic]{escape(finding.advice)}[/]"
    return finding.name, escape(finding.declared), measured, f"[{style}]{finding.verdict}[/]"


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in names:
        table.add_column(name, overflow="fold")
    return table


def _check(subject: str | None, every: bool, like: str | None, settings: Sequence[str]) -> None:
    if every == bool(subject):
        raise typer.BadParameter("give one estimator id or FILE:FUNCTION, or --all")
    if every and settings:
        raise typer.BadParameter(
            f"--set {settings[0]} is for one estimator; --all measures each at its defaults. Leave one out"
        )
    if like is not None:
        check_id(like)
        if every or ":" not in str(subject):
            raise typer.BadParameter(
                f"--like is for FILE:FUNCTION; {subject or '--all'} has its own declaration"
            )


def _check_published(subject: str | None, settings: Sequence[str]) -> None:
    """A server shows registered estimators at their defaults."""
    if ":" in str(subject):
        raise typer.BadParameter(
            f"--publish takes the id of a registered estimator, and {subject} is a function in a file; "
            "register it in a package that the server has installed too "
            "(docs/how-to/adding-an-estimator.md), then publish its id"
        )
    if settings:
        raise typer.BadParameter(
            f"--publish is of an estimator at its defaults; leave out --set {settings[0]} or --publish"
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


def _check_server(url: str | None, subjects: Sequence[EstimatorInfo]) -> None:
    """Refuse before measuring what a server would not take after it."""
    with Client(url) as client:
        for info in subjects:
            there = client.estimator(info.id).version
            if there != info.version:
                raise typer.BadParameter(
                    f"{client.url} has version {there} of {info.id!r}, this machine has {info.version}; "
                    "install the same package on both and start the server again"
                )


def _publish(url: str | None, certificates: Sequence[Certificate], *, quiet: bool) -> None:
    with Client(url) as client:
        for certificate in certificates:
            client.publish_certificate(certificate.to_json())
            if not quiet:
                address = f"{client.url}/estimators/{certificate.id}"
                console().print(f"published: {escape(address)}", highlight=False)


def _measure(info: EstimatorInfo, parameters: Mapping[str, Any]) -> Certificate:
    # torch takes seconds to import; other commands do without
    from estimators.certify import NotAnEstimator
    from estimators.certify import certify as measure

    try:
        with _progress(info.title) as tell:
            return measure(info, progress=tell, **parameters)
    except NotAnEstimator as error:
        raise typer.BadParameter(str(error)) from error


@contextmanager
def _progress(name: str) -> Iterator[Tell]:
    """A line on standard error that says what is measured; nothing when it is not a terminal."""
    err = Console(stderr=True)
    with err.status(f"certify {escape(name)}") as status:
        yield lambda share, what: status.update(f"certify {escape(name)}: {what} ({share:.0%})")


def _write(certificate: Certificate, out: Path | None, image: Path | None) -> None:
    """A certificate of other parameters is named after them, and never taken for that of the defaults."""
    if out is not None:
        name = ".".join(part for part in (certificate.id, certificate.settings.replace(" ", "")) if part)
        (out / f"{name}.json").write_text(text_of(certificate), "utf-8")
    if image is not None:
        draw = picture.svg if image.suffix == ".svg" else picture.html
        image.write_text(draw(certificate), "utf-8")
