"""Statistics of boards against numbers worked out by hand, and their error rates by simulation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from benchmarks.scoring.across import average_ranks, profiles
from benchmarks.scoring.pairs import ALPHA, difference, holm, smallest_permutation_p
from benchmarks.scoring.power import detectable, power, seeds_to_separate
from benchmarks.scoring.ranking import rank
from benchmarks.scoring.sensitivity import area, profile, scale_of
from benchmarks.scoring.tradeoffs import Curve, Lead, Reached, at_equal_cost, leads, pareto_front
from benchmarks.scoring.tuning import MOST_SIZES, expected_best, sizes


def seeds(*values: float) -> dict[int, float]:
    return dict(enumerate(values))


class TestPairs:
    def test_by_hand(self) -> None:
        """Differences 1, 2, 3 in the good direction: mean 2, sd 1, t = 2 sqrt(3), half 4.302653 / sqrt(3)."""
        found = difference(seeds(4.0, 3.0, 2.0), seeds(5.0, 5.0, 5.0), "minimize")
        assert (found.seeds, found.mean, found.sd, found.test) == (3, 2.0, 1.0, "t")
        assert found.low == pytest.approx(2 - 2.484138, abs=1e-6)
        assert found.p == pytest.approx(0.074180, abs=1e-6)

    def test_only_common_seeds_count_and_what_is_not_finite_is_counted(self) -> None:
        first = {0: 1.0, 1: 2.0, 2: math.nan, 9: -1e9}
        second = {0: 2.0, 1: 4.0, 2: 1.0, 3: 1e9}
        found = difference(first, second, "minimize")
        assert (found.seeds, found.left_out, found.mean) == (2, 1, 1.5)

    def test_the_permutation_test_counts_signs(self) -> None:
        """Of 64 sign changes of 1, 2, 4, 8, 16, -1 those as far from 0 as 30: sums of at least 30 are
        30, 32, and 30 again with both ones turned; with their opposites 2 (1 + 1 + 1) of 64."""
        values = (1.0, 2.0, 4.0, 8.0, 16.0, -1.0)
        by_hand = sum(
            abs(sum(s * v for s, v in zip(signs, values, strict=True))) >= 30
            for signs in itertools.product((1, -1), repeat=6)
        )
        found = difference(seeds(*values), seeds(*[0.0] * 6), "maximize")
        assert (found.test, found.p) == ("permutation", by_hand / 64)
        assert by_hand == 6

    @pytest.mark.parametrize(("n", "comparisons", "test"), [(5, 1, "t"), (6, 1, "permutation"), (6, 2, "t")])
    def test_seeds_that_could_never_tell_are_judged_by_t(self, n: int, comparisons: int, test: str) -> None:
        """Six seeds reach 1/32, which is below 5 % and not below 2.5 %."""
        found = difference(seeds(*range(n)), seeds(*[0.0] * n), "maximize", comparisons=comparisons)
        assert found.test == test

    def test_many_seeds_are_permuted_at_random_the_same_each_time(self) -> None:
        values = np.random.default_rng(0).normal(0.3, 1.0, 40)
        once, again = (difference(seeds(*values), seeds(*np.zeros(40)), "maximize") for _ in range(2))
        assert once == again
        assert once.p == pytest.approx(0.0655, abs=0.05)
        assert smallest_permutation_p(40) == 2.0**-14

    @pytest.mark.parametrize("values", [(), (1.0,)])
    def test_fewer_than_two_pairs_tell_nothing(self, values: tuple[float, ...]) -> None:
        found = difference(seeds(*values), seeds(*values), "minimize")
        assert (found.p, found.test, found.sd) == (1.0, "none", None)

    def test_equal_everywhere_is_no_difference_and_always_the_same_is_one(self) -> None:
        assert difference(seeds(1, 2, 3), seeds(1, 2, 3), "minimize").p == 1.0
        assert difference(seeds(1, 2, 3), seeds(2, 3, 4), "minimize").p == 0.0

    def test_the_interval_covers_and_the_test_holds_its_level(self) -> None:
        """4,000 cases of 8 seeds: 95 % and 5 %, each within 4 standard errors (1.4 %)."""
        draws = np.random.default_rng(1).normal(0.7, 2.0, (4000, 8))
        found = [difference(seeds(*row), seeds(*np.full(8, 0.7)), "maximize") for row in draws]
        covered = np.mean([one.low <= 0.0 <= one.high for one in found if one.low is not None and one.high])
        assert covered == pytest.approx(0.95, abs=0.014)
        assert np.mean([one.p <= ALPHA for one in found]) <= 0.05 + 0.014


def test_holm_by_hand() -> None:
    """4 x .01, then 3 x .013 = .039 raised to .04, 2 x .04 = .08, .2."""
    assert holm([0.013, 0.2, 0.01, 0.04]) == pytest.approx([0.04, 0.2, 0.04, 0.08])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]


class TestRanking:
    def test_clear_apart(self) -> None:
        """Three estimators ten apart with spreads of a tenth: ranks are single numbers."""
        noise = np.random.default_rng(2).normal(0, 0.1, (3, 8))
        values = {name: seeds(*(10.0 * i + noise[i])) for i, name in enumerate("abc")}
        found = rank(values, "minimize")
        assert list(found.standings) == ["a", "b", "c"]
        assert [(s.rank_low, s.rank_high) for s in found.standings.values()] == [(1, 1), (2, 2), (3, 3)]
        assert [s.tied_with_best for s in found.standings.values()] == [True, False, False]
        assert found.fragile == ()

    def test_large_is_good_turns_it_round(self) -> None:
        values = {"a": seeds(1, 1.1, 0.9), "b": seeds(5, 5.2, 4.9)}
        assert list(rank(values, "maximize").standings) == ["b", "a"]

    def test_what_cannot_be_told_apart_shares_its_ranks(self) -> None:
        """b is the noise of a; c is far away."""
        values = {
            "a": seeds(1.0, 2.0, 3.0, 4.0, 5.0),
            "b": seeds(1.3, 1.8, 3.3, 3.9, 5.1),
            "c": seeds(101.0, 102.1, 103.0, 104.2, 105.0),
        }
        found = rank(values, "minimize").standings
        assert [(s.rank_low, s.rank_high) for s in found.values()] == [(1, 2), (1, 2), (3, 3)]
        assert [s.tied_with_best for s in found.values()] == [True, True, False]

    def test_more_seeds_gain_nothing(self) -> None:
        """The same three seeds of one, and of the other these and 27 more: what is told apart is the same."""
        chance = np.random.default_rng(3)
        few, many = chance.normal(0, 1, 3), chance.normal(0.8, 1, 30)
        short = rank({"few": seeds(*few), "many": seeds(*many[:3])}, "minimize").standings["many"]
        long = rank({"few": seeds(*few), "many": seeds(*many)}, "minimize").standings["many"]
        assert short.against_best is not None
        assert long.against_best == short.against_best

    def test_a_seed_that_decides_is_named(self) -> None:
        """Without seed 2, b has the better mean: 1.5 against 2."""
        values = {"a": seeds(2.0, 2.0, 0.0), "b": seeds(1.5, 1.5, 3.0)}
        assert rank(values, "minimize").fragile == (2,)

    def test_without_a_finite_value_there_is_no_rank(self) -> None:
        found = rank({"a": seeds(1.0, 2.0), "b": seeds(math.nan, math.inf), "c": {}}, "minimize")
        assert list(found.standings) == ["a"]
        assert rank({}, "minimize").standings == {}

    def test_false_alarms_on_boards_of_equals(self) -> None:
        """400 boards of 6 equal estimators with 5 seeds: one that is said to be worse than another on at most
        5 % of them, within 3 standard errors (3.3 %), by t as by the best alone."""
        chance = np.random.default_rng(4)
        wrong_rank = wrong_tie = left_out = 0
        for _ in range(400):
            values = {str(i): seeds(*chance.normal(0, 1, 5)) for i in range(6)}
            standings = rank(values, "minimize").standings
            found = standings.values()
            wrong_rank += any((s.rank_low, s.rank_high) != (1, 6) for s in found)
            wrong_tie += not all(s.tied_with_best for s in found)
            left_out += not standings["0"].tied_with_best
        assert wrong_rank / 400 <= 0.05 + 0.033
        assert wrong_tie / 400 <= 0.15, "the best of six is chosen by the same seeds, which costs some"
        assert left_out / 400 <= 0.05, "the truly best, here any one of them, is among those that tie"


class TestTuning:
    def test_by_hand(self) -> None:
        """Settings 1, 2, 3 (small is good), reporting 10, 20, 60. One of three: 30. Two: the best is 1 with
        2/3, 2 with 1/3: 40/3. Three: 10."""
        found = expected_best([3.0, 1.0, 2.0], [60.0, 10.0, 20.0], "minimize")
        assert found == pytest.approx([30.0, 40 / 3, 10.0])

    def test_against_all_subsets(self) -> None:
        chance = np.random.default_rng(5)
        selecting, reporting = chance.normal(size=7).tolist(), chance.normal(size=7).tolist()
        for k in range(1, 8):
            best = [max(sub, key=lambda i: selecting[i]) for sub in itertools.combinations(range(7), k)]
            wanted = np.mean([reporting[i] for i in best])
            assert expected_best(selecting, reporting, "maximize")[k - 1] == pytest.approx(wanted)

    def test_a_failure_counts_until_it_can_no_longer_be_the_best(self) -> None:
        found = expected_best([1.0, math.nan, 2.0], [1.0, math.nan, 2.0], "minimize")
        assert math.isnan(found[0])
        assert found[1:] == pytest.approx([4 / 3, 1.0])

    def test_large_grids(self) -> None:
        found = expected_best([*range(1000)], [*range(1000)], "minimize")
        assert found[0] == pytest.approx(499.5)
        assert found[-1] == pytest.approx(0.0)
        assert (np.diff(found) < 1e-9).all()

    def test_some_sizes_of_a_large_grid(self) -> None:
        assert sizes(3) == [1, 2, 3]
        some = sizes(5000)
        assert (some[0], some[-1]) == (1, 5000)
        assert len(some) <= MOST_SIZES
        values = np.random.default_rng(6).normal(size=5000).tolist()
        few = expected_best(values, values, "minimize", of=[1, 5000])
        assert few == pytest.approx([np.mean(values), min(values)])

    def test_what_does_not_belong_together_is_refused(self) -> None:
        with pytest.raises(ValueError, match="2 settings with 1 reported"):
            expected_best([1.0, 2.0], [1.0], "minimize")


class TestPower:
    def test_against_simulation(self) -> None:
        """Effect 1, 10 seeds: .803 in tables; simulated within 4 standard errors of 4,000 (2.6 %)."""
        assert power(1.0, 10) == pytest.approx(0.803, abs=2e-3)
        draws = np.random.default_rng(6).normal(0.5, 1.0, (4000, 12))
        t = draws.mean(1) / draws.std(1, ddof=1) * math.sqrt(12)
        assert power(0.5, 12) == pytest.approx((np.abs(t) > 2.200985).mean(), abs=0.026)

    def test_no_effect_is_found_as_often_as_the_level_says(self) -> None:
        assert power(0.0, 7) == pytest.approx(0.05)

    def test_what_is_detectable_has_the_power_that_was_wanted(self) -> None:
        found = detectable(2.0, 5)
        assert found is not None
        assert power(found / 2.0, 5) == pytest.approx(0.8, abs=1e-6)
        assert detectable(2.0, 1) is None

    def test_seeds_to_separate(self) -> None:
        """Effect 1 has a power of .803 with 10 seeds and less with 9."""
        assert seeds_to_separate(3.0, 3.0) == 10
        assert seeds_to_separate(1e-6, 1.0) is None
        assert seeds_to_separate(1.0, 0.0) == 2
        assert seeds_to_separate(0.0, 0.0) is None


class TestSensitivity:
    def test_the_best_of_the_others_by_hand(self) -> None:
        """Temperature 1 was tried with two rates, 3 and 2; 0.5 and 2 with one each."""
        found = profile([1.0, 1.0, 0.5, 2.0], [3.0, 2.0, 5.0, math.nan], "minimize")
        assert [(one.value, one.setting, one.settings) for one in found] == [
            (0.5, 2, 1),
            (1.0, 1, 2),
            (2.0, 3, 1),
        ]
        assert [one.setting for one in profile(["b", "a", "a"], [1.0, 2.0, 3.0], "maximize")] == [2, 0]

    def test_area_by_hand(self) -> None:
        """On 0, 1, 3 shortfalls of 2, 0, 1: (1 + 1) / 3; on the logarithms of 1, 10, 100: (1 + .5) / 2."""
        assert area({0.0: 3.0, 1.0: 1.0, 3.0: 2.0}, "minimize") == pytest.approx(2 / 3)
        assert area({1.0: 3.0, 10.0: 1.0, 100.0: 2.0}, "minimize") == pytest.approx(0.75)
        assert area({1.0: 0.8, 2.0: 0.6}, "maximize") == pytest.approx(0.1)
        assert area({1.0: 4.0, 2.0: 4.0}, "minimize") == 0.0

    def test_words_and_single_values_have_no_area(self) -> None:
        assert area({"adam": 1.0, "radam": 2.0}, "minimize") is None
        assert area({1.0: 1.0}, "minimize") is None
        assert area({}, "minimize") is None
        assert (scale_of([1.0, 9.0]), scale_of([1e-4, 1e-3]), scale_of([0.0, 100.0])) == (
            "linear",
            "log",
            "linear",
        )


class TestTradeoffs:
    def test_the_front_by_hand(self) -> None:
        """b costs more than a and is better, c is beaten by b; d is as good as b at more cost."""
        spent = {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0, "failed": 0.5, "e": 2.0}
        means = {"a": 5.0, "b": 3.0, "c": 4.0, "d": 3.0, "failed": math.nan, "e": 3.0}
        assert pareto_front(spent, means, "minimize") == ["a", "b", "e"]
        assert pareto_front({"a": 1.0, "b": 2.0}, {"a": 5.0, "b": 3.0}, "maximize") == ["a"]

    def test_who_leads_when_by_hand(self) -> None:
        curves: dict[str, Curve] = {
            "a": ([1, 2, 3, 4], [5.0, 4.0, 3.0, None]),
            "b": ([1, 2, 3, 4], [6.0, 3.0, 2.0, 1.0]),
        }
        assert leads(curves, "minimize") == [
            Lead(first=1, last=1, name="a"),
            Lead(first=2, last=4, name="b"),
        ]
        assert leads({"a": ([1], [math.nan])}, "minimize") == []

    def test_equal_cost_by_hand(self) -> None:
        """Whole curves cost 4, 8 and 80: with 4, b has two of its epochs and c none."""
        curves = {name: ([1, 2, 3, 4], [4.0, 3.0, 2.0, 1.0]) for name in "abc"}
        budget, found = at_equal_cost(curves, {"a": 1.0, "b": 2.0, "c": 20.0}, "minimize")
        assert budget == 4.0
        assert found == [
            Reached(name="a", epoch=4, value=1.0),
            Reached(name="b", epoch=2, value=3.0),
            Reached(name="c", epoch=0, value=None),
        ]
        with pytest.raises(ValueError, match="no curve with a cost"):
            at_equal_cost(curves, {}, "minimize")


class TestAcross:
    BOARDS = {  # noqa: RUF012
        "one": {"a": 1.0, "b": 2.0, "c": 4.0},
        "two": {"a": 0.9, "b": 0.5},
        "three": {"a": 3.0, "b": 3.0, "c": math.nan},
        "alone": {"c": 1.0},
    }
    GOALS = {"one": "minimize", "two": "maximize", "three": "minimize", "alone": "minimize"}  # noqa: RUF012

    def test_average_ranks_by_hand(self) -> None:
        """a: 1, 1, 1.5; b: 2, 2, 1.5; c: 3, and nothing where it is alone or failed."""
        found = average_ranks(self.BOARDS, self.GOALS)  # type: ignore[arg-type]
        assert {name: (one.rank, one.boards) for name, one in found.items()} == {
            "a": (pytest.approx(3.5 / 3), 3),
            "b": (pytest.approx(5.5 / 3), 3),
            "c": (3.0, 1),
        }
        assert list(found) == ["a", "b", "c"]

    def test_profiles_by_hand(self) -> None:
        """Boards one and two count. Shortfalls: a 0, 0; b 1/3, 1; c 1, never."""
        found = profiles(self.BOARDS, self.GOALS, np.array([0.0, 0.5, 1.0]))  # type: ignore[arg-type]
        assert {name: share.tolist() for name, share in found.items()} == {
            "a": [1.0, 1.0, 1.0],
            "b": [0.0, 0.5, 1.0],
            "c": [0.0, 0.0, 0.5],
        }
