"""Contenders on one thread and more, on a fake clock: what is kept, what it means, when it is alarming."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from fake_clock import FakeClock

from convbench.bench import scaling
from convbench.bench.gains import gains
from convbench.bench.orders import Job
from convbench.bench.rounds import LEAST_ROUNDS, Racer

Event = dict[str, Any]


@dataclass
class FakeContender:
    """Takes ``seconds`` on one thread, and on n of them the n-th part if it is ``parallel``."""

    clock: FakeClock
    cpu: FakeClock
    name: str
    seconds: float
    parallel: bool = True
    threads: int = 1
    facts: dict[str, Any] = field(default_factory=dict)

    def on(self, threads: int) -> FakeContender:
        facts = {"kernel_threads": threads}
        return FakeContender(self.clock, self.cpu, self.name, self.seconds, self.parallel, threads, facts)

    def call(self) -> None:
        self.clock.now += self.seconds / (self.threads if self.parallel else 1)
        self.cpu.now += self.seconds

    def chill(self, cache: str) -> None:
        return None


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def scaled(clock: FakeClock, seconds: float, **kinds: tuple[float, bool]) -> dict[str, str]:
    """name = (seconds, whether it is parallel) -> the ``scaling`` of each that was told."""
    events: list[Event] = []
    cpu = FakeClock()
    entered: Any = [
        (Racer(name, lambda: None, each / 2, 1), FakeContender(clock, cpu, name, each, parallel))
        for name, (each, parallel) in kinds.items()
    ]
    probes = {1: clock.spend(1e-3), 2: clock.spend(1e-3)}
    job = Job("mb1ic1ih4oc1kh1", "dense", (), 10.0, threads=2, scaling=(1, 2))
    scaling.tell(entered, job, probes, seconds, clock, cpu, events.append)
    return {event["algorithm"]: event["facts"]["scaling"] for event in events if event["event"] == "facts"}


def test_a_parallel_kernel_gains_what_the_machine_has_and_a_serial_one_is_named(clock: FakeClock) -> None:
    found = scaled(clock, 100, serial=(0.02, False), parallel=(0.01, True))
    assert list(found) == ["parallel", "serial"]
    one, two = gains(found["parallel"])
    assert (one.threads, two.threads) == (1, 2)
    assert one.gain.median == 1
    assert two.gain.median == pytest.approx(2)
    assert two.efficiency == pytest.approx(1)
    assert two.machine.median == pytest.approx(2)
    assert two.busy == pytest.approx(2)
    assert not two.alarm
    serial = gains(found["serial"])[-1]
    assert serial.gain.median == pytest.approx(1)
    assert serial.busy == pytest.approx(1)
    assert "1.00× as fast as one, where the machine gives 2.00×; 1.0 processors worked" in serial.alarm


def test_what_does_not_fit_is_left_out_and_rounds_are_fewer_when_time_is_short(clock: FakeClock) -> None:
    found = scaled(clock, 1.0, quick=(0.01, True), slow=(0.5, True))
    assert list(found) == ["quick"]
    assert len(json.loads(found["quick"])["seconds"][0]) == scaling.ROUNDS
    short = scaled(clock, 0.185, quick=(0.01, True))
    assert LEAST_ROUNDS <= len(json.loads(short["quick"])["seconds"][0]) < scaling.ROUNDS


def record(seconds: tuple[float, float], probe: tuple[float, float], kernel_threads: int = 2) -> str:
    columns = {"seconds": seconds, "probe": probe}
    rows: dict[str, Any] = {name: [[value] * LEAST_ROUNDS for value in pair] for name, pair in columns.items()}
    return json.dumps(rows | {"threads": [1, 2], "kernel_threads": [1, kernel_threads], "busy": [1, 1]})


@pytest.mark.parametrize(
    ("seconds", "probe", "kernel_threads", "judged", "alarming"),
    [
        ((1.0, 0.55), (1.0, 1.0), 2, True, False),
        ((1.0, 0.95), (1.0, 1.0), 2, True, True),
        ((1.0, 1.0), (1.0, 1.0), 1, True, False),  # a small problem is left to one thread
        ((1.0, 1.0), (1.0, 1.9), 2, False, False),  # a neighbour has the other core
    ],
)
def test_alarms(
    seconds: tuple[float, float], probe: tuple[float, float], kernel_threads: int, judged: bool, alarming: bool
) -> None:
    two = gains(record(seconds, probe, kernel_threads))[-1]
    assert two.judged == judged
    assert bool(two.alarm) == alarming


@pytest.mark.parametrize(
    ("probe", "busy", "judged"),
    [
        ([1.0] * 6, 1.9, True),
        ([1.0] * 3 + [2.0] * 3, 1.9, False),  # a neighbour comes and goes
        ([1.0] * 6, 0.8, False),  # the process waits for its turn
    ],
)
def test_a_machine_that_gives_its_cores_at_times_only_is_not_judged(
    probe: list[float], busy: float, judged: bool
) -> None:
    given = json.loads(record((1.0, 0.95), (1.0, 1.0)))
    given |= {"probe": [[1.0] * 6, probe], "busy": [1.0, busy]}
    two = gains(json.dumps(given))[-1]
    assert two.judged == bool(two.alarm) == judged
    assert judged or two.note == "the machine had no second core to give"


def test_no_record_no_gains() -> None:
    assert gains("") == []


def test_the_pools_are_what_the_context_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch keeps one number for the process: it is put back."""
    from convbench.bench import threads

    seen: list[int] = [7]
    torch = SimpleNamespace(get_num_threads=lambda: seen[-1], set_num_threads=seen.append)
    monkeypatch.setitem(threads.sys.modules, "torch", torch)  # type: ignore[arg-type]
    with threads.limited_threads(1) as facts:
        assert facts["threads_torch"] == 1
    assert seen == [7, 1, 7]
