"""Trials on a fake clock: who is right, and who is fast enough to race."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fake_clock import FakeClock

from convbench.algorithm import Unsupported
from convbench.bench.orders import Job
from convbench.bench.worker import HOPELESS, Trials, for_rounds

Event = dict[str, Any]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@dataclass
class FakeContender:
    """Costs and answers by script; counts what was done with it."""

    clock: FakeClock
    name: str
    seconds: float
    predicted: float = 0.0
    peer: bool = False
    reason: str = ""
    weak: bool = False
    raises: Exception | None = None
    spoils: bool = False
    hides: bool = False
    late: float = 0.0
    calls: int = 0
    released: bool = False
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.predicted = self.predicted or self.seconds

    def prepare(self, x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> None:
        self.x = x

    def call(self) -> None:
        self.calls += 1
        self.clock.now += self.seconds

    def first(self, truth: object) -> SimpleNamespace:
        self.call()
        if self.raises:
            raise self.raises
        if self.spoils:
            self.x += 1
        self.clock.now += self.late
        self.facts |= {"first_s": self.seconds, "late_jit_s": self.late}
        return SimpleNamespace(ok=not self.reason, reason=self.reason, weak=self.weak)

    def chill(self, cache: str) -> Any:
        if self.hides and cache != "hot":
            raise Unsupported("hidden weights")
        return None if cache == "hot" else self.clock.spend(1e-3)

    def release(self) -> None:
        self.released = True


def trials(
    clock: FakeClock, contenders: list[FakeContender], seconds: float = 10.0, cache: str = "hot"
) -> tuple[list[str], dict[str, Event]]:
    """(names of the racers, last cell of each contender)."""
    events: list[Event] = []
    job = Job("mb1ic1ih4oc1kh1", "dense", (), seconds, cache=cache)
    answer: Any = SimpleNamespace(operands=(np.ones(3), np.ones(1), np.ones(1)))
    planned: Any = sorted(contenders, key=lambda contender: contender.predicted)
    racers = Trials(job, answer, clock, events.append).select(planned)
    cells = {event["algorithm"]: event for event in events if event["event"] == "cell"}
    assert set(cells) == {contender.name for contender in contenders}
    return [racer.name for racer in racers], cells


def test_what_is_compiled_late_takes_nobodys_time(clock: FakeClock) -> None:
    slow = [FakeContender(clock, name, 1.0, 30.0) for name in "cd"]  # doubtful: they have a share of their own
    contenders = [FakeContender(clock, "a", 1e-3, late=60.0), FakeContender(clock, "b", 5e-3), *slow]
    racers, cells = trials(clock, contenders, seconds=120.0)
    assert racers == ["a", "b"]
    assert [cells[name]["status"] for name in "abcd"] == ["ok", "ok", "hopeless", "hopeless"]
    assert [contender.calls for contender in slow] == [1, 1]
    racers, cells = trials(clock, [FakeContender(clock, "a", 1e-3, late=60.0), FakeContender(clock, "b", 5e-3)])
    assert racers == ["a", "b"]


@pytest.mark.parametrize("threads", [1, 2])
def test_the_threads_of_rivals_linger(clock: FakeClock, threads: int) -> None:
    job = Job("mb1ic1ih4oc1kh1", "dense", (), 10.0, threads=threads)
    answer: Any = SimpleNamespace(operands=(np.ones(3), np.ones(1), np.ones(1)))
    planned: Any = [FakeContender(clock, "ours", 1e-3), FakeContender(clock, "torch", 2e-3, peer=True)]
    racers = Trials(job, answer, clock, lambda event: None).select(planned)
    assert [racer.linger > 0 for racer in racers] == [False, threads > 1]


def test_the_right_and_the_fast_race(clock: FakeClock) -> None:
    contenders = [FakeContender(clock, "a", 1e-3), FakeContender(clock, "b", 5e-3, weak=True)]
    racers, cells = trials(clock, contenders)
    assert racers == ["a", "b"]
    assert [cells[name]["status"] for name in "ab"] == ["ok", "weak test"]


@pytest.mark.parametrize(
    ("trouble", "status", "reason"),
    [
        ({"reason": "error 1 exceeds the bound 2e-6"}, "failed", "exceeds"),
        ({"spoils": True}, "failed", "wrote its input"),
        ({"raises": RuntimeError("no luck")}, "crashed", "RuntimeError: no luck"),
        ({"raises": MemoryError("8 GB")}, "crashed", "MemoryError: 8 GB"),
    ],
)
def test_trouble_costs_its_own_cell_only(clock: FakeClock, trouble: dict[str, Any], status: str, reason: str) -> None:
    bad, good = FakeContender(clock, "bad", 1e-3, **trouble), FakeContender(clock, "good", 2e-3)
    racers, cells = trials(clock, [bad, good])
    assert racers == ["good"]
    assert cells["bad"]["status"] == status
    assert reason in cells["bad"]["reason"]
    assert bad.calls == 1
    assert bad.released
    np.testing.assert_array_equal(good.x, np.ones(3))


def test_hopeless_ones_are_called_once_and_rivals_not_at_all(clock: FakeClock) -> None:
    slow = 2 * HOPELESS * 1e-3
    ours, rival = FakeContender(clock, "ours", slow), FakeContender(clock, "rival", slow, peer=True)
    racers, cells = trials(clock, [FakeContender(clock, "best", 1e-3), ours, rival])
    assert racers == ["best"]
    assert (ours.calls, rival.calls) == (1, 0)
    assert all(cells[name]["status"] == "hopeless" for name in ("ours", "rival"))
    times = "40.0 ms, 40× the best so far"
    assert cells["ours"]["reason"] == f"predicted {times}; called once: {times}"
    assert "predicted 40.0 ms" in cells["rival"]["reason"]
    assert "not called" in cells["rival"]["reason"]


def test_what_does_not_fit_is_not_even_called(clock: FakeClock) -> None:
    huge, dear = FakeContender(clock, "huge", 9.0), FakeContender(clock, "dear", 11.0)
    _, cells = trials(clock, [FakeContender(clock, "best", 1e-3), huge])
    assert huge.calls == 0
    assert "not called: 3.00 s are left for it" in cells["huge"]["reason"]
    racers, cells = trials(clock, [dear])
    assert racers == []
    assert dear.calls == 0
    assert cells["dear"]["reason"] == "predicted 11.0 s; not called: 10.0 s are left for it"
    assert cells["dear"]["status"] == "out of budget"


def test_a_prediction_that_a_call_refutes_is_forgiven(clock: FakeClock) -> None:
    racers, cells = trials(
        clock, [FakeContender(clock, "best", 1e-3), FakeContender(clock, "dark", 2e-3, predicted=0.5)]
    )
    assert racers == ["best", "dark"]
    assert cells["dark"]["status"] == "ok"


def test_a_contender_that_looked_good_until_a_better_one_came_is_dropped(clock: FakeClock) -> None:
    early = FakeContender(clock, "early", 0.05, predicted=1e-4)
    racers, cells = trials(clock, [early, FakeContender(clock, "late", 1e-3)])
    assert racers == ["late"]
    assert cells["early"]["status"] == "hopeless"
    assert cells["early"]["reason"] == "a call takes 50.0 ms, 50× the best so far"


def test_a_slow_first_call_alone_drops_nobody_whom_the_prediction_favoured(clock: FakeClock) -> None:
    lazy = FakeContender(clock, "lazy", 2e-3)
    prompt = lazy.first

    def first(truth: object) -> SimpleNamespace:
        clock.now += 0.1
        return prompt(truth)

    lazy.first = first  # type: ignore[method-assign]
    racers, _ = trials(clock, [FakeContender(clock, "best", 1e-3), lazy])
    assert racers == ["best", "lazy"]


def test_a_long_first_call_is_not_repeated_to_calibrate(clock: FakeClock) -> None:
    long = FakeContender(clock, "long", 2.0)
    racers, _ = trials(clock, [long])
    assert racers == ["long"]
    assert long.calls == 1


@pytest.mark.parametrize(("left", "scaling", "seconds"), [(10.0, (), 9.7), (10.0, (1, 2), 4.7), (-2.0, (), 3.0)])
def test_slow_first_calls_and_preparations_leave_time_for_rounds(
    left: float, scaling: tuple[int, ...], seconds: float
) -> None:
    assert for_rounds(Job("mb1ic1ih4oc1kh1", "dense", (), 10.0, scaling=scaling), left) == pytest.approx(seconds)


def test_with_cold_caches_a_rival_that_hides_its_weights_is_skipped(clock: FakeClock) -> None:
    open_one, hidden = FakeContender(clock, "open", 1e-3), FakeContender(clock, "hidden", 1e-3, hides=True)
    racers, cells = trials(clock, [open_one, hidden], cache="cold-weights")
    assert racers == ["open"]
    assert (cells["hidden"]["status"], cells["hidden"]["reason"]) == ("skipped", "hidden weights")
    assert trials(clock, [FakeContender(clock, "hidden", 1e-3, hides=True)])[0] == ["hidden"]
