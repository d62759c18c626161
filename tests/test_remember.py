"""What a run decides for later calls: ranks with ties broken, and nothing from half a comparison."""

from __future__ import annotations

from pathlib import Path

import pytest

from convbench import choices
from convbench.algorithm import list_algorithms
from convbench.bench.remember import measured
from convbench.bench.samples import Cell, Membership, Result, SampleFile, Series
from convbench.select import fastest
from convbench.spec import ConvSpec

SPEC = ConvSpec.parse("mb1ic8ih12oc8oh12kh3ph1")
ROUNDS = 9
RUN = {"naive": 1e-3, "im2col": 2e-3, "kn2row": 2.002e-3, "direct": 5e-3}
SCRATCH = {"naive": 0, "im2col": 1 << 20, "kn2row": 1 << 10, "direct": 0}


def cell(name: str, seconds: float, prepare: float = 1e-4, peer: bool = False) -> Cell:
    values = [seconds * (1 + i / 1000) for i in range(ROUNDS)]
    facts = {"workspace_bytes": SCRATCH.get(name, 0), "error": 1e-7, "prepare_s": prepare, "peer": int(peer)}
    return Cell(name, "ok", facts=facts, series={0: Series(values, 1, [1e-3] * ROUNDS)})


def problem(cells: list[Cell], weights: str = "dense", everybody: bool = True) -> Result:
    raced = {cell.algorithm for cell in cells}
    silent = [Cell(name, "skipped", "no") for name in list_algorithms() if everybody and name not in raced]
    probes = {name: {0: Series([1e-3] * ROUNDS)} for name in ("fma", "stream")}
    facts = {"threads": 1, "flop": SPEC.flop}
    return Result(str(SPEC), weights, [Membership("smoke")], [*cells, *silent], probes, {}, facts)


def recorded(directory: Path, result: Result) -> dict[str, choices.Measured]:
    SampleFile(directory / "samples.json").add(result)
    return measured(directory).get(choices.key(SPEC, 1), {})


def test_ranks_follow_the_times(tmp_path: Path) -> None:
    found = recorded(tmp_path, problem([cell(name, seconds) for name, seconds in RUN.items()]))
    assert [name for name, _ in sorted(found.items(), key=lambda item: item[1].rank)][::3] == ["naive", "direct"]
    assert found["direct"].steady == pytest.approx(5e-3, rel=0.01)
    assert found["direct"].prepare == 1e-4


def test_a_tie_for_first_goes_to_the_one_with_less_scratch(tmp_path: Path) -> None:
    found = recorded(tmp_path, problem([cell(name, RUN[name]) for name in ("im2col", "kn2row", "direct")]))
    assert {name: times.rank for name, times in found.items()} == {"kn2row": 0, "im2col": 1, "direct": 2}


def test_rivals_are_not_remembered(tmp_path: Path) -> None:
    found = recorded(tmp_path, problem([cell("naive", 1e-3), cell("scipy_convolve", 1e-6, peer=True)]))
    assert list(found) == ["naive"]


def test_cold_caches_decide_nothing(tmp_path: Path) -> None:
    cold = problem([cell("naive", 1e-3)])
    cold.facts["cache"] = "cold-weights"
    assert recorded(tmp_path, cold) == {}


def test_a_comparison_of_some_decides_nothing(tmp_path: Path) -> None:
    assert recorded(tmp_path, problem([cell("naive", 1e-3)], everybody=False)) == {}


def test_rank_one_weights_decide_nothing_for_a_call_that_may_have_any(tmp_path: Path) -> None:
    assert recorded(tmp_path, problem([cell("separable", 1e-6)], weights="rank1")) == {}


@pytest.mark.usefixtures("user_cache")
def test_fastest_uses_what_was_remembered(tmp_path: Path) -> None:
    cells = [cell("naive", 1e-3, prepare=1.0), cell("direct", 2e-3, prepare=0.0)]
    SampleFile(tmp_path / "samples.json").add(problem(cells))
    choices.record(measured(tmp_path))
    assert fastest(SPEC, threads=1).algorithm == "naive"
    assert "measured 1" in fastest(SPEC, threads=1).why
    assert fastest(SPEC, threads=1, prepared=False).algorithm == "direct"
