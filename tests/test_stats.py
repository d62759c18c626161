"""Statistics on simulated samples: coverage, pairing, ties and their breaking."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import quantile_test

from convbench.bench.stats import (
    CONFIDENCE,
    LEAST,
    MINIMAL_EFFECT,
    Interval,
    fastest,
    is_tied,
    median_interval,
    paired_ratios,
    standings,
)


def noisy_machine(times: dict[str, float], rounds: int, seed: int) -> dict[str, dict[int, float]]:
    """Contenders, in an order drawn anew each round, on a core that a neighbour halves for some rounds at a time.

    Spells begin and end between any two samples; each sample has 3% jitter of its own.
    """
    rng = np.random.default_rng(seed)
    race: dict[str, dict[int, float]] = {name: {} for name in times}
    slow = 1 + int(rng.random() < 0.5)
    for i in range(rounds):
        for name in rng.permutation(list(times)):
            slow = 3 - slow if rng.random() < 0.25 / len(times) else slow
            race[name][i] = float(times[name] * slow * rng.lognormal(0, 0.03))
    return race


def declared(times: dict[str, float], rounds: int, trials: int) -> float:
    """In what fraction of simulated races somebody is told from the fastest."""
    races = (standings(noisy_machine(times, rounds, seed)) for seed in range(trials))
    return float(np.mean([not all(standing.tied for standing in race.values()) for race in races]))


def test_the_interval_holds_the_median_and_is_repeatable() -> None:
    values = np.random.default_rng(1).lognormal(size=25).tolist()
    interval = median_interval(values)
    assert interval.low < interval.median == np.median(values) < interval.high
    assert median_interval(values) == interval


@pytest.mark.parametrize("values", [7, 12, 25])
def test_the_interval_covers_the_true_median_at_least_as_often_as_it_says(values: int) -> None:
    rng = np.random.default_rng(2)
    covered = [
        interval.low <= 1.0 <= interval.high
        for interval in (median_interval(rng.lognormal(0, 0.1, values).tolist()) for _ in range(1000))
    ]
    assert 0.94 < np.mean(covered) <= 0.995


@pytest.mark.parametrize(("values", "confidence"), [(1, 0), (2, 0.5), (3, 0.75), (5, 0.9375), (6, CONFIDENCE)])
def test_few_values_give_their_range_and_what_it_is_worth(values: int, confidence: float) -> None:
    interval = median_interval(range(1, values + 1))
    assert interval == Interval((values + 1) / 2, 1, values, confidence)
    assert (interval.confidence < CONFIDENCE) == (values < LEAST)


@pytest.mark.parametrize("confidence", [0.95, 1 - 0.05 / 4])
def test_the_interval_is_that_of_scipys_sign_test(confidence: float) -> None:
    for count in range(LEAST, 120, 3):
        values = np.random.default_rng(count).normal(size=count)
        found = median_interval(values.tolist(), confidence)
        expected = quantile_test(values, q=np.median(values), p=0.5).confidence_interval(confidence)
        if not np.isnan(expected.low):
            assert (found.low, found.high, found.confidence) == (*expected, confidence)
        else:
            assert (found.low, found.high) == (values.min(), values.max())


def test_without_spread_the_interval_is_a_point() -> None:
    assert median_interval([0.5] * 9) == Interval(0.5, 0.5, 0.5)


def test_ratios_pair_by_round_and_skip_what_one_of_them_lacks() -> None:
    assert paired_ratios({0: 2.0, 1: 3.0, 2: 8.0}, {0: 1.0, 2: 2.0, 3: 9.0}) == [2.0, 4.0]


def test_pairing_removes_the_neighbour() -> None:
    race = noisy_machine({"a": 1.0, "b": 1.1}, rounds=25, seed=3)
    ratio = standings(race)["b"].ratio
    assert 1.05 < ratio.low <= ratio.high < 1.15
    assert max(race["a"].values()) / min(race["a"].values()) > 1.8


@pytest.mark.parametrize("rounds", [1, 2, 3, 5, 6, 15, 25])
def test_equal_contenders_are_seldom_told_apart(rounds: int) -> None:
    assert declared({"a": 1.0, "b": 1.0}, rounds, trials=400) < 0.05


@pytest.mark.parametrize("rounds", [6, 25])
def test_many_equal_contenders_are_seldom_told_apart_either(rounds: int) -> None:
    assert declared(dict.fromkeys("abcdefgh", 1.0), rounds, trials=300) < 0.06


@pytest.mark.parametrize("rounds", [15, 25])
def test_ten_percent_are_found(rounds: int) -> None:
    assert declared({"a": 1.0, "b": 1.1}, rounds, trials=200) > 0.9


def test_the_fastest_is_found_although_a_slow_spell_met_it_alone() -> None:
    late = {"a": {0: 1.0, 1: 2.0, 2: 2.0, 3: 2.0}, "b": {0: 1.2}}
    assert fastest(late) == "a"


@pytest.mark.parametrize(
    ("ratio", "tied"),
    [
        (Interval(1.10, 0.99, 1.30), True),
        (Interval(1.10, 1.01, 1.20), False),
        (Interval(1 + MINIMAL_EFFECT / 2, 1.005, 1.015), True),
        (Interval(1 + 2 * MINIMAL_EFFECT, 1.03, 1.05), False),
        (Interval(1 + 2 * MINIMAL_EFFECT, 1.03, 1.05, confidence=0.9375), True),
    ],
)
def test_tied_means_interval_includes_one_or_effect_too_small(ratio: Interval, tied: bool) -> None:
    assert is_tied(ratio, rounds=5) is tied


@pytest.mark.parametrize(
    ("ratio", "rounds", "tied"), [(1.9, 1, True), (2.1, 1, False), (1.08, 5, True), (1.15, 5, False), (1.08, 6, False)]
)
def test_few_rounds_prove_large_differences_only(ratio: float, rounds: int, tied: bool) -> None:
    assert is_tied(median_interval([ratio] * rounds), rounds) is tied


@pytest.mark.parametrize(
    ("tie_break", "winner"),
    [
        ({"a": (64.0, 1e-7), "b": (0.0, 1e-5)}, "b"),
        ({"a": (64.0, 1e-7), "b": (64.0, 1e-8)}, "b"),
        ({"a": (64.0, 1e-7), "b": (64.0, 1e-7)}, "a"),
        (None, "a"),
    ],
    ids=["workspace", "error", "name", "nothing known"],
)
def test_ties_are_broken_by_workspace_then_error_then_name(
    tie_break: dict[str, tuple[float, float]] | None, winner: str
) -> None:
    race = {"b": dict.fromkeys(range(5), 1.0), "a": dict.fromkeys(range(5), 1.01), "slow": dict.fromkeys(range(5), 3.0)}
    if tie_break:
        tie_break = tie_break | {"slow": (0.0, 0.0)}
    result = standings(race, tie_break)
    assert [name for name in race if result[name].winner] == [winner]
    assert not result["slow"].tied


def test_noise_may_tie_but_a_tie_is_not_broken_for_a_much_slower_one() -> None:
    race = {"a": dict.fromkeys(range(5), 1.0), "b": {0: 0.9, 1: 3.0, 2: 3.0, 3: 0.9, 4: 3.0}}
    result = standings(race, {"a": (64.0, 1e-7), "b": (0.0, 1e-7)})
    assert result["b"].tied
    assert result["a"].winner


def test_contenders_without_samples_have_no_standing() -> None:
    assert standings({"a": {}}) == {}
    assert set(standings({"a": {0: 1.0}, "b": {}})) == {"a"}


def test_without_a_shared_round_the_ratio_is_that_of_the_medians() -> None:
    result = standings({"a": {(0, 0): 1.0, (0, 1): 1.0}, "b": {(1, 0): 3.0}})
    assert result["b"].ratio == Interval(3.0, 3.0, 3.0, confidence=0.0)
