"""Reports of suites as files, and what they say in a few lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import typer
from rich.console import Console
from rich.markup import escape

from service.client import Client
from service.resources.suite_schemas import SuiteReport

FILES = {"json": "json", "markdown": "md", "latex": "tex"}
"""Format of a report -> ending of its file."""
PICTURES = ("svg", "png")

VERDICTS = {
    "reproduced": "green",
    "within noise": "cyan",
    "not reproduced": "red",
    "not comparable": "dim",
}
RATIOS = {"compatible": "green", "lower": "cyan", "higher": "cyan", "undecided": "yellow"}
CLAIMS = {"supported": "green", "contradicted": "red", "undecided": "yellow", "not tried": "dim"}
DOUBTFUL = {"not reproduced", "contradicted"}


def check_folder(folder: Path) -> None:
    """Refuse before computing what could not be written after it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise typer.BadParameter(f"--out {folder} cannot be made a folder: {error.strerror}") from error


def write(client: Client, name: str, tier: str, folder: Path) -> tuple[SuiteReport, list[Path]]:
    """Fetch the report of an exhibit and write ``FOLDER/SUITE/EXHIBIT-TIER`` in every format.

    Returns:
        The report, and the files.
    """
    base = folder / f"{name}-{tier}"
    base.parent.mkdir(parents=True, exist_ok=True)
    texts = {ending: client.suite_report_text(name, tier, format=format) for format, ending in FILES.items()}
    found = SuiteReport.model_validate_json(texts["json"])
    contents = {ending: text.encode() for ending, text in texts.items()}
    if found.figure:
        contents |= {ending: client.suite_figure(name, tier, format=ending) for ending in PICTURES}
    files = []
    for ending, content in contents.items():
        files.append(base.with_name(f"{base.name}.{ending}"))
        files[-1].write_bytes(content)
    return found, files


def show(out: Console, report: SuiteReport, files: list[Path], url: str) -> None:
    """Print the sentences of the paper with their verdicts, the verdicts by number, and where more is."""
    out.print(f"\n[bold]{escape(report.name)}[/] {report.tier}: {escape(report.title)}")
    for claim in report.claims:
        verdict, device = claim.verdict, claim.device
        on = f" ({escape(device)})" if device else ""
        why = f" [dim]({escape(claim.reason)})[/]" if verdict == "not tried" and claim.reason else ""
        out.print(
            f"  [{CLAIMS.get(verdict, 'dim')}]{verdict}[/]  {escape(claim.sentence)}{on}{why}",
            highlight=False,
        )
    if text := verdicts_text(report):
        what = "ratios to ReinMax" if report.devices else "numbers"
        out.print(f"  {what}: {text}", highlight=False)
    out.print(f"  {url}{report.page}", style="dim", highlight=False, soft_wrap=True)
    out.print(f"  {', '.join(map(str, files))}", style="dim", highlight=False, soft_wrap=True)


def verdicts_text(report: SuiteReport) -> str:
    """``12 reproduced, 3 within noise``: verdicts on published numbers, in rich markup.

    Of what a command measured ``6 compatible, 3 lower``: words on its ratios.
    """
    if devices := report.devices:
        rows = (row for device in devices for board in device.boards for row in board.rows)
        return _counted(Counter(str(cost.ratio.word) for row in rows for cost in row.costs.values()), RATIOS)
    return _counted(Counter(_numbers(report)), VERDICTS)


def claims_text(report: SuiteReport) -> str:
    """``2 supported, 1 contradicted``, in rich markup."""
    return _counted(Counter(claim.verdict for claim in report.claims), CLAIMS)


def is_doubtful(report: SuiteReport) -> bool:
    """Whether a number was not reproduced, or a sentence of the paper contradicted."""
    return bool(DOUBTFUL & {*_numbers(report), *(claim.verdict for claim in report.claims)})


def _numbers(report: SuiteReport) -> Iterator[str]:
    """Verdicts on the paper's numbers; levels that follow from a formula are not the paper's."""
    beside = (one for board in report.boards for row in board.rows for one in row.published)
    return (one.verdict for one in beside if one.exhibit)


def _counted(counts: Mapping[str, int], styles: Mapping[str, str]) -> str:
    return ", ".join(
        f"[{style}]{counts[name]} {name}[/]" for name, style in styles.items() if counts.get(name)
    )
