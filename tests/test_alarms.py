"""Sentences about what a run's numbers should not be trusted for; silence about the rest."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest
from report_frame import contest

from convbench.bench.alarms import alarms
from convbench.bench.contamination import full_speed, slowed

QUIET = {"slowed": 0.0, "scaling": "", "traced_bytes": 1000.0, "resident_bytes": 4096.0, "workspace_bytes": 0,
         "library_bytes": 0}  # fmt: skip


def cells(**changes: Any) -> pd.DataFrame:
    """One cell of ours and one of a rival, both with the changes."""
    each = QUIET | changes
    return contest({"algorithm": "direct", **each}, {"algorithm": "scipy_convolve", "peer": True, **each})


def scaling(two: float, probe: float = 1.0) -> str:
    return json.dumps(
        {"threads": [1, 2], "kernel_threads": [1, 2], "seconds": [[1.0] * 6, [two] * 6], "busy": [1, 1]}
        | {"probe": [[1.0] * 6, [probe] * 6]}
    )


def test_all_is_well() -> None:
    assert alarms(cells(), {"threads": 2, "threads_blas": 2, "threads_fft": 2}) == []
    assert alarms(cells(scaling=scaling(0.55)), {}) == []
    assert alarms(cells(resident_bytes=32 << 20, library_bytes=32 << 20), {}) == []


@pytest.mark.parametrize(
    ("changes", "facts", "said"),
    [
        ({}, {"threads": 2, "threads_blas": 1}, ["2 threads asked for, blas has 1"]),
        ({"slowed": 0.6}, {}, ["the machine was slowed during most samples of 2 of 2 timed cells (100%)"]),
        ({"scaling": scaling(0.99)}, {}, ["direct on 1 problem", "1.01× as fast as one"]),
        ({"scaling": scaling(0.99, probe=2)}, {}, ["the machine had no second core to give while 1 of 1 cell"]),
        ({"traced_bytes": 32 << 20}, {}, ["direct on 1 problem", "a call allocates 32.0 MiB that nobody declared"]),
        ({"resident_bytes": 32 << 20}, {}, ["a call allocates 32.0 MiB"]),
    ],
)
def test_what_is_not_well(changes: dict[str, Any], facts: dict[str, Any], said: list[str]) -> None:
    (sentence,) = alarms(cells(**changes), facts)
    assert all(part in sentence for part in said), sentence


def test_on_a_disturbed_machine_there_is_one_sentence_and_no_alarm() -> None:
    serial, busy = scaling(0.99), scaling(0.99, probe=2)
    rows = [
        {"algorithm": name, **QUIET, "scaling": text} for name, text in zip("abcd", [serial] * 3 + [busy], strict=True)
    ]
    judged, told = alarms(contest(*rows), {})[:-1], alarms(contest(*rows[2:]), {})
    assert "no second core to give to 1 of 4 cells" in judged[0]
    assert "a on 1 problem" in judged[1]
    assert len(told) == 1
    assert "while 1 of 2 cells were timed on 2 threads: whether kernels scale cannot be said" in told[0]


def test_a_problem_of_two_suites_is_counted_once() -> None:
    frame = cells(traced_bytes=32 << 20)
    (sentence,) = alarms(pd.concat([frame, frame.assign(suite="other")]), {})
    assert "1 problem" in sentence


def test_samples_are_slowed_where_the_probe_beside_them_was() -> None:
    rates = [100.0, 99.0, 101.0, 98.0, 50.0, 70.0]
    full = full_speed(rates)
    assert 98 <= full <= 101
    assert slowed(rates, full) == pytest.approx(2 / 6)
    assert slowed([100.0], full) == 0
    assert pd.isna(slowed([], full))
    assert pd.isna(full_speed([]))
