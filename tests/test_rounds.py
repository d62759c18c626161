"""Rounds on a fake clock: calibration, order, probes, and when to stop."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from random import Random
from typing import Any

import numpy as np
import pytest
from fake_clock import FakeClock

from convbench.bench import rounds
from convbench.bench.rounds import LEAST_ROUNDS, LEAST_SAMPLE, MOST_ROUNDS, NARROW, Racer, affordable, calibrated, race
from convbench.bench.stats import standings

Event = dict[str, Any]
NEVER = -1.0
"""No interval is so narrow."""


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def racer(clock: FakeClock, name: str, seconds: float, loops: int = 1) -> Racer:
    return Racer(name, clock.spend(seconds), seconds, loops)


def run_race(
    clock: FakeClock, racers: list[Racer], seconds: float, seed: int = 0, narrow: float = NEVER
) -> list[Event]:
    events: list[Event] = []
    probes = {"fma": clock.spend(1e-3), "stream": clock.spend(1e-3)}
    race(racers, probes, seconds, clock, Random(seed), events.append, narrow)
    return events


def told_apart(times: dict[str, float], jitter: float, trials: int) -> tuple[float, list[int]]:
    """In what part of simulated races somebody is told from the fastest; and the number of rounds of each.

    Calls take so long, with a jitter of their own, on a core that a neighbour halves for some rounds at a time.
    """
    apart, lengths = 0, []
    for seed in range(trials):
        clock, rng, slow = FakeClock(), np.random.default_rng(seed), iter(spells(np.random.default_rng(seed + trials)))

        def call(seconds: float, clock=clock, rng=rng, slow=slow) -> None:  # type: ignore[no-untyped-def]
            clock.now += seconds * next(slow) * float(rng.lognormal(0, jitter))

        events: list[Event] = []
        racers = [Racer(name, partial(call, seconds), 1.0, 1) for name, seconds in times.items()]
        probes = dict.fromkeys(("fma", "stream"), clock.spend(0))
        race(racers, probes, 1e9, clock, Random(seed), events.append)
        found = standings({name: dict(enumerate(samples(events, name))) for name in times})
        apart += not all(standing.tied for standing in found.values())
        lengths.append(max(standing.rounds for standing in found.values()))
    return apart / trials, lengths


def spells(rng: np.random.Generator) -> Iterator[int]:
    slow = 1
    while True:
        slow = 3 - slow if rng.random() < 0.12 else slow
        yield slow


def samples(events: list[Event], name: str) -> list[float]:
    return [event["seconds"] for event in events if event["event"] == "sample" and event["algorithm"] == name]


def order(events: list[Event], i: int) -> list[str]:
    return [event["algorithm"] for event in events if event["event"] == "sample" and event["round"] == i]


@pytest.mark.parametrize("seconds", [1e-6, 3e-5, 2.9e-4, 0.5])
def test_calibration_makes_samples_long_enough_and_no_longer(clock: FakeClock, seconds: float) -> None:
    found = calibrated("a", clock.spend(seconds), clock)
    assert found.seconds == pytest.approx(seconds)
    assert found.loops * seconds >= LEAST_SAMPLE * 0.999
    assert found.loops == 1 or (found.loops - 1) * seconds < LEAST_SAMPLE * 1.001


def test_a_call_that_had_to_wait_for_its_turn_is_timed_again(clock: FakeClock) -> None:
    waits = iter([0.02])

    def call() -> None:
        clock.now += 1e-5 + next(waits, 0.0)

    found = calibrated("a", call, clock)
    assert found.seconds == pytest.approx(1e-5)
    assert found.loops in (30, 31)


def test_calibration_ends_for_a_call_that_takes_no_time(clock: FakeClock) -> None:
    assert calibrated("a", clock.spend(0), clock).loops == rounds.MOST_LOOPS


def test_a_sample_is_seconds_per_call_and_short_ones_follow_a_call_that_warms(clock: FakeClock) -> None:
    calls: list[int] = []
    short = Racer("short", lambda: calls.append(clock.spend(1e-4)()), 1e-4, 3)  # type: ignore[func-returns-value, arg-type]
    assert rounds.sample(short, clock) == pytest.approx(1e-4)
    assert len(calls) == 4
    long = racer(clock, "long", 0.5)
    before = clock.now
    rounds.sample(long, clock)
    assert clock.now - before == pytest.approx(0.5)


def test_every_round_has_everyone_once_in_an_order_drawn_anew_from_the_seed(clock: FakeClock) -> None:
    names = ["a", "b", "c", "d"]
    events = run_race(clock, [racer(clock, name, 1e-3) for name in names], 100)
    orders = [order(events, i) for i in range(MOST_ROUNDS)]
    assert all(sorted(found) == names for found in orders)
    assert len(set(map(tuple, orders))) > 5
    again = run_race(clock, [racer(clock, name, 1e-3) for name in names], 100)
    other = run_race(clock, [racer(clock, name, 1e-3) for name in names], 100, seed=1)
    assert [order(again, i) for i in range(MOST_ROUNDS)] == orders
    assert [order(other, i) for i in range(MOST_ROUNDS)] != orders


def test_probes_run_beside_the_samples(clock: FakeClock) -> None:
    events = run_race(clock, [racer(clock, "a", 1e-3), racer(clock, "b", 1e-3)], 100)
    kinds = [(event["event"], event.get("probe")) for event in events][:6]
    assert kinds == [("probe", "stream"), ("begin", None), ("sample", None), ("begin", None), ("sample", None),
                     ("probe", "fma")]  # fmt: skip
    assert all(event["beside"] == pytest.approx(1e-3) for event in events if event["event"] == "sample")
    assert sum(event["event"] == "probe" for event in events) == 2 * MOST_ROUNDS


def test_rounds_stop_when_the_time_is_over_but_not_before_the_least(clock: FakeClock) -> None:
    racers = [racer(clock, "a", 0.1), racer(clock, "b", 0.1)]
    assert len(samples(run_race(clock, racers, 1.25), "a")) == LEAST_ROUNDS
    start = clock.now
    assert LEAST_ROUNDS < len(samples(run_race(clock, racers, 2.2), "a")) < MOST_ROUNDS
    assert clock.now - start < 2.2


def test_the_next_one_waits_until_the_threads_of_the_one_before_sleep(clock: FakeClock) -> None:
    """A pool that spins takes the core of whoever runs within ``linger`` after it."""
    spins_until, found = 0.0, []

    def spinning() -> None:
        nonlocal spins_until
        clock.now += 1e-3
        spins_until = clock.now + 5e-3

    def disturbed() -> None:
        clock.now += 2e-3 if clock.now < spins_until else 1e-3

    racers = [Racer("torch", spinning, 1e-3, 1, linger=1e-2), Racer("ours", disturbed, 1e-3, 1)]
    for pause in (lambda seconds: setattr(clock, "now", clock.now + seconds), lambda seconds: None):
        events: list[Event] = []
        probes = dict.fromkeys(("fma", "stream"), clock.spend(0))
        race(racers, probes, 1.0, clock, Random(0), events.append, NEVER, pause)
        found.append(samples(events, "ours"))
    assert found[0] == pytest.approx([1e-3] * len(found[0]))
    assert max(found[1]) == pytest.approx(2e-3)
    assert racers[0].round_seconds == pytest.approx(1.2e-2)


def test_a_clearly_beaten_contender_stops_after_the_least_rounds(clock: FakeClock) -> None:
    events = run_race(clock, [racer(clock, n, s) for n, s in (("a", 1e-3), ("b", 1.1e-3), ("c", 2e-3))], 100)
    assert [len(samples(events, name)) for name in "abc"] == [MOST_ROUNDS, MOST_ROUNDS, LEAST_ROUNDS]


def test_a_lone_winner_needs_no_more_rounds(clock: FakeClock) -> None:
    events = run_race(clock, [racer(clock, "a", 1e-3), racer(clock, "b", 2e-3)], 100)
    assert len(samples(events, "a")) == len(samples(events, "b")) == LEAST_ROUNDS


def test_one_contender_alone_is_measured_until_its_time_is_known(clock: FakeClock) -> None:
    assert len(samples(run_race(clock, [racer(clock, "a", 1e-3)], 100, narrow=NARROW), "a")) == LEAST_ROUNDS
    assert len(samples(run_race(clock, [racer(clock, "a", 1e-3)], 100), "a")) == MOST_ROUNDS


def test_contenders_whose_ratios_are_known_need_no_more_rounds(clock: FakeClock) -> None:
    racers = [racer(clock, name, seconds) for name, seconds in (("a", 1e-3), ("b", 1.1e-3), ("c", 1.3e-3))]
    events = run_race(clock, racers, 100, narrow=NARROW)
    least = next(n for n in range(LEAST_ROUNDS, MOST_ROUNDS, rounds.LOOK) if 2.0 ** (1 - n) < 0.05 / 2)
    assert [len(samples(events, name)) for name in "abc"] == [least] * 3


@pytest.mark.parametrize("jitter", [0.005, 0.015, 0.03])
def test_rounds_that_end_when_ratios_are_narrow_seldom_tell_equals_apart(jitter: float) -> None:
    apart, lengths = told_apart({"a": 1.0, "b": 1.0}, jitter, trials=200)
    assert apart < 0.05
    assert np.median(lengths) < MOST_ROUNDS


@pytest.mark.parametrize("jitter", [0.005, 0.015, 0.03])
def test_rounds_that_end_when_ratios_are_narrow_find_ten_percent(jitter: float) -> None:
    assert told_apart({"a": 1.0, "b": 1.1}, jitter, trials=50)[0] > 0.9


def test_the_noisier_the_samples_the_more_rounds_there_are() -> None:
    medians = [np.median(told_apart({"a": 1.0, "b": 1.05}, jitter, trials=30)[1]) for jitter in (0.003, 0.01, 0.03)]
    assert LEAST_ROUNDS <= medians[0] < medians[1] < medians[2] <= MOST_ROUNDS


def test_without_contenders_there_is_no_race(clock: FakeClock) -> None:
    assert run_race(clock, [], 1) == []


@pytest.mark.parametrize(
    ("costs", "seconds", "expected"),
    [
        ({"a": 1.0, "b": 1.0}, 12.0, {"a": 6, "b": 6}),
        ({"a": 1.0, "b": 4.0}, 18.0, {"a": 6, "b": 3}),
        ({"a": 1.0, "b": 12.0}, 18.0, {"a": 6, "b": 1}),
        ({"a": 10.0, "b": 10.0}, -1.0, {"a": 1, "b": 1}),
        ({"a": 1e-3, "b": 9.0}, 3.0, {"a": 6, "b": 1}),  # no round of b fits: that is not a's loss
        ({}, 1.0, {}),
    ],
)
def test_when_the_least_rounds_are_too_dear_the_dearest_give_way(
    costs: dict[str, float], seconds: float, expected: dict[str, int]
) -> None:
    assert affordable(costs, seconds) == expected


def test_with_cold_caches_each_call_is_timed_alone_after_its_memory_was_put_out(clock: FakeClock) -> None:
    log: list[object] = []

    def call() -> int:
        log.append("call")
        clock.now += 1e-4
        return len(log)

    def chill(result: object) -> None:
        log.append(result)
        clock.now += 5e-3

    found = calibrated("cold", call, clock, chill)
    assert found.seconds == pytest.approx(1e-4)
    assert found.chill_seconds == pytest.approx(5e-3)
    assert found.loops == 3
    assert found.round_seconds == pytest.approx(4 * 1e-4 + 3 * 5e-3)
    log.clear()
    assert rounds.sample(found, clock) == pytest.approx(1e-4)
    assert log == ["call", 1, "call", 3, "call", 5, "call"]


def test_a_cold_sample_of_short_calls_does_not_last_for_ever(clock: FakeClock) -> None:
    found = calibrated("cold", clock.spend(1e-7), clock, clock.spend(1e-3))
    assert found.loops == rounds.MOST_COLD_LOOPS
