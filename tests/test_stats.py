"""Statistics on simulated samples: coverage, pairing, ties and their breaking."""

from __future__ import annotations

import numpy as np
import pytest

from convbench.bench.stats import (
    MINIMAL_EFFECT,
    Interval,
    fastest,
    is_tied,
    median_interval,
    paired_ratios,
    standings,
)


def noisy_machine(times: dict[str, float], rounds: int, seed: int) -> dict[str, dict[int, float]]:
    """Contenders on a core that a neighbour halves for spells of some rounds, with 2% jitter of their own."""
    rng = np.random.default_rng(seed)
    slow = np.where(np.cumsum(rng.random(rounds) < 0.2) % 2, 2.0, 1.0)
    return {
        name: {i: float(seconds * slow[i] * rng.lognormal(0, 0.02)) for i in range(rounds)}
        for name, seconds in times.items()
    }


def test_the_interval_holds_the_median_and_is_repeatable() -> None:
    values = np.random.default_rng(1).lognormal(size=25).tolist()
    interval = median_interval(values)
    assert interval.low < interval.median == np.median(values) < interval.high
    assert median_interval(values) == interval


def test_the_interval_covers_the_true_median_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    covered = [
        interval.low <= 1.0 <= interval.high
        for interval in (median_interval(rng.lognormal(0, 0.1, 25).tolist()) for _ in range(200))
    ]
    assert 0.88 < np.mean(covered) <= 0.99


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.5], [0.5] * 9])
def test_without_spread_the_interval_is_a_point(values: list[float]) -> None:
    assert median_interval(values) == Interval(0.5, 0.5, 0.5)


def test_ratios_pair_by_round_and_skip_what_one_of_them_lacks() -> None:
    assert paired_ratios({0: 2.0, 1: 3.0, 2: 8.0}, {0: 1.0, 2: 2.0, 3: 9.0}) == [2.0, 4.0]


def test_pairing_removes_the_neighbour() -> None:
    race = noisy_machine({"a": 1.0, "b": 1.1}, rounds=25, seed=3)
    ratio = standings(race)["b"].ratio
    assert 1.07 < ratio.low <= ratio.high < 1.13
    assert max(race["a"].values()) / min(race["a"].values()) > 1.8


def test_ten_percent_is_found_and_no_difference_is_seldom_declared() -> None:
    found = [not standings(noisy_machine({"a": 1.0, "b": 1.1}, 15, seed))["b"].tied for seed in range(60)]
    false = [not all(s.tied for s in standings(noisy_machine({"a": 1.0, "b": 1.0}, 15, seed)).values())
             for seed in range(60)]  # fmt: skip
    assert np.mean(found) > 0.9
    assert np.mean(false) < 0.05


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
    ],
)
def test_tied_means_interval_includes_one_or_effect_too_small(ratio: Interval, tied: bool) -> None:
    assert is_tied(ratio, rounds=5) is tied


@pytest.mark.parametrize(("ratio", "rounds", "tied"), [(1.08, 1, True), (1.08, 5, False), (1.15, 1, False)])
def test_one_round_proves_large_differences_only(ratio: float, rounds: int, tied: bool) -> None:
    assert is_tied(Interval(ratio, ratio, ratio), rounds) is tied


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
    assert result["b"].ratio == Interval(3.0, 3.0, 3.0)
