"""Rounds and trials on a fake clock; then real worker processes with contenders that misbehave in every way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from convbench.bench import rounds
from convbench.bench.crew import Crew
from convbench.bench.orders import Job, Setup, from_line, to_line
from convbench.bench.rounds import LEAST_ROUNDS, LEAST_SAMPLE, MOST_ROUNDS, Racer, affordable, calibrated, race
from convbench.bench.warmup import likeness, likenesses
from convbench.bench.worker import HOPELESS, Trials
from convbench.spec import ConvSpec

Event = dict[str, Any]


@dataclass
class FakeClock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now

    def spend(self, seconds: float) -> Callable[..., None]:
        def call(*_: object, **__: object) -> None:
            self.now += seconds

        return call


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def racer(clock: FakeClock, name: str, seconds: float, loops: int = 1) -> Racer:
    return Racer(name, clock.spend(seconds), seconds, loops)


def run_race(clock: FakeClock, racers: list[Racer], seconds: float, seed: int = 0) -> list[Event]:
    events: list[Event] = []
    probes = {"fma": clock.spend(1e-3), "stream": clock.spend(1e-3)}
    race(racers, probes, seconds, clock, Random(seed), events.append)
    return events


def samples(events: list[Event], name: str) -> list[float]:
    return [event["seconds"] for event in events if event["event"] == "sample" and event["algorithm"] == name]


def order(events: list[Event], i: int) -> list[str]:
    return [event["algorithm"] for event in events if event["event"] == "sample" and event["round"] == i]


@pytest.mark.parametrize("seconds", [1e-6, 3e-5, 2.9e-4, 0.5])
def test_calibration_makes_samples_long_enough_and_no_longer(clock: FakeClock, seconds: float) -> None:
    found = calibrated("a", clock.spend(seconds), clock)
    assert found.seconds == pytest.approx(seconds)
    assert found.loops * seconds >= LEAST_SAMPLE * 0.999
    assert found.loops == 1 or (found.loops - 1) * seconds < LEAST_SAMPLE


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


def test_a_clearly_beaten_contender_stops_after_the_least_rounds(clock: FakeClock) -> None:
    events = run_race(clock, [racer(clock, n, s) for n, s in (("a", 1e-3), ("b", 1.1e-3), ("c", 2e-3))], 100)
    assert [len(samples(events, name)) for name in "abc"] == [MOST_ROUNDS, MOST_ROUNDS, LEAST_ROUNDS]


def test_a_lone_winner_needs_no_more_rounds(clock: FakeClock) -> None:
    events = run_race(clock, [racer(clock, "a", 1e-3), racer(clock, "b", 2e-3)], 100)
    assert len(samples(events, "a")) == len(samples(events, "b")) == LEAST_ROUNDS


def test_one_contender_alone_is_still_measured_well(clock: FakeClock) -> None:
    assert len(samples(run_race(clock, [racer(clock, "a", 1e-3)], 100), "a")) == MOST_ROUNDS


def test_without_contenders_there_is_no_race(clock: FakeClock) -> None:
    assert run_race(clock, [], 1) == []


@pytest.mark.parametrize(
    ("costs", "seconds", "expected"),
    [
        ({"a": 1.0, "b": 1.0}, 12.0, {"a": 6, "b": 6}),
        ({"a": 1.0, "b": 4.0}, 18.0, {"a": 6, "b": 3}),
        ({"a": 1.0, "b": 12.0}, 18.0, {"a": 6, "b": 1}),
        ({"a": 10.0, "b": 10.0}, -1.0, {"a": 1, "b": 1}),
        ({}, 1.0, {}),
    ],
)
def test_when_the_least_rounds_are_too_dear_the_dearest_give_way(
    costs: dict[str, float], seconds: float, expected: dict[str, int]
) -> None:
    assert affordable(costs, seconds) == expected


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
        self.facts["first_s"] = self.seconds
        return SimpleNamespace(ok=not self.reason, reason=self.reason, weak=self.weak)

    def release(self) -> None:
        self.released = True


def trials(
    clock: FakeClock, contenders: list[FakeContender], seconds: float = 10.0
) -> tuple[list[str], dict[str, Event]]:
    """(names of the racers, last cell of each contender)."""
    events: list[Event] = []
    job = Job("mb1ic1ih4oc1kh1", "dense", (), seconds)
    answer: Any = SimpleNamespace(operands=(np.ones(3), np.ones(1), np.ones(1)))
    planned: Any = sorted(contenders, key=lambda contender: contender.predicted)
    racers = Trials(job, answer, clock, events.append).select(planned)
    cells = {event["algorithm"]: event for event in events if event["event"] == "cell"}
    assert set(cells) == {contender.name for contender in contenders}
    return [racer.name for racer in racers], cells


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
    assert cells["ours"]["reason"] == "predicted 0.04 s, 40× the best; called once: 0.04 s, 40× the best"
    assert "predicted 0.04 s" in cells["rival"]["reason"]
    assert "not called" in cells["rival"]["reason"]


def test_what_does_not_fit_is_not_even_called(clock: FakeClock) -> None:
    huge, dear = FakeContender(clock, "huge", 9.0), FakeContender(clock, "dear", 11.0)
    _, cells = trials(clock, [FakeContender(clock, "best", 1e-3), huge])
    assert huge.calls == 0
    assert "not called: 3 s are left for it" in cells["huge"]["reason"]
    racers, cells = trials(clock, [dear])
    assert racers == []
    assert dear.calls == 0
    assert cells["dear"]["reason"] == "predicted 11 s; not called: 10 s are left for it"
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
    assert cells["early"]["reason"] == "a call takes 0.05 s, 50× the best"


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


def test_orders_survive_the_wire() -> None:
    job = Job("mb1ic1ih4oc1kh1", "rank1", ("a", "b"), 1.5, 2, (1,), None, 3)
    assert Job(**from_line(to_line(job))) == job
    setup = Setup(("a",), ("mb1ic1ih4oc1kh1",), files=("x.py",))
    assert Setup(**from_line(to_line(setup))) == setup


@pytest.mark.parametrize(
    ("text", "small"),
    [
        ("mb8ic512ih56oc512oh56kh3ph1", "mb1ic32ih23oc32oh23kh3ph1"),
        ("g960mb1ic960ih7oc960oh7kh3ph1", "g32mb1ic32ih7oc32oh7kh3ph1"),
        ("g32mb1ic128ih56oc256oh56kh3ph1", "g4mb1ic16ih23oc32oh23kh3ph1"),
        ("mb1ic1iw480000oc1ow478977kw1024", "mb1ic1iw1044oc1ow21kw1024"),
        ("--dt=f64 mb1ic3ih224oc64oh112kh7sh2ph3", "--dt=f64 mb1ic3ih27oc32oh13kh7sh2ph3"),
    ],
)
def test_a_likeness_keeps_what_kernels_are_compiled_for(text: str, small: str) -> None:
    spec = ConvSpec.parse(text)
    assert likeness(spec) == ConvSpec.parse(small)
    assert len(likenesses([spec, likeness(spec)])) == 1


TOYS = """
import os, signal, sys
import numpy as np
from convbench.algorithm import Algorithm

def right(plan, x, state, bias, y, work):
    y[...] = np.einsum("nchw,kc->nkhw", x, state[:, :, 0, 0])
    if bias is not None:
        y += bias[:, None, None]

def wrong(plan, x, state, bias, y, work):
    right(plan, x, state, bias, y, work)
    y[0, 0, 0, 0] += 1

def stale(plan, x, state, bias, y, work):
    pass

def chatty(plan, x, state, bias, y, work):
    print('{"event": "exit", "code": 0}')
    os.write(2, b"noise")
    sys.stdout.flush()
    right(plan, x, state, bias, y, work)

def only_small(act):
    def run(plan, x, state, bias, y, work):
        if x.shape[2] > 30:
            act()
        right(plan, x, state, bias, y, work)
    return run

def forever():
    while True:
        pass

def refuse():
    raise RuntimeError("not this one")

def supports(spec):
    return None if spec.filter == (1, 1) else "toys are 1x1"

one_by_one = dict(supports=supports, cost=lambda plan, machine: 1e-4)
toy_right = Algorithm("toy_right", right, **one_by_one)
toy_wrong = Algorithm("toy_wrong", wrong, **one_by_one)
toy_stale = Algorithm("toy_stale", stale, **one_by_one)
toy_chatty = Algorithm("toy_chatty", chatty, **one_by_one)
toy_raises = Algorithm("toy_raises", only_small(refuse), **one_by_one)
toy_crashes = Algorithm("toy_crashes", only_small(lambda: os.kill(os.getpid(), signal.SIGSEGV)), **one_by_one)
toy_hangs = Algorithm("toy_hangs", only_small(forever), **one_by_one)
toy_dies_early = Algorithm("toy_dies_early", lambda *_: os._exit(7), **one_by_one)
"""
SPEC = "mb1ic8ih40oc8oh40kh1"


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("toys") / "toys.py"
    path.write_text(TOYS)
    return str(path)


@pytest.fixture(scope="module")
def crew(toys: str) -> Iterator[Crew]:
    names = ("toy_right", "toy_wrong", "toy_stale", "toy_chatty", "toy_raises", "toy_crashes", "toy_hangs")
    with Crew(Setup(names, (str(likeness(ConvSpec.parse(SPEC))),), files=(toys,)), patience=5.0) as crew:
        events = list(crew.start())
        assert events[-1]["event"] == "ready"
        assert [event["algorithm"] for event in events if event["event"] == "warm"] == list(names)
        yield crew


def work(crew: Crew, *names: str, **order: Any) -> list[Event]:
    return list(crew.work(Job(SPEC, "dense", names, 0.5, **order)))


def cell(events: list[Event], name: str) -> Event:
    return [event for event in events if event["event"] == "cell" and event["algorithm"] == name][-1]


def test_a_job_yields_samples_probes_and_read_back_threads(crew: Crew) -> None:
    events = work(crew, "toy_right", "toy_chatty")
    assert (events[-1]["event"], events[-1]["code"]) == ("exit", 0)
    assert events[-1]["max_rss"] > 1 << 24
    facts = events[0]["facts"]
    assert {facts[f"threads_{pool}"] for pool in ("numba", "blas", "fft")} == {1}
    assert set(events[0]["probes"]) == {"fma", "stream"}
    for name in ("toy_right", "toy_chatty"):
        assert cell(events, name)["status"] == "ok"
        assert len(samples(events, name)) >= LEAST_ROUNDS
        assert {"prepare_s", "first_s", "error", "workspace_bytes", "predicted_s"} <= set(cell(events, name)["facts"])


def test_wrong_answers_and_outputs_left_alone_are_failures(crew: Crew) -> None:
    events = work(crew, "toy_right", "toy_wrong", "toy_stale", "toy_raises")
    assert "exceeds the bound" in cell(events, "toy_wrong")["reason"]
    assert "not finite" in cell(events, "toy_stale")["reason"]
    assert cell(events, "toy_raises")["reason"] == "RuntimeError: not this one"
    assert len(samples(events, "toy_right")) >= LEAST_ROUNDS


def test_a_crash_ends_the_worker_and_not_the_crew(crew: Crew) -> None:
    events = work(crew, "toy_crashes")
    assert (events[-1]["event"], events[-1]["code"]) == ("exit", -11)
    assert [event["algorithm"] for event in events if event["event"] == "begin"][-1] == "toy_crashes"
    assert cell(work(crew, "toy_right"), "toy_right")["status"] == "ok"


def test_a_hanging_worker_is_ended(crew: Crew) -> None:
    events = work(crew, "toy_hangs")
    assert [event["event"] for event in events[-2:]] == ["silent", "exit"]
    assert events[-1]["code"] == -9
    assert cell(work(crew, "toy_right"), "toy_right")["status"] == "ok"


def test_refusals_and_unknown_names_are_cells(crew: Crew) -> None:
    job = Job("mb1ic8ih40oc8oh38kh3", "dense", ("toy_right", "torch_nchw", "no_such_thing"), 0.5)
    events = list(crew.work(job))
    assert (cell(events, "toy_right")["status"], cell(events, "toy_right")["reason"]) == ("skipped", "toys are 1x1")
    assert "unknown algorithm" in cell(events, "no_such_thing")["reason"]
    assert events[-1]["code"] == 0


def test_an_affinity_is_kept(crew: Crew) -> None:
    import os

    one = (max(os.sched_getaffinity(0)),)
    assert work(crew, "toy_right", affinity=one)[-1]["code"] == 0
    missing = (4095,)
    events = work(crew, "toy_right", affinity=missing)
    assert [event["event"] for event in events[-2:]] == ["error", "exit"]


def test_two_threads_reach_every_pool(toys: str) -> None:
    with Crew(Setup(("toy_right",), (SPEC,), threads=2, files=(toys,)), patience=30) as crew:
        assert list(crew.start())[-1]["event"] == "ready"
        facts = work(crew, "toy_right", threads=2)[0]["facts"]
    assert {facts[f"threads_{pool}"] for pool in ("numba", "blas", "fft")} == {2}


def test_a_warm_up_that_ends_the_process_is_reported(toys: str) -> None:
    with Crew(Setup(("toy_right", "toy_dies_early"), (SPEC,), files=(toys,)), patience=30) as crew:
        events = list(crew.start())
    assert events[-1]["event"] == "gone"
    assert events[-1]["code"] == 7
    assert [event["algorithm"] for event in events if event["event"] == "begin"][-1] == "toy_dies_early"


def test_a_crew_that_cannot_start_says_why(tmp_path: Path) -> None:
    with Crew(Setup((), (), files=(str(tmp_path / "absent.py"),)), patience=30) as crew:
        (event,) = crew.start()
    assert event["event"] == "gone"
    assert "absent.py" in event["words"]
