"""The files of a suite as pydantic models: which keys there are, and what they mean. Does not import torch.

What the registries must be asked for (tasks, estimators, parameters) is checked when a tier's sweeps are
read, see :mod:`benchmarks.suites.reading`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Text = Annotated[str, Field(min_length=1)]
Scalar = str | int | float
Tier = Literal["smoke", "reduced", "full", "budget"]
TIERS: tuple[Tier, ...] = ("smoke", "reduced", "full", "budget")


class Section(BaseModel):
    """Base of all parts: unknown keys are errors, nothing is converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class SuiteFile(Section):
    """``suite.yaml``: the paper."""

    title: Text = Field(description="of the paper")
    authors: Text
    venue: Text = Field(description="where and when it appeared, e.g. NeurIPS 2023")
    url: Text
    bibtex: Text
    about: Text = Field(description="what the paper asks, in a few sentences")
    exhibits: list[Text] = Field(min_length=1, description="tables and figures in the paper's order")
    words: dict[Text, dict[Text, dict[str, Text]]] = Field(
        default={}, description="what to say instead of a value: task -> parameter -> value -> words"
    )
    stands_for: dict[Text, dict[Text, dict[str, str]]] = Field(
        default={}, description="stand-ins: task -> parameter -> the board's value -> the published one"
    )


class TierSection(Section):
    """How an exhibit is computed in one tier."""

    changes: str = Field(description="what differs from the published protocol, in words; empty: nothing")
    sweeps: Text = Field(default="published", description="which of the exhibit's lists of sweeps")
    set: dict[str, Any] = Field(
        default={},
        description="keys of a sweep file; what is under `task` and `diagnostics` is merged, others replace",
    )
    only: list[dict[str, Scalar]] = Field(
        default=[], description="boards to keep, by task parameters before `set`; empty: all"
    )
    halving: HalvingSection | None = Field(default=None, description="successive halving of the grid")
    margins: dict[str, MarginSection] = Field(default={}, description="in place of the exhibit's")


class HalvingSection(Section):
    """Successive halving: seeds are added to the settings that survive."""

    seeds: list[int] = Field(min_length=2, description="seeds that a setting has after each rung, rising")
    keep: float = Field(gt=0, lt=1, description="share of an estimator's settings that survives a rung")


class PublishedSection(Section):
    """Numbers of a file, and which boards they are shown beside."""

    file: Text = Field(description="a CSV file of the suite's folder, or SUITE/FILE of another suite's")
    task: Text = Field(description="id of the task")
    metrics: list[Text] = Field(
        default=["{metric}"], description="which of the task's a row's number is; {column} is filled in"
    )
    label: Text = Field(description="what pages call the number, e.g. Table 2; {column} is filled in")
    source: Text = Field(description="citation with page; {column} is filled in")
    where: dict[str, str] = Field(default={}, description="columns that rows must have these values in")
    same: list[Text] = Field(
        default=[], description="task parameters, as columns: a board must equal the row in them"
    )
    protocol: dict[str, Scalar] = Field(
        default={},
        description="task parameters it was published with; where a board differs the number is not "
        "comparable. Columns with the name of a task parameter that is not under `same` count likewise",
    )
    differs: list[Text] = Field(default=[], description="differences that every measured number has")


class MarginSection(Section):
    """Largest difference of a metric that counts as none."""

    value: float = Field(gt=0)
    why: Text


class TestSection(Section):
    """What decides a claim: a predicate of the means of cells, see :mod:`benchmarks.scoring.claims`."""

    kind: Literal["best", "better", "bound", "setting", "ratio", "order"]
    metric: Text
    estimator: Text | None = None
    than: list[Text] = Field(
        default=[],
        description="`best`: its rivals, empty: all others; `better`, `ratio`: the others; `order`: all, "
        "best first",
    )
    parameter: Text | None = Field(default=None, description="`setting`: the hyper-parameter")
    low: float | Text | None = Field(
        default=None, description="a number, or the label of a known level such as `optimum`"
    )
    high: float | Text | None = Field(default=None, description="likewise")
    slack: float = Field(default=0.0, ge=0, description="what `low` may be missed and `high` exceeded by")
    boards: list[dict[str, Scalar]] = Field(default=[], description="by task parameters; empty: all")


class ClaimSection(Section):
    """A sentence of the paper that can be tested."""

    sentence: Text = Field(description="what the paper says, in our words")
    where: Text = Field(description="page or section")
    tests: list[TestSection] = Field(min_length=1, description="all must hold")
    on: Text | None = Field(
        default=None,
        description="read all estimators at the parameters that this one trains, where "
        "`diagnostics.estimators` measured them; the metric is a diagnostic one without an estimator",
    )
    every_epoch: bool = Field(
        default=False, description="read every epoch at which the metric was measured, not the last alone"
    )
    note: str = Field(default="", description="what the test leaves out")


class FigureSection(Section):
    """How a figure is drawn."""

    kind: Literal["curves", "heatmap"]
    metric: Text
    panels: list[Text] = Field(default=[], description="task parameters that get a panel each")
    across: Text | None = Field(default=None, description="`heatmap`: the hyper-parameter on the axis")
    on: Text | None = Field(
        default=None,
        description="`curves`: a second panel of all estimators at the parameters that this one trains",
    )
    y: Literal["linear", "log"] = "linear"
    levels: list[Text] = Field(default=[], description="labels of known or published levels to draw")


class ExhibitFile(Section):
    """``table2.yaml`` and the like: one table or figure."""

    title: Text
    where: Text = Field(description="page or section of the paper")
    about: Text
    sweeps: dict[Text, list[dict[str, Any]]] = Field(
        default={},
        description="lists of sweep files without names, by what they are; with `boards`, a list of task "
        "parameters, such a file stands for one sweep a board",
    )
    sweeps_of: Text | None = Field(default=None, description="another exhibit that has the sweeps")
    command: Literal["efficiency"] | None = Field(
        default=None, description="measured by a command on the device at hand instead of by sweeps"
    )
    select: Text = Field(description="metric that chooses the setting of an estimator")
    report: list[Text] = Field(min_length=1, description="metrics that are compared with published ones")
    tiers: dict[Tier, TierSection] = Field(min_length=1)
    published: list[PublishedSection] = []
    margins: dict[Text, MarginSection] = {}
    median: list[Text] = Field(
        default=[],
        description="estimators that are compared by their median, for some of their seeds collapse",
    )
    claims: list[ClaimSection] = []
    figure: FigureSection | None = None
    slips: list[Text] = Field(default=[], description="known mistakes of the published numbers")


TierSection.model_rebuild()
ExhibitFile.model_rebuild()
