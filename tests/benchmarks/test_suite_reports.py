"""What a report says of results, by hand: polynomial tasks of a made-up paper, losses as they are given."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from benchmarks.scoring.claims import ClaimVerdict
from benchmarks.scoring.verdicts import Verdict
from benchmarks.suites import reading
from benchmarks.suites.report import PUBLISHED_TIER, Measured, Report, cells_of, report
from benchmarks.suites.schema import Tier
from benchmarks.sweep import SpecError
from tests.support.paper import NUMBERS, TABLE, VALUES, Values, write_suite

EXHIBITS = [
    (exhibit.name, tier)
    for id in reading.available()
    for exhibit in reading.get(id).exhibits.values()
    for tier in exhibit.file.tiers
]


@pytest.fixture
def suites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where folders of suites are looked for."""
    monkeypatch.setenv(reading.FOLDERS, str(tmp_path))
    return tmp_path


def reported(values: Values, tier: Tier = "full", name: str = "made-up/table1") -> Report:
    """The report on these results; a failed seed is NaN."""
    exhibit = reading.exhibit(name)
    measured = []
    for spec, seeds in cells_of(exhibit.sweeps(tier)):
        p, temperature = spec.task.values["p"], spec.estimator.values["temperature"]
        losses = values.get((float(p), spec.estimator.id, float(temperature)), [])
        own = {seed: math.nan if loss is None else loss for seed, loss in enumerate(losses)}
        measured.append(Measured(spec=spec, wanted=seeds, values={"expected_loss": own} if own else {}))
    return report(exhibit, tier, measured)


def with_table(suites: Path, *changes: tuple[str, str]) -> None:
    """Write the made-up paper with other words in its table."""
    text = TABLE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    write_suite(suites, changed={"table1.yaml": text})


def test_the_setting_with_the_best_mean_stands_beside_the_published_number(suites: Path) -> None:
    write_suite(suites)
    found = reported(VALUES)
    assert (found.trials, found.ended, found.failed) == (18, 18, 1)
    board, _ = found.boards
    reinmax, st = board.lines
    assert (reinmax.estimator, reinmax.summaries["expected_loss"].mean) == ("reinmax", 2.0)
    assert st.spec is not None
    assert st.spec.estimator.values["temperature"] == 1.0
    assert (st.summaries["expected_loss"].mean, st.settings, st.tried) == (11.0, 2, 2)
    (beside,) = reinmax.beside
    # Both sides have three runs and sd 1: se^2 = 2/3 with 4 degrees of freedom, t_{4, 0.975} = 2.776445.
    half = 2.776445 * math.sqrt(2 / 3)
    assert beside.comparison.interval is not None
    assert beside.comparison.interval.low == pytest.approx(-half, rel=1e-6)
    assert beside.comparison.verdict == Verdict.REPRODUCED
    table = next(one for one in st.beside if one.reference.label == "Table 1")
    assert (table.comparison.difference, table.comparison.verdict) == (8.0, Verdict.NOT_REPRODUCED)


def test_a_number_with_a_slip_is_not_judged(suites: Path) -> None:
    """Measured 4, printed 4: it would be reproduced."""
    write_suite(suites)
    _, board = reported(VALUES).boards
    (beside,) = (one for one in board.lines[0].beside if one.reference.label == "Table 1")
    assert beside.comparison.verdict == Verdict.NOT_COMPARABLE
    assert beside.comparison.reason == "slip in print: printed as 40"
    assert beside.comparison.difference == 0.0


def test_a_number_with_a_slip_decides_no_order(suites: Path) -> None:
    """GST is not computed, so that one number alone is left without it."""
    numbers = NUMBERS.replace("2,st,expected_loss,3,1,3,", "2,st,expected_loss,3,1,3,printed as 30")
    assert numbers != NUMBERS
    write_suite(suites, changed={"numbers.csv": numbers})
    assert not reported(VALUES).boards[0].agreement


def test_a_level_that_is_known_has_a_difference_and_no_verdict(suites: Path) -> None:
    write_suite(suites)
    board, _ = reported(VALUES).boards
    assert [(one.label, one.mean) for one in board.levels] == [("optimum", 0.45**2)]
    stall = next(one for one in board.lines[1].beside if one.reference.label == "stall")
    assert stall.comparison.verdict == Verdict.NOT_COMPARABLE
    # Where ST stalls X = 1 has probability 0.45: the loss is 0.45 * 0.55^2 + 0.55 * 0.45^2 = 0.2475.
    assert stall.comparison.difference == pytest.approx(11 - 0.2475)


def test_a_published_estimator_that_is_not_computed_is_named(suites: Path) -> None:
    write_suite(suites)
    board, other = reported(VALUES).boards
    assert [(one.estimator, one.mean) for one in board.unmatched] == [("gst", 2.5)]
    assert other.unmatched == ()


def test_seeds_that_the_tier_does_not_want_do_not_count(suites: Path) -> None:
    write_suite(suites)
    found = reported(VALUES, "smoke")
    (board,) = found.boards
    assert (found.trials, found.ended) == (3, 3)
    assert board.lines[0].summaries["expected_loss"].mean == 1.0


def test_nothing_measured_is_a_report_too(suites: Path) -> None:
    write_suite(suites)
    found = reported({})
    assert (found.ended, found.failed) == (0, 0)
    line = found.boards[0].lines[0]
    assert (line.spec, line.wanted, line.beside) == (None, 6, ())
    assert {one.result.verdict for one in found.claims} == {ClaimVerdict.NOT_TRIED}


@pytest.mark.parametrize(
    ("first", "second", "chosen"),
    [
        ([5.0, 5.0, 5.0], [4.0, 4.0, None], 1.0),  # a failed seed is worse than any number
        ([5.0, 5.0, None], [4.0, 4.0, None], 2.0),  # both have one: the mean of the others
        ([5.0, 5.0, None], [4.0, None, None], 1.0),
        ([5.0, 5.0, 5.0], [4.0], 1.0),  # one seed of three is too few
        ([5.0, 5.0, 5.0], [4.0, 4.0], 2.0),
    ],
)
def test_choice_of_a_setting(
    suites: Path, first: list[float | None], second: list[float | None], chosen: float
) -> None:
    write_suite(suites)
    values: Values = {(2, "st", 1.0): first, (2, "st", 2.0): second}
    spec = next(line.spec for line in reported(values).boards[0].lines if line.estimator == "st")
    assert spec is not None
    assert spec.estimator.values["temperature"] == chosen


def test_claims_say_how_many_of_the_published_boards_they_were_tested_on(suites: Path) -> None:
    write_suite(suites)
    best, temperature, gst = reported(VALUES).claims
    assert (best.result.verdict, best.boards, best.published_boards) == (ClaimVerdict.SUPPORTED, 2, 2)
    assert temperature.result.verdict == ClaimVerdict.CONTRADICTED
    assert gst.result.verdict == ClaimVerdict.NOT_TRIED
    (smoke, *_) = reported(VALUES, "smoke").claims
    assert (smoke.boards, smoke.published_boards) == (1, 2)
    titles = [board.title for board in reported(VALUES).boards]
    assert [str(scene) for scene in best.result.by_board] == titles


def test_a_smoke_tier_judges_no_claim(suites: Path) -> None:
    """Three seeds of every setting: "ReinMax has the lowest loss" would be supported."""
    with_table(suites, ("set: {task: {p: 2}, seeds: 1}", "set: {task: {p: 2}, seeds: 3}"))
    results = [one.result for one in reported(VALUES, "smoke").claims]
    assert {one.verdict for one in results} == {ClaimVerdict.NOT_TRIED}
    assert {one.reason for one in results} == {
        "the tier smoke shows that everything runs; it is too short to judge the paper"
    }
    assert reported(VALUES).claims[0].result.verdict == ClaimVerdict.SUPPORTED


def test_after_halving_only_settings_with_all_seeds_are_judged(suites: Path) -> None:
    with_table(suites, ("seeds: [1, 3], keep: 0.5", "seeds: [2, 3], keep: 0.5"))
    two_seeds: Values = {key: losses[:2] for key, losses in VALUES.items()}
    best = reported(two_seeds, "budget").claims[0].result
    assert (best.verdict, best.share) == (ClaimVerdict.UNDECIDED, None)
    assert "fewer than 3 seeds" in best.reason
    assert reported(two_seeds).claims[0].result.verdict == ClaimVerdict.SUPPORTED


def test_agreement_is_of_the_estimators_that_both_have(suites: Path) -> None:
    write_suite(suites)
    (agreement,) = reported(VALUES).boards[0].agreement.values()
    assert (agreement.published, agreement.measured) == (("reinmax", "st"), ("reinmax", "st"))
    assert (agreement.tau, agreement.missing) == (1.0, ("gst",))
    turned = {key: list(reversed(losses)) for key, losses in VALUES.items()}
    turned[2, "st", 1.0] = [0.1, 0.2, 0.3]
    (agreement,) = reported(turned).boards[0].agreement.values()
    assert (agreement.measured, agreement.tau) == (("st", "reinmax"), -1.0)
    assert agreement.share is not None
    assert agreement.share < 0.1


def test_a_bound_reads_the_level_of_every_board(suites: Path) -> None:
    bound = "tests: [{kind: bound, metric: expected_loss, estimator: reinmax, high: optimum, slack: 0.05}]"
    best = "tests: [{kind: best, metric: expected_loss, estimator: reinmax}]"
    with_table(suites, (best, bound))
    near: Values = {  # 0.45^2 + 0.05 = 0.2525, 0.45^3 + 0.05 = 0.1411
        (2, "reinmax", 1.0): [0.2299, 0.23, 0.2301],
        (3, "reinmax", 1.0): [0.2299, 0.23, 0.2301],
    }
    result = reported(near).claims[0].result
    assert [round(share) for share in result.by_board.values()] == [1, 0]
    assert result.verdict == ClaimVerdict.CONTRADICTED


@pytest.mark.parametrize(
    ("test", "place", "message"),
    [
        (
            "{kind: ratio, metric: expected_loss, estimator: st, than: [reinmax], low: stall}",
            "/claims/2/tests/0/low",
            "no number",
        ),
        (
            "{kind: setting, metric: expected_loss, estimator: st, parameter: colour, low: 1}",
            "/claims/2/tests/0/parameter",
            "hyper-parameter of st 'colour'",
        ),
        (
            "{kind: best, metric: expected_loss, estimator: st}, "
            "{kind: best, metric: train_loss, estimator: st}",
            "/claims/2/tests",
            "one metric, these read expected_loss, train_loss",
        ),
    ],
)
def test_a_claim_that_cannot_be_decided_is_told_with_its_place(
    suites: Path, test: str, place: str, message: str
) -> None:
    with_table(suites, ("{kind: best, metric: expected_loss, estimator: gst}", test))
    with pytest.raises(SpecError, match=message) as refused:
        reported(VALUES)
    assert [issue.path for issue in refused.value.issues] == [place]


@pytest.mark.parametrize(
    ("loss", "verdict"),
    [
        (0.2475, ClaimVerdict.SUPPORTED),
        (0.2455, ClaimVerdict.CONTRADICTED),
        (0.25, ClaimVerdict.CONTRADICTED),
    ],
)
def test_what_stalls_is_neither_below_nor_above_the_level(
    suites: Path, loss: float, verdict: ClaimVerdict
) -> None:
    """The test of Figure 1; at 0.25, of fair coins, nothing is trained yet."""
    (stalls,) = (
        one for one in reading.exhibit("reinmax-2023/figure1").file.claims if "stalls" in one.sentence
    )
    (test,) = stalls.tests
    assert (test.low, test.high, test.slack) == ("stall", "stall", 1e-3)
    bound = "{kind: bound, metric: expected_loss, estimator: st, low: stall, high: stall, slack: 1e-3, "
    with_table(suites, ("{kind: best, metric: expected_loss, estimator: gst}", bound + "boards: [{p: 2}]}"))
    near: Values = {(2, "st", 1.0): [loss - 1e-5, loss, loss + 1e-5]}
    assert reported(near).claims[2].result.verdict == verdict


def test_a_level_that_is_not_known_on_a_board_leaves_the_claim_untried(suites: Path) -> None:
    unknown = "{kind: bound, metric: expected_loss, estimator: st, high: Row 2}"
    with_table(
        suites,
        ("{kind: best, metric: expected_loss, estimator: gst}", unknown),
        ("label: Table 1", 'label: "Row {p}"'),
    )
    result = reported(VALUES).claims[2].result
    assert result.verdict == ClaimVerdict.NOT_TRIED
    assert result.reason.startswith("no level 'Row 2' of expected_loss is known on Polynomial p = 3")


COSINE = "gradient.code.cosine_corrected"


def cosines(at_third_epoch: float) -> Report:
    """Figure 4: on its own model everyone is ahead of ReinMax; at common parameters only Gumbel-Rao, at most
    at epoch 3.
    """
    exhibit = reading.exhibit("reinmax-2023/figure4")
    measured = []
    for spec, seeds in cells_of(exhibit.sweeps("reduced")):
        trained = 0.7 if spec.estimator.id == "reinmax" else 0.9
        values = {COSINE: trained, f"{COSINE}@1": 0.8, f"{COSINE}@3": 0.7}
        if spec.estimator.id == "reinmax":
            for other in ("st", "stgs", "gst", "gumbel_rao"):
                values |= {f"{COSINE}.{other}": 0.5, f"{COSINE}.{other}@1": 0.5, f"{COSINE}.{other}@3": 0.5}
            values[f"{COSINE}.gumbel_rao@3"] = at_third_epoch
        over_seeds = {name: {s: value + 0.01 * s for s in seeds} for name, value in values.items()}
        measured.append(Measured(spec=spec, wanted=seeds, values=over_seeds))
    return report(exhibit, "reduced", measured)


def test_a_claim_at_common_parameters_compares_what_was_measured_on_one_model() -> None:
    common, own, *_ = cosines(at_third_epoch=0.6).claims
    assert common.result.verdict == ClaimVerdict.SUPPORTED
    assert [str(scene).rpartition(", ")[2] for scene in common.result.by_board] == ["epoch 1", "epoch 3"]
    assert own.result.verdict == ClaimVerdict.CONTRADICTED


def test_a_claim_about_every_epoch_fails_by_one() -> None:
    (result, *_) = (one.result for one in cosines(at_third_epoch=0.75).claims)
    assert result.verdict == ClaimVerdict.CONTRADICTED
    assert [round(share, 2) for share in result.by_board.values()] == [1, 0]


def test_a_claim_about_every_epoch_waits_for_the_first() -> None:
    exhibit = reading.exhibit("reinmax-2023/figure4")
    nothing = [Measured(spec=spec, wanted=seeds) for spec, seeds in cells_of(exhibit.sweeps("reduced"))]
    (result, *_) = (one.result for one in report(exhibit, "reduced", nothing).claims)
    assert (result.verdict, result.reason) == (ClaimVerdict.NOT_TRIED, f"not measured at any epoch: {COSINE}")


def test_numbers_of_other_suites_are_not_quoted(suites: Path) -> None:
    header = "p,estimator,metric,mean,sd,n,slip"
    write_suite(suites)
    write_suite(
        suites,
        id="other",
        changed={"numbers.csv": f"{header}\n2,st,expected_loss,9,1,3,\n"},
    )
    labels = [one.reference.mean for one in reported(VALUES).boards[0].lines[1].beside]
    assert 9.0 not in labels


@pytest.mark.parametrize(("name", "tier"), EXHIBITS)
def test_every_shipped_tier_has_a_report_before_anything_is_measured(name: str, tier: Tier) -> None:
    exhibit = reading.exhibit(name)
    found = report(
        exhibit, tier, [Measured(spec=spec, wanted=seeds) for spec, seeds in cells_of(exhibit.sweeps(tier))]
    )
    assert found.ended == 0
    if tier == PUBLISHED_TIER:
        assert not [one.result.reason for one in found.claims if one.result.reason.startswith("no level")]
