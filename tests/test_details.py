"""Phases on a fake clock, and what calls allocate."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fake_clock import FakeClock

from convbench.bench import allocation, details
from convbench.bench.allocation import RESOLUTION, allocated
from convbench.bench.contender import Contender, find
from convbench.bench.rounds import Racer
from convbench.data import arrays
from convbench.machine import SHIPPED
from convbench.spec import ConvSpec

Event = dict[str, Any]
SPEC = ConvSpec.parse("mb1ic8ih12oc8oh12kh3ph1")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


class FakeLayer:
    """An ordinary call takes 3 s, one with marks 4 s, of which its phases know 3.9, but the first takes longer."""

    def __init__(self, clock: FakeClock, seconds: float = 1.0) -> None:
        self._clock = clock
        self._unit = seconds
        self.calls = 0
        self.kernel = SimpleNamespace(spec=SPEC)

    def __call__(self, x: np.ndarray, out: np.ndarray) -> None:
        self._clock.now += 3 * self._unit

    def ticks(self) -> list[float]:
        return []

    def marked(self, ticks: list[float], x: np.ndarray, out: np.ndarray, calls: int) -> None:
        scale = {0: 50, 1: 1.5, 2: 1, 3: 0.5}.get(self.calls, 1) * self._unit
        self.calls += 1
        self._clock.now += 4 * scale * calls
        ticks[:] = [0.9 * scale * calls, 3 * scale * calls]

    def seconds(self, ticks: list[float]) -> dict[str, float]:
        return dict(zip(("transform", "multiply"), ticks, strict=True))


class FakeContender:
    """Has nothing but phases."""

    peer = True
    spec = SPEC
    x = np.zeros(1)

    def __init__(self, clock: FakeClock, name: str, prepare_s: float = 0.0, has_phases: bool = True) -> None:
        self.name = name
        self.layer = FakeLayer(clock)
        self.facts = {"prepare_s": prepare_s}
        self._has_phases = has_phases

    def alone(self) -> FakeLayer | None:
        return self.layer if self._has_phases else None

    def call(self) -> None:
        pass


def told(clock: FakeClock, seconds: float, *contenders: tuple[FakeContender, float]) -> dict[str, Any]:
    events: list[Event] = []
    entered: Any = [(Racer(contender.name, lambda: None, each, 1), contender) for contender, each in contenders]
    details.tell(entered, seconds, clock, events.append)
    return {event["algorithm"]: event["facts"] for event in events if event["event"] == "facts"}


def test_phases_are_those_of_the_median_repetition_with_their_sum_and_slow_down(clock: FakeClock) -> None:
    facts = told(clock, 1e9, (FakeContender(clock, "a"), 1.0))["a"]
    assert json.loads(facts["phases"]) == {"transform": 0.9, "multiply": 3}
    assert facts["phases_sum"] == pytest.approx(3.9 / 4)
    assert facts["phases_slowdown"] == pytest.approx(4 / 3)


def test_quick_calls_are_repeated_more_often(clock: FakeClock) -> None:
    for seconds, calls in ((1.0, details.REPEATS), (1e-5, details.MANY)):
        contender = FakeContender(clock, "a")
        contender.layer = FakeLayer(clock, seconds)
        told(clock, 1e9, (contender, 1.0))
        assert contender.layer.calls == 1 + calls


def test_quick_calls_share_what_it_takes_to_start_the_counter(clock: FakeClock) -> None:
    """Phases are those of one call all the same; a microsecond beside ten would be a tenth of them."""
    contender = FakeContender(clock, "a")
    layer = contender.layer = FakeLayer(clock, 1e-5)
    several: list[int] = []
    marked = layer.marked
    layer.marked = lambda ticks, x, out, calls: (several.append(calls), marked(ticks, x, out, calls))  # type: ignore
    facts = told(clock, 1e9, (contender, 1.0))["a"]
    assert several == [1] + [4] * details.MANY  # of 30 us each
    assert json.loads(facts["phases"]) == pytest.approx({"transform": 9e-6, "multiply": 3e-5})
    assert facts["phases_sum"] == pytest.approx(3.9 / 4)
    assert facts["phases_slowdown"] == pytest.approx(4 / 3)


def test_an_algorithm_without_phases_has_only_its_memory(clock: FakeClock) -> None:
    facts = told(clock, 1e9, (FakeContender(clock, "a", has_phases=False), 1.0))["a"]
    assert "traced_bytes" in facts
    assert "phases" not in facts


def test_the_fastest_come_first_and_what_does_not_fit_is_left_out(clock: FakeClock) -> None:
    slow, fast = FakeContender(clock, "slow"), FakeContender(clock, "fast")
    assert list(told(clock, 10.5, (slow, 2.0), (fast, 1.0))) == ["fast"]
    assert list(told(clock, 1e9, (FakeContender(clock, "slow"), 2.0), (FakeContender(clock, "fast"), 1.0))) == [
        "fast",
        "slow",
    ]
    assert told(clock, 10.5, (FakeContender(clock, "dear", prepare_s=1.0), 1.0)) == {}


def real(name: str, spec: ConvSpec, threads: int = 1) -> Contender:
    ticks = iter(range(10**6))
    contender = Contender(find(name), spec, threads, None, SHIPPED, lambda: float(next(ticks)))
    x, weight, bias = arrays(spec)
    contender.prepare(x.copy(), weight, bias)
    return contender


def test_ours_allocate_next_to_nothing_inside_a_call_and_rivals_do() -> None:
    spec = ConvSpec.parse("mb1ic1ih512oc1oh512kh15ph7")
    ours = details.memory(real("direct", spec))
    assert ours["traced_bytes"] < 1 << 14  # Python's own objects
    rival = details.memory(real("scipy_convolve", spec))
    padded = (512 + 14) ** 2 * 4  # one image at least, in whatever form
    assert int(rival["traced_bytes"]) > padded


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="resident peaks are told by Linux")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    "text",
    ["mb1ic1ih1000oc1oh1000kh31ph15", "mb1ic3ih224oc64oh112kh7sh2ph3", "mb1ic1iw480000oc1ow480000kw65pw32",
     "--dt=f64 mb2ic4id40ih50iw45oc3od40oh50ow45kd5kh5kw5pd2ph2pw2"],
)  # fmt: skip
def test_what_scipys_fft_takes_is_declared(text: str, threads: int) -> None:
    contender = real("fft", ConvSpec.parse(text), threads)
    facts = details.memory(contender)
    declared = int(contender.facts["library_bytes"])
    found = max(int(facts["traced_bytes"]), int(facts.get("resident_bytes", 0)))
    assert declared / 4 < found < declared + RESOLUTION


def test_numpy_memory_is_seen_to_the_byte_and_an_output_is_not_counted() -> None:
    nbytes = 32 << 20
    facts = allocated(lambda: np.ones(nbytes, np.uint8).fill(2))
    assert nbytes <= facts["traced_bytes"] < nbytes + (1 << 16)
    facts = allocated(lambda: np.ones(nbytes, np.uint8), nbytes)
    assert int(facts["traced_bytes"]) < 1 << 16


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="resident peaks are told by Linux")
def test_memory_that_was_asked_to_be_huge_counts_by_its_small_pages() -> None:
    import mmap

    with mmap.mmap(-1, 64 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as huge:
        huge.madvise(mmap.MADV_HUGEPAGE)

        def touch() -> None:
            for page in range(0, len(huge), 4 << 20):
                huge[page] = 1

        facts = allocated(touch)
    assert int(facts.get("resident_bytes", 0)) < RESOLUTION  # of sixteen pages; huge ones are 32 MB


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="resident peaks are told by Linux")
def test_memory_that_python_knows_nothing_of_shows_as_resident() -> None:
    import ctypes

    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    nbytes = 32 << 20

    def call() -> None:
        address = ctypes.c_void_p(libc.malloc(nbytes))
        ctypes.memset(address, 1, nbytes)
        libc.free(address)

    facts = allocated(call)
    if "resident_bytes" not in facts:
        pytest.skip("this system does not let a process forget its peak")
    assert abs(int(facts["resident_bytes"]) - nbytes) < 2 * RESOLUTION
    assert int(facts["traced_bytes"]) < 1 << 16


def test_a_system_that_tells_nothing_of_resident_memory_leaves_it_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocation, "PROCESS", Path("/nowhere"))
    assert set(allocated(lambda: None)) == {"traced_bytes"}


def test_the_layer_alone_runs_on_one_thread() -> None:
    spec = ConvSpec.parse("mb1ic64ih56oc64oh56kh3ph1")
    several = real("im2col", spec, threads=2)
    assert several.facts["kernel_threads"] == 2
    alone = several.alone()
    assert alone is not None
    assert alone.kernel.threads == 1
    assert real("naive", spec).alone() is None


def test_a_plan_that_is_only_the_problem_runs_on_one_thread() -> None:
    assert real("naive", ConvSpec.parse("mb1ic64ih56oc64oh56kh3ph1"), threads=2).facts["kernel_threads"] == 1
