"""Real worker processes with contenders that misbehave in every way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from convbench.bench.crew import Crew
from convbench.bench.orders import Job, Setup
from convbench.bench.rounds import LEAST_ROUNDS
from convbench.bench.warmup import likeness
from convbench.spec import ConvSpec

Event = dict[str, Any]

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


def rounds_of(events: list[Event], name: str) -> int:
    return sum(event["event"] == "sample" and event["algorithm"] == name for event in events)


def test_a_job_yields_samples_probes_and_read_back_threads(crew: Crew) -> None:
    events = work(crew, "toy_right", "toy_chatty")
    assert (events[-1]["event"], events[-1]["code"]) == ("exit", 0)
    assert events[-1]["max_rss"] > 1 << 24
    facts = events[0]["facts"]
    assert {facts[f"threads_{pool}"] for pool in ("numba", "blas", "fft")} == {1}
    assert set(events[0]["probes"]) == {"fma", "stream"}
    for name in ("toy_right", "toy_chatty"):
        assert cell(events, name)["status"] == "ok"
        assert rounds_of(events, name) >= LEAST_ROUNDS
        assert {"prepare_s", "first_s", "error", "workspace_bytes", "predicted_s"} <= set(cell(events, name)["facts"])


def test_wrong_answers_and_outputs_left_alone_are_failures(crew: Crew) -> None:
    events = work(crew, "toy_right", "toy_wrong", "toy_stale", "toy_raises")
    assert "exceeds the bound" in cell(events, "toy_wrong")["reason"]
    assert "not finite" in cell(events, "toy_stale")["reason"]
    assert cell(events, "toy_raises")["reason"] == "RuntimeError: not this one"
    assert rounds_of(events, "toy_right") >= LEAST_ROUNDS


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
