"""Every status of a cell, from the worker's events to the frame that reports read: each with its reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convbench.bench.records import RANKED, cells
from convbench.bench.samples import STATUSES, Membership, SampleFile
from convbench.bench.tally import Tally
from convbench.bench.worker import cell
from convbench.data import arrays
from convbench.spec import ConvSpec
from convbench.verify import Truth, judge, truth

Event = dict[str, Any]
SPEC = "mb1ic2ih4oc2oh4kh1"


def told(out: Path, *events: Event, end: tuple[int, float, str] | None = None) -> tuple[str, str, int]:
    """(status, reason, samples that count) of "one", beside "other", which is always all right.

    events: those of "one". end: (code, seconds of silence, error) of a process that ended on "one".
    """
    tally = Tally(("one", "other"), {}, {})
    for attempt in range(2):
        tally.begin()
        hello: list[Event] = [
            {"event": "start", "facts": {"threads": 1}, "probes": {"fma": {"probe_flop": 1.0}, "stream": {}}},
            *({"event": "probe", "probe": probe, "round": -1, "seconds": 1.0} for probe in ("fma", "stream")),
        ]
        mine = list(events) if "one" in tally.waiting else []
        rest: list[Event] = [] if end and not attempt else [cell("other", "ok"), *samples("other")]  # type: ignore[list-item]
        for event in (*hello, *mine, *rest):
            tally.take(event)
        if not end:
            break
        if not attempt:
            assert tally.blame(*end)
    SampleFile(out / "samples.json").add(tally.result(SPEC, "dense", [Membership("s")], {"cache": "hot"}))
    frame = cells(out).set_index("algorithm")
    assert frame.loc["other", "status"] == "ok"
    assert frame.loc["other", "own_winner"]
    row = frame.loc["one"]
    assert np.isnan(row["time"]) == (row["status"] not in RANKED)
    return row["status"], row["reason"], int(row["rounds"])


def samples(name: str, count: int = 3) -> list[Event]:
    seconds = 1.0 if name == "other" else 2.0
    return [{"event": "sample", "algorithm": name, "round": i, "seconds": seconds, "beside": 1.0} for i in range(count)]


BEGIN: Event = {"event": "begin", "algorithm": "one", "stage": "round 1"}
OK: Any = cell("one", "ok")
CASES: dict[str, tuple[list[Any], tuple[int, float, str] | None, str, int]] = {
    "ok": ([OK, *samples("one")], None, "", 3),
    "weak test": ([cell("one", "weak test"), *samples("one")], None, "", 3),
    "failed": ([cell("one", "failed", "error 1 exceeds the bound 2e-6")], None, "error 1 exceeds the bound 2e-6", 0),
    "skipped": ([cell("one", "skipped", "needs a 3×3 filter")], None, "needs a 3×3 filter", 0),
    "crashed": ([OK, *samples("one", 2), BEGIN], (-11, 0.0, ""), "signal 11 (SIGSEGV) in round 1", 0),
    "timed out": ([OK, *samples("one", 2), BEGIN], (-9, 60.0, ""), "no sign of life for 60 s in round 1", 0),
    "hopeless": ([cell("one", "hopeless", "predicted 3 s, 40× the best")], None, "predicted 3 s, 40× the best", 0),
    "out of budget": ([OK], None, "the budget was over before its turn", 0),
}


@pytest.mark.parametrize("status", STATUSES)
def test_every_status_reaches_the_frame_with_its_reason(status: str, tmp_path: Path) -> None:
    events, end, reason, rounds = CASES[status]
    assert told(tmp_path, *events, end=end) == (status, reason, rounds)


def test_memory_that_runs_out_is_a_crash_that_says_so(tmp_path: Path) -> None:
    killed = told(tmp_path, OK, BEGIN, end=(-9, 0.0, ""))
    assert killed == ("crashed", "signal 9 (SIGKILL), perhaps out of memory in round 1", 0)


def test_details_that_crash_cost_the_cell(tmp_path: Path) -> None:
    begin = BEGIN | {"stage": "details"}
    assert told(tmp_path, OK, *samples("one"), begin, end=(0, 0.0, "ValueError: no"))[:2] == (
        "crashed",
        "ValueError: no in details",
    )


def test_data_that_could_not_have_caught_an_error_make_a_weak_test() -> None:
    """Zeros times anything are nothing but the bias, whatever the algorithm did with the rest."""
    spec = ConvSpec.parse(SPEC)
    from convbench.algorithm import get

    strong = truth(spec)
    x, weight, bias = arrays(spec)
    expected = np.broadcast_to(bias.reshape(-1, 1, 1), spec.output_shape).astype(np.float64)
    nothing = Truth((np.zeros_like(x), weight, bias), expected, np.abs(expected), None)
    for facts, weak in ((strong, False), (nothing, True)):
        verdict = judge(get("direct"), spec, facts.expected.astype(np.float32), facts, 1e-5)
        assert verdict.ok
        assert verdict.weak == weak
