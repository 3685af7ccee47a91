"""Claims: shares against closed forms, verdicts at their error rates, and what is missing."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from benchmarks.scoring.claims import (
    Best,
    BestSetting,
    Better,
    Bound,
    Claim,
    ClaimResult,
    ClaimVerdict,
    Order,
    Ratio,
    judge,
    share_of,
)
from benchmarks.scoring.posterior import Boards, Cell, Metric, Posterior

LOSS = Metric("loss")
ACCURACY = Metric("accuracy", "maximize")
BOARD = ("board",)


def cell(
    estimator: str,
    values: Sequence[float],
    *,
    temperature: float | str = 1.0,
    metric: str = "loss",
    first_seed: int = 0,
) -> Cell:
    by_seed = dict(enumerate(values, start=first_seed))
    return Cell(estimator=estimator, parameters={"temperature": temperature}, values={metric: by_seed})


def on_loss(*parts: Claim, boards: Boards, draws: int = 20_000) -> ClaimResult:
    return judge(*parts, boards=boards, select=LOSS, report=LOSS, draws=draws)


def near(result: ClaimResult, share: float) -> bool:
    """Within 4.89 Monte Carlo errors: false alarm 1e-6."""
    assert result.share is not None
    return abs(result.share - share) < 4.89 * math.sqrt(share * (1 - share) / 20_000)


def test_the_posterior_of_a_mean_is_student_about_it() -> None:
    values = [2.0, 4.0, 6.0]
    for high in (3.0, 4.0, 5.5):
        expected = float(stats.t.cdf((high - 4) / (2 / math.sqrt(3)), 2))
        assert near(on_loss(Bound("a", BOARD, high=high), boards={"board": [cell("a", values)]}), expected)


def test_common_seeds_are_paired() -> None:
    a, b = [1.0, 2.0, 3.0, 5.0], [1.1, 2.3, 3.1, 5.6]
    p = stats.ttest_rel(a, b, alternative="less").pvalue
    boards = {"board": [cell("a", a), cell("b", b)]}
    assert near(on_loss(Better("a", "b", BOARD), boards=boards), 1 - p)


def test_other_seeds_are_independent() -> None:
    """The posterior of Behrens and Fisher, by numerical integration of two t distributions."""
    a, b = [1.0, 2.0, 3.0, 5.0], [2.0, 3.0, 4.5, 6.0]
    boards = {"board": [cell("a", a), cell("b", b, first_seed=10)]}
    first, second = (stats.t(3, np.mean(x), np.std(x, ddof=1) / 2) for x in (a, b))
    grid = np.linspace(-400, 400, 800_001)
    expected = float(np.sum(first.cdf(grid) * second.pdf(grid)) * 1e-3)
    assert near(on_loss(Better("a", "b", BOARD), boards=boards), expected)


def test_two_independent_boards_multiply() -> None:
    board = [cell("a", [0.0, 1.0, 2.0])]
    result = on_loss(Bound("a", ("x", "y"), high=1.5), boards={"x": board, "y": board})
    each = float(stats.t.cdf(0.5 * math.sqrt(3), 2))
    assert near(result, each**2)
    assert list(result.by_board) == ["x", "y"]
    assert all(abs(share - each) < 0.02 for share in result.by_board.values())


def test_a_sentence_of_parts_holds_where_all_hold() -> None:
    boards = {"board": [cell("a", [0.0, 1.0, 2.0])]}
    low, high = Bound("a", BOARD, low=0.5), Bound("a", BOARD, high=1.5)
    both = on_loss(low, high, boards=boards)
    assert both.share == on_loss(Bound("a", BOARD, low=0.5, high=1.5), boards=boards).share
    assert near(both, 2 * float(stats.t.cdf(0.5 * math.sqrt(3), 2)) - 1)


FAR: Boards = {
    "board": [
        cell("a", [1.0, 1.01, 0.99, 1.0], temperature=1.3),
        cell("a", [5.0, 5.01, 4.99, 5.0], temperature=0.5),
        cell("b", [2.0, 2.01, 1.99, 2.0], temperature=0.4),
        cell("c", [4.0, 4.01, 3.99, 4.0], temperature=0.3),
    ]
}
"""Estimators a, b, c at 1, 2, 4, far apart; a has a second setting at 5."""


@pytest.mark.parametrize(
    ("holds", "fails"),
    [
        (Best("a", BOARD), Best("b", BOARD)),
        (Best("b", BOARD, at_most_behind=1.5), Best("b", BOARD, at_most_behind=0.5)),
        (Best("b", BOARD, rivals=("c",)), Best("b", BOARD, rivals=("c", "a"))),
        (Better("a", "b", BOARD), Better("b", "a", BOARD)),
        (Better("a", "b", BOARD, by=0.5), Better("a", "b", BOARD, by=1.5)),
        (Bound("a", BOARD, low=0.5, high=1.5), Bound("a", BOARD, low=1.5)),
        (Bound("b", BOARD, low=1.5), Bound("b", BOARD, high=1.5)),
        (BestSetting("a", "temperature", BOARD, low=1), BestSetting("a", "temperature", BOARD, high=1)),
        (Ratio("c", "b", BOARD, high=2.5), Ratio("c", "b", BOARD, high=1.5)),
        (Ratio("c", "b", BOARD, low=1.5), Ratio("b", "c", BOARD, low=1.5)),
        (Order(("a", "b", "c"), BOARD), Order(("a", "c", "b"), BOARD)),
    ],
)
def test_every_kind_of_claim(holds: Claim, fails: Claim) -> None:
    yes, no = on_loss(holds, boards=FAR), on_loss(fails, boards=FAR)
    assert (yes.verdict, no.verdict) == (ClaimVerdict.SUPPORTED, ClaimVerdict.CONTRADICTED)
    assert on_loss(holds, fails, boards=FAR).verdict == ClaimVerdict.CONTRADICTED


@pytest.mark.parametrize("claim", [Best("c", BOARD), Better("c", "a", BOARD), Order(("c", "a"), BOARD)])
def test_large_is_good_for_a_metric_to_maximise(claim: Claim) -> None:
    cells = [cell("a", [1.0, 1.1], metric="accuracy"), cell("c", [9.0, 9.1], metric="accuracy")]
    result = judge(claim, boards={"board": cells}, select=ACCURACY, report=ACCURACY)
    assert result.verdict == ClaimVerdict.SUPPORTED


def test_one_metric_selects_and_another_is_reported() -> None:
    def both(temperature: float, loss: float, accuracy: float) -> Cell:
        values = {"loss": {0: loss, 1: loss + 0.01}, "accuracy": {0: accuracy, 1: accuracy + 0.01}}
        return Cell(estimator="a", parameters={"temperature": temperature}, values=values)

    boards = {"board": [both(1.0, 1.0, 50.0), both(2.0, 2.0, 90.0)]}
    chosen = BestSetting("a", "temperature", BOARD, high=1.5)
    parts = (chosen, Bound("a", BOARD, low=49, high=51))
    assert judge(*parts, boards=boards, select=LOSS, report=ACCURACY).verdict == ClaimVerdict.SUPPORTED
    assert judge(chosen, boards=boards, select=ACCURACY, report=LOSS).verdict == ClaimVerdict.CONTRADICTED


def test_equal_settings_share_the_choice() -> None:
    cells = [
        cell("a", [0.0, 1.0, 2.0], temperature=1.0),
        cell("a", [0.0, 1.0, 2.0], temperature=2.0, first_seed=10),
    ]
    result = on_loss(BestSetting("a", "temperature", BOARD, high=1.5), boards={"board": cells})
    assert near(result, 0.5)
    assert result.verdict == ClaimVerdict.UNDECIDED


def supported(claim: Claim, settings: int, *, seeds: int, boards: int) -> int:
    """How often a claim is supported when all settings of a, and the only one of b, are equal."""
    rng = np.random.default_rng(4)
    count = 0
    for _ in range(boards):
        values = rng.standard_normal((settings + 1, seeds)).tolist()
        cells = [
            cell("b", values[0]),
            *(cell("a", v, temperature=float(i)) for i, v in enumerate(values[1:])),
        ]
        count += on_loss(claim, boards={"board": cells}, draws=1000).verdict == ClaimVerdict.SUPPORTED
    return count


def test_a_false_claim_is_supported_at_its_rate() -> None:
    """One in twenty on the edge; false alarm 1e-6."""
    count = supported(Better("a", "b", BOARD), 1, seeds=5, boards=2000)
    assert abs(count - 100) < 4.89 * math.sqrt(2000 * 0.05 * 0.95)


def test_many_equal_settings_do_not_make_an_estimator_better() -> None:
    """Read where it was chosen, the best of 20 equal settings would be called better on 3 boards in 4."""
    assert supported(Better("a", "b", BOARD), 20, seeds=5, boards=400) < 0.1 * 400


def test_the_same_input_has_the_same_share() -> None:
    boards = {"board": [cell("a", [0.0, 1.0, 2.0]), cell("b", [0.5, 1.5, 2.9])]}
    claim = Better("a", "b", BOARD)
    assert on_loss(claim, boards=boards) == on_loss(claim, boards=boards)
    reversed_cells = {"board": boards["board"][::-1]}
    assert on_loss(claim, boards=reversed_cells).share == on_loss(claim, boards=boards).share


def test_a_larger_lead_never_lowers_the_share() -> None:
    b = [1.0, 2.0, 3.5]
    boards = [
        {"board": [cell("a", [x - lead for x in (1.2, 1.8, 3.4)]), cell("b", b)]} for lead in (0, 0.1, 0.5)
    ]
    shares = [on_loss(Better("a", "b", BOARD), boards=board).share for board in boards]
    assert shares == sorted(shares, key=lambda share: share or 0.0)
    assert shares[0] != shares[-1]


def test_what_is_missing_is_named() -> None:
    result = on_loss(Order(("a", "x"), ("board", "other")), boards=FAR)
    assert (result.verdict, result.share) == (ClaimVerdict.NOT_TRIED, None)
    assert result.reason == "not measured: board other, x on board"


def test_an_estimator_without_the_metric_is_missing() -> None:
    boards = {"board": [*FAR["board"], cell("x", [1.0, 2.0], metric="time")]}
    assert on_loss(Better("a", "x", BOARD), boards=boards).reason == "not measured: x on board"
    assert on_loss(Best("a", BOARD), boards=boards).verdict == ClaimVerdict.SUPPORTED


def test_the_best_needs_a_rival() -> None:
    result = on_loss(Best("a", BOARD), boards={"board": [cell("a", [1.0, 2.0])]})
    assert (result.verdict, result.reason) == (ClaimVerdict.NOT_TRIED, "not measured: any rival on board")


def test_one_seed_decides_nothing() -> None:
    boards = {"board": [cell("a", [1.0, 1.1]), cell("b", [100.0])]}
    result = on_loss(Best("a", BOARD), boards=boards)
    assert (result.verdict, result.reason) == (ClaimVerdict.UNDECIDED, "one seed: b on board")
    assert (result.share, result.left_out) == (None, 1)


def test_a_known_spread_makes_one_seed_speak() -> None:
    single = Cell(estimator="b", parameters={}, values={"loss": {7: 1.0}}, spread={"loss": 0.5})
    result = on_loss(Bound("b", BOARD, high=1.5), boards={"board": [single]})
    assert near(result, float(stats.norm.cdf(1.0)))
    exact = Cell(estimator="b", parameters={}, values={"loss": {7: 1.0}}, spread={"loss": 0.0})
    assert on_loss(Bound("b", BOARD, low=1.0, high=1.0), boards={"board": [exact]}).share == 1.0


def test_cells_with_few_seeds_are_left_out_and_counted() -> None:
    two, one = cell("a", [0.0, 0.01], temperature=9.0), cell("a", [0.0], temperature=8.0)
    boards = {"board": [*FAR["board"], two, one]}
    hot = BestSetting("a", "temperature", BOARD, low=9.0)
    shares = [
        (result.left_out, result.verdict, result.reason.partition(":")[0])
        for least in (2, 4, 5)
        for result in [judge(hot, boards=boards, select=LOSS, report=LOSS, min_seeds=least)]
    ]
    assert shares[0][:2] == (1, ClaimVerdict.SUPPORTED)
    assert shares[1][:2] == (2, ClaimVerdict.CONTRADICTED)
    assert shares[2] == (6, ClaimVerdict.UNDECIDED, "fewer than 5 seeds")


@pytest.mark.parametrize("failure", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("metric", [LOSS, ACCURACY], ids=lambda m: m.goal)
def test_a_failed_seed_makes_a_setting_the_worst(metric: Metric, failure: float) -> None:
    good, bad = ([1.0, 1.1], [2.0, 2.1]) if metric.goal == "minimize" else ([2.0, 2.1], [1.0, 1.1])
    cells = [
        cell("a", [*good, failure], temperature=1.0, metric=metric.name),
        cell("a", [*bad, bad[0]], temperature=2.0, metric=metric.name),
        cell("x", [failure, failure], metric=metric.name),
        cell("y", [failure, 1.0], metric=metric.name),
    ]

    def share(claim: Claim) -> float | None:
        return judge(claim, boards={"board": cells}, select=metric, report=metric).share

    assert share(BestSetting("a", "temperature", BOARD, low=2)) == 1.0
    assert share(Best("a", BOARD)) == 1.0
    assert share(Better("a", "x", BOARD)) == 1.0
    for never in (
        Best("x", BOARD),
        Best("x", BOARD, rivals=("y",)),
        Better("x", "y", BOARD),
        Bound("x", BOARD),
        Ratio("x", "y", BOARD),
        Ratio("a", "x", BOARD),
        BestSetting("x", "temperature", BOARD),
    ):
        assert share(never) == 0.0, never


def test_the_error_of_a_share_by_hand() -> None:
    share, error = share_of(np.array([True, True, True, False, False, False, False, False]))
    assert share == 3 / 8
    assert error == pytest.approx(math.sqrt(0.4 * 0.6 / 8))
    share, error = share_of(np.zeros(98, dtype=np.bool_))
    assert share == 0
    assert error == pytest.approx(math.sqrt(0.01 * 0.99 / 98))


@dataclass(frozen=True)
class Counted:
    """A claim that holds in so many draws of a hundred."""

    count: int
    boards: tuple[Hashable, ...] = BOARD

    def needs(self, tried: Sequence[str]) -> tuple[str, ...]:
        return ("a",)

    def comparisons(self, board: Hashable, posterior: Posterior) -> NDArray[np.bool_]:
        return (np.arange(100) < self.count)[np.newaxis]


@pytest.mark.parametrize(
    ("count", "verdict"),
    [
        (100, ClaimVerdict.SUPPORTED),
        (95, ClaimVerdict.SUPPORTED),
        (94, ClaimVerdict.UNDECIDED),
        (6, ClaimVerdict.UNDECIDED),
        (5, ClaimVerdict.CONTRADICTED),
        (0, ClaimVerdict.CONTRADICTED),
    ],
)
def test_verdicts_at_their_bounds(count: int, verdict: ClaimVerdict) -> None:
    result = on_loss(Counted(count), boards=FAR, draws=100)
    assert (result.share, result.verdict) == (count / 100, verdict)
    assert result.reason == f"holds in {count}.0 % of the draws"


def ties(estimators: int, boards: int, rng: np.random.Generator) -> Boards:
    """Estimators e0, e1, ... of ten seeds without any difference."""
    values = rng.standard_normal((boards, estimators, 10)).tolist()
    return {
        board: [cell(f"e{i}", one, first_seed=10 * i) for i, one in enumerate(values[board])]
        for board in range(boards)
    }


EIGHT = tuple(range(8))


@pytest.mark.parametrize(
    ("claim", "estimators"),
    [
        (Better("e0", "e1", EIGHT), 2),
        (Best("e0", EIGHT), 4),
        (Order(("e0", "e1", "e2"), EIGHT), 3),
        (Bound("e0", EIGHT, low=0.0), 1),
        (Bound("e0", EIGHT, low=-0.01, high=0.01), 1),
    ],
    ids=["better", "best", "order", "bound", "narrow bounds"],
)
def test_ties_are_called_contradicted_in_at_most_one_case_of_twenty(claim: Claim, estimators: int) -> None:
    """On 8 boards; by the joint share, about 0.5^8 or less, it would be nearly all. False alarm 1e-6."""
    rng, cases = np.random.default_rng(11), 200
    found = [
        on_loss(claim, boards=ties(estimators, len(EIGHT), rng), draws=2000).verdict for _ in range(cases)
    ]
    at_most = 0.05 * cases + 4.89 * math.sqrt(cases * 0.05 * 0.95)
    assert found.count(ClaimVerdict.CONTRADICTED) < at_most
    assert found.count(ClaimVerdict.SUPPORTED) < at_most


def test_one_of_ten_equal_settings_is_called_contradicted_in_at_most_one_case_of_twenty() -> None:
    """It is the best in a tenth of the draws on average, in fewer than a twentieth on every other board."""
    rng, cases = np.random.default_rng(12), 200
    first = BestSetting("a", "temperature", BOARD, high=0.5)
    found = []
    for _ in range(cases):
        values = rng.standard_normal((10, 10)).tolist()
        board = [cell("a", one, temperature=float(i)) for i, one in enumerate(values)]
        found.append(on_loss(first, boards={"board": board}, draws=2000).verdict)
    at_most = 0.05 * cases + 4.89 * math.sqrt(cases * 0.05 * 0.95)
    assert found.count(ClaimVerdict.CONTRADICTED) < at_most


def test_neither_a_sentence_about_ties_nor_its_opposite_is_contradicted() -> None:
    values = [0.0, 1.0, 2.0]
    boards = {board: [cell("a", values), cell("b", values, first_seed=10)] for board in EIGHT}
    for claim in (Better("a", "b", EIGHT), Better("b", "a", EIGHT)):
        result = on_loss(claim, boards=boards)
        assert result.share is not None
        assert result.share < 0.02
        assert result.verdict == ClaimVerdict.UNDECIDED
        assert "of its 8 comparisons in" in result.reason
        assert result.reason.endswith("a contradiction needs at most 0.62 %")


def test_one_clear_failure_contradicts_a_sentence_of_eight_boards() -> None:
    values = [0.0, 1.0, 2.0]
    boards = {board: [cell("a", values), cell("b", values, first_seed=10)] for board in EIGHT}
    boards[3] = [cell("a", [9.0, 9.01, 9.02]), cell("b", [1.0, 1.01, 1.02], first_seed=10)]
    assert on_loss(Better("a", "b", EIGHT), boards=boards).verdict == ClaimVerdict.CONTRADICTED


@pytest.mark.parametrize(
    ("claim", "count"),
    [
        (Best("a", BOARD), 2),
        (Best("a", BOARD, rivals=("c",)), 1),
        (Better("a", "b", BOARD), 1),
        (Bound("a", BOARD), 1),
        (Bound("a", BOARD, low=1.0, high=2.0), 2),
        (BestSetting("a", "temperature", BOARD, low=0.0, high=2.0), 1),  # none outside
        (BestSetting("a", "temperature", BOARD, low=1.0, high=2.0), 1),
        (BestSetting("a", "temperature", BOARD, low=2.0), 2),
        (Ratio("a", "b", BOARD, low=1.0), 1),
        (Ratio("a", "b", BOARD, low=1.0, high=2.0), 2),
        (Order(("a", "b", "c"), BOARD), 2),
    ],
)
def test_elementary_comparisons_are_counted(claim: Claim, count: int) -> None:
    view = Posterior(FAR["board"], select=LOSS, report=LOSS, rng=np.random.default_rng(0), draws=10)
    assert claim.comparisons("board", view).shape == (count, 10)


@pytest.mark.parametrize(("count", "verdict"), [(2, ClaimVerdict.CONTRADICTED), (3, ClaimVerdict.UNDECIDED)])
def test_each_of_two_comparisons_has_half_of_the_level(count: int, verdict: ClaimVerdict) -> None:
    assert on_loss(Counted(count), Counted(100), boards=FAR, draws=100).verdict == verdict


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one part"):
        on_loss(boards=FAR)
    with pytest.raises(ValueError, match="at least one board"):
        on_loss(Best("a", ()), boards=FAR)
    with pytest.raises(ValueError, match="at least 2 seeds"):
        judge(Best("a", BOARD), boards=FAR, select=LOSS, report=LOSS, min_seeds=1)
    with pytest.raises(ValueError, match="lr of a on board is no number: None"):
        on_loss(BestSetting("a", "lr", BOARD), boards=FAR)
    words = {"board": [cell("a", [1.0, 2.0], temperature="hot")]}
    with pytest.raises(ValueError, match="is no number: 'hot'"):
        on_loss(BestSetting("a", "temperature", BOARD), boards=words)
    view = Posterior(FAR["board"], select=LOSS, report=LOSS, rng=np.random.default_rng(0), draws=10)
    with pytest.raises(KeyError, match="x has no cell"):
        view.chosen("x")
