"""What is answered of time and memory that a command measured on a device."""

from __future__ import annotations

from service.resources.schemas import Answer


class PrintedCost(Answer):
    """A published number, ``text`` as it is printed, ``note`` what is said of it there.

    ``verdict`` is always that it is not comparable, ``reason`` says why.
    """

    value: float
    text: str
    label: str
    source: str
    note: str
    verdict: str
    reason: str


class CostRatio(Answer):
    """A cost over that of ReinMax on the same problem.

    ``measured`` is null where ReinMax was not measured or its steps added nothing; ``low`` and ``high`` end
    the 95 % interval of the ratio of means over epochs, null with a single epoch. ``published`` is the ratio
    of the printed numbers, which lies between ``published_low`` and ``published_high`` if they were rounded
    to their last digits. ``word`` compares: compatible, lower, higher, or undecided.
    """

    measured: float | None
    low: float | None
    high: float | None
    published: float | None
    published_low: float | None
    published_high: float | None
    word: str | None


class MeasuredCost(Answer):
    """Median, smallest and largest over epochs; of megabytes the one number that there is."""

    value: float
    low: float
    high: float
    published: PrintedCost | None
    ratio: CostRatio


class CostRow(Answer):
    """An estimator, with its ``draws`` where its cost follows from them.

    ``costs`` are by metric: seconds of an epoch, megabytes that its steps add. ``steps`` of the ``of`` steps
    of an epoch were run in each of ``epochs`` epochs, and their time scaled.
    """

    estimator: str
    draws: int | None
    title: str
    epochs: int
    steps: int
    of: int
    costs: dict[str, MeasuredCost]


class SeparatedPair(Answer):
    """Neighbours of the measured order; ``share`` of the draws in which they stand so."""

    cheaper: str
    dearer: str
    share: float


class CostOrder(Answer):
    """Order of the estimators by one metric, the cheapest first, all by their titles.

    What is printed equal stands together in ``published``. ``tau`` is Kendall's tau-b, at most ``most`` for
    the ties; ``share`` the probability that every pair that differs in print stands so, with the Monte Carlo
    error ``error``, both null where an estimator has a single epoch. ``not_separated`` are neighbours that
    the epochs do not tell apart at 95 %, ``missing`` published, but not measured.
    """

    metric: str
    label: str
    published: list[list[str]]
    measured: list[str]
    tau: float | None
    most: float | None
    share: float | None
    error: float | None
    not_separated: list[SeparatedPair]
    missing: list[str]


class CostBoard(Answer):
    """One problem, its estimators in the order in which they were measured."""

    problem: str
    title: str
    rows: list[CostRow]
    orders: list[CostOrder]


class DeviceCosts(Answer):
    """What one device measured; ``failures`` are the cases that could not be measured, and why.

    ``machine`` are its versions and names. ``epochs``, ``warm_up`` (steps), ``seconds`` (that an epoch was
    cut to; null: whole ones) and ``threads`` are the plan of measuring.
    """

    device: str
    machine: dict[str, str]
    epochs: int
    warm_up: int
    seconds: float | None
    threads: int
    boards: list[CostBoard]
    failures: dict[str, str]
