"""The choice: what was measured here, else the cost model; constraints are honoured, and nothing runs to decide."""

from __future__ import annotations

import json
import threading
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import convbench as cb
from convbench import choices
from convbench.algorithm import Algorithm, algorithms, direct_error, unregister
from convbench.choices import Measured
from convbench.peers import peers
from convbench.select import ADMITTED

SPEC = cb.ConvSpec((1, 32, 28, 28), (32, 32, 3, 3), padding=1)

pytestmark = pytest.mark.usefixtures("user_cache")


def measure(spec: cb.ConvSpec = SPEC, threads: int = 1, **times: tuple[float, float, int]) -> Path:
    """Record (steady, prepare, rank) of algorithms."""
    return choices.record({choices.key(spec, threads): {name: Measured(*time) for name, time in times.items()}})


@pytest.fixture
def dear() -> Iterator[Algorithm]:
    """An algorithm predicted to be free that fails as soon as anything of it runs."""

    def run(*arguments: object) -> None:
        raise AssertionError("a choice must not run anything")

    made = Algorithm("dear", run, prepare=run, cost=lambda plan, machine: 0.0, prepare_cost=lambda plan, machine: 0.0)
    cb.register(made)
    yield made
    unregister("dear")


def test_the_least_predicted_time_wins_when_nothing_was_measured() -> None:
    rows = cb.explain(SPEC, threads=1).rows
    times = [row.predicted for row in rows if not row.reason]
    assert times == sorted(times)
    chosen = cb.fastest(SPEC, threads=1)
    assert chosen.algorithm == rows[0].algorithm
    assert chosen.why.startswith(f"{chosen.algorithm}: predicted ")
    assert f"next {rows[1].algorithm}" in chosen.why


def test_a_choice_runs_nothing(dear: Algorithm) -> None:
    assert cb.fastest(SPEC).algorithm == "dear"
    assert cb.fastest(SPEC, prepared=False).algorithm == "dear"
    assert str(cb.explain(SPEC))


def test_what_was_measured_wins_over_predictions(dear: Algorithm) -> None:
    measure(naive=(2.0, 0.1, 2), im2col=(1.0, 0.1, 1))
    chosen = cb.fastest(SPEC, threads=1)
    assert chosen.algorithm == "im2col"
    assert chosen.why == "im2col: measured 1.00 s on this machine; next naive, measured 2.00 s"


def test_rank_breaks_ties_of_prepared_layers() -> None:
    measure(naive=(1.0, 0.5, 1), im2col=(0.99, 0.1, 2))
    assert cb.fastest(SPEC, threads=1).algorithm == "naive"


@pytest.mark.parametrize("side", [64, 200])
def test_a_call_that_prepares_its_filter_makes_no_tables_of_transforms_for_one_channel(side: int) -> None:
    """They take longer than the whole product by planes: 0.5 ms were seen."""
    spec = cb.ConvSpec((1, 1, side, side), (1, 1, 15, 15), padding=7)
    assert cb.fastest(spec, threads=1).algorithm == "fft_tiled"
    assert not cb.fastest(spec, threads=1, prepared=False).algorithm.startswith("fft")


def test_unprepared_calls_count_the_preparation() -> None:
    measure(naive=(2.0, 0.0, 2), im2col=(1.0, 5.0, 1))
    assert cb.fastest(SPEC, threads=1, prepared=True).algorithm == "im2col"
    assert cb.fastest(SPEC, threads=1, prepared=False).algorithm == "naive"


@pytest.mark.parametrize(
    ("spec", "threads"),
    [(SPEC, 2), (SPEC.replace(dtype="float64"), 1), (SPEC.replace(padding=0), 1)],
    ids=["threads", "dtype", "problem"],
)
def test_measurements_of_something_else_do_not_count(spec: cb.ConvSpec, threads: int) -> None:
    before = cb.fastest(spec, threads=threads).algorithm
    measure(naive=(1e-9, 0.0, 1))
    assert cb.fastest(SPEC, threads=1).algorithm == "naive"
    assert cb.fastest(spec, threads=threads).algorithm == before != "naive"


def test_measurements_are_merged_problem_by_problem() -> None:
    other = SPEC.replace(padding=0)
    measure(naive=(1.0, 0.0, 1))
    measure(other, im2col=(1.0, 0.0, 1))
    measure(kn2row=(1.0, 0.0, 1))
    assert cb.fastest(SPEC, threads=1).algorithm == "kn2row"
    assert cb.fastest(other, threads=1).algorithm == "im2col"


def test_writers_at_the_same_time_lose_nothing() -> None:
    specs = [SPEC.replace(padding=p) for p in range(12)]
    writers = [threading.Thread(target=measure, args=(spec,), kwargs={"naive": (1.0, 0.0, 1)}) for spec in specs]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert set(choices.load()) == {choices.key(spec, 1) for spec in specs}


@pytest.mark.parametrize("field", ["version", "machine", "kernels"])
def test_measurements_of_another_version_machine_or_kernels_are_ignored_with_one_warning(field: str) -> None:
    file = measure(naive=(1e-9, 0.0, 1))
    record = json.loads(file.read_text())
    file.write_text(json.dumps(record | {field: "another"}))
    with pytest.warns(UserWarning, match=f"ignored .stale: {field} 'another' is not") as caught:
        assert cb.fastest(SPEC, threads=1).algorithm != "naive"
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cb.fastest(SPEC, threads=2)
        measure(im2col=(1e-9, 0.0, 1))
        assert cb.fastest(SPEC, threads=1).algorithm == "im2col"


def test_measurements_of_an_algorithm_that_is_gone_are_skipped() -> None:
    measure(gone=(1e-9, 0.0, 1), naive=(1.0, 0.0, 2))
    assert cb.fastest(SPEC, threads=1).algorithm == "naive"


def test_errors_above_eight_times_the_direct_sums_need_asking(dear: Algorithm) -> None:
    cb.register(wild := replace(dear, name="wild", error=lambda plan: 8.1 * direct_error(plan)))
    try:
        assert cb.fastest(SPEC).algorithm == "dear"
        row = next(row for row in cb.explain(SPEC).rows if row.algorithm == "wild")
        assert "above 8 × the direct sum's" in row.reason
        cb.register(only := replace(dear, name="a_wilder", error=lambda plan: 100 * direct_error(plan)))
        assert cb.fastest(SPEC, max_error=101 * direct_error(SPEC)).algorithm == "a_wilder"
        unregister(only.name)
    finally:
        unregister(wild.name)


@pytest.mark.parametrize(
    "spec", [SPEC, cb.ConvSpec((1, 1, 200, 200), (1, 1, 31, 31)), cb.ConvSpec((1, 8, 500), (8, 8, 64))]
)
def test_constraints_are_honoured(spec: cb.ConvSpec) -> None:
    free = cb.fastest(spec, threads=1)
    assert free.error_bound <= ADMITTED * direct_error(spec)
    assert algorithms()[cb.fastest(spec, nonfinite="local").algorithm].local
    tight = direct_error(spec) * 1.01
    assert cb.fastest(spec, max_error=tight).error_bound <= tight
    least = min(row.kernel.workspace_bytes for row in cb.explain(spec, threads=1).rows if row.kernel)
    for limit in (least, free.workspace_bytes // 2, free.workspace_bytes):
        if limit >= least:
            assert cb.fastest(spec, threads=1, workspace_limit=limit).workspace_bytes <= limit
    assert cb.fastest(spec, threads=3).threads in (1, 3)


def test_constraints_beat_measurements() -> None:
    measure(winograd_4x4_3x3=(1e-9, 0.0, 1))
    assert cb.fastest(SPEC, threads=1).algorithm == "winograd_4x4_3x3"
    assert algorithms()[cb.fastest(SPEC, threads=1, nonfinite="local").algorithm].local


def test_rivals_are_never_chosen() -> None:
    assert not set(peers()) & set(cb.list_algorithms())
    measure(**dict.fromkeys(peers(), (1e-09, 0.0, 1)))
    assert cb.fastest(SPEC, threads=1).algorithm in cb.list_algorithms()


def test_explain_has_a_row_for_every_algorithm_with_a_verdict() -> None:
    explained = cb.explain(SPEC, threads=1)
    assert sorted(row.algorithm for row in explained.rows) == cb.list_algorithms()
    lines = str(explained).splitlines()
    assert lines[0].startswith(f"{SPEC}: 1 thread, prepared filter")
    assert len(lines) == 2 + len(explained.rows)
    assert lines[2].endswith("chosen")
    for row, line in zip(explained.rows, lines[2:], strict=True):
        assert row.algorithm in line
        assert row.reason in line
        if reason := algorithms()[row.algorithm].supports(SPEC):
            assert row.reason == reason
    assert "nan" not in str(explained)


def test_the_same_question_is_answered_from_memory() -> None:
    assert cb.fastest(SPEC, threads=1) is cb.fastest(SPEC, threads=1)
    measure(naive=(1e-9, 0.0, 1))
    assert cb.fastest(SPEC, threads=1).algorithm == "naive"


def test_a_limit_that_changes_a_plan_leaves_every_time_behind() -> None:
    spec = cb.ConvSpec.parse("mb1ic64ih56oc64oh56kh3ph1")
    key = choices.key(spec, 1)
    choices.record({key: {"direct": Measured(1e-3, 0.0, 0), "naive": Measured(35e-3, 0.0, 1)}})
    assert cb.fastest(spec, threads=1).algorithm == "direct"
    limit = cb.kernel(spec, "direct", threads=1).workspace_bytes // 2
    assert cb.fastest(spec, threads=1, workspace_limit=limit).algorithm != "naive"


def test_a_problem_too_small_to_share_stays_on_one_thread() -> None:
    small, large = (cb.ConvSpec.parse(text) for text in ("mb1ic4ih6oc4kh3", "mb1ic256ih56oc256oh56kh3ph1"))
    assert cb.fastest(small, threads=2).threads == 1
    assert cb.fastest(large, threads=2).threads == 2
    assert cb.kernel(small, "direct", threads=2).threads == 2  # asked for by name and number: exactly so
    assert cb.kernel(small, "direct").threads == 1
