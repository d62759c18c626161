"""Comparing runs: what differs between machines is refused, what moved with the machine is not blamed on the code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from convbench.bench import samples
from convbench.bench.compare import COLUMNS, compare, differences, regressions, summarised
from convbench.bench.records import Key, Problem, problems
from convbench.bench.samples import Cell, Membership, SampleFile, Series
from convbench.bench.stats import CONFIDENCE, LEAST, Interval, median_interval, ratio_of_medians
from convbench.cli.app import app

PROBLEMS = [f"mb1ic8ih{size}oc8oh{size}kh3ph1" for size in range(7, 15)]
RESULTS = Path(__file__).parents[1] / "results"
HALVES: dict[str, Callable[[int], tuple[int, int]]] = {
    "first": lambda rounds: (0, rounds // 2),
    "second": lambda rounds: (rounds // 2, rounds),
}
FACTS = {"threads": 1, "cache": "hot", "machine": "m1", "numpy_version": "2.4.0", "numba_version": "0.68.1"}
Write = Callable[..., Path]


def times(seconds: float, machine: np.ndarray, rng: np.random.Generator) -> list[float]:
    return list(map(float, seconds * machine * rng.lognormal(0, 0.02, len(machine))))


def measured(
    spec: str, kernels: dict[str, float], machine: np.ndarray, seed: int, facts: dict[str, object]
) -> samples.Result:
    """A problem on a machine of this slowness in each round: kernels, a rival, and one that refuses."""
    rng = np.random.default_rng(seed)
    probe = list(map(float, 1e-3 * machine))
    cells = [
        Cell(
            name,
            "ok",
            facts={"peer": int(name.startswith("scipy"))},
            series={0: Series(times(t, machine, rng), 1, probe)},
        )
        for name, t in kernels.items()
    ]
    probes = {name: {0: Series(times(1e-3, machine, rng))} for name in ("fma", "stream")}
    skipped = Cell("pointwise", "skipped", "pointwise needs a filter of one tap")
    work = {"fma": {"probe_flop": 1e8}, "stream": {"probe_bytes": 2e7}}
    return samples.Result(spec, "dense", [Membership("toy")], [*cells, skipped], probes, work, facts)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a run: seconds by kernel, how slow the machine is (a factor, or one for each round), facts to change."""

    def written(
        name: str,
        slowness: float | list[float] = 1.0,
        rounds: int = 25,
        seed: int = 0,
        silent: str = "",
        **changes: object,
    ) -> Path:
        facts = FACTS | {key: value for key, value in changes.items() if key in FACTS or key.startswith("env_")}
        kernels = {"direct": 1e-3, "im2col": 2e-3, "scipy_fft": 3e-3}
        kernels |= {key: value for key, value in changes.items() if key not in facts}
        machine = np.resize(np.asarray(slowness, float), rounds)
        file = SampleFile(tmp_path / name / "samples.json")
        for i, spec in enumerate(PROBLEMS):
            found = measured(spec, kernels, machine, seed + i, facts)
            if silent:
                found.cells[0] = Cell("direct", silent, "signal 11 (SIGSEGV)" if silent == "crashed" else "")
            file.add(found)
        return tmp_path / name

    return written


def verdicts(frame: pd.DataFrame, algorithm: str) -> set[str]:
    return set(frame.loc[frame["algorithm"] == algorithm, "verdict"])


def test_a_slower_kernel_is_found_and_nothing_else(write: Write) -> None:
    frame = compare(write("a"), write("b", seed=50, direct=1.15e-3))
    assert tuple(frame.columns) == COLUMNS
    assert [verdicts(frame, name) for name in ("direct", "im2col", "scipy_fft", "pointwise")] == [
        {"slower"}, {"even"}, {"even"}, {"not timed"},
    ]  # fmt: skip
    direct = frame[frame["algorithm"] == "direct"]
    assert direct["ratio"].to_numpy() == pytest.approx(1.15, abs=0.03)
    assert (direct["ratio_low"] < 1.15).all()
    assert (direct["ratio_high"] > 1.15).all()
    assert not frame["paired"].any()
    assert set(compare(write("b2", seed=9, direct=1.15e-3), write("a2"))["verdict"]) == {"faster", "even", "not timed"}


@pytest.mark.parametrize("slowness", [2.0, [1, 1, 1, 2, 2, 2, 2]])
def test_a_slower_machine_is_no_slower_kernel(write: Write, slowness: float | list[float]) -> None:
    frame = compare(write("a"), write("b", slowness=slowness, seed=50))
    assert set(frame["verdict"]) == {"even", "not timed"}
    assert not regressions(frame, 0.05)


def test_a_change_on_a_machine_that_changed_more_is_unclear(write: Write) -> None:
    frame = compare(write("a"), write("b", slowness=1.5, seed=50, direct=1.3e-3))
    assert verdicts(frame, "direct") == {"unclear"}
    assert set(frame.loc[frame["verdict"] == "unclear", "reason"]) == {"the machine's own probe takes 1.50× as long"}
    assert regressions(frame, 0.05) == []


def test_halves_of_equal_runs_differ_in_hardly_a_cell(write: Write) -> None:
    spells = [1, 1, 1, 2, 2, 2, 1, 1, 2, 2, 2, 2]
    base = write("a", slowness=spells)
    frames = [
        compare(base, write(f"b{seed}", slowness=spells[seed:] + spells[:seed], seed=100 * seed))
        for seed in range(1, 6)
    ]
    timed = pd.concat(frames).dropna(subset="ratio")
    assert len(timed) == 5 * 3 * len(PROBLEMS)
    assert (timed["verdict"] != "even").mean() < 0.05


def test_halves_of_a_recorded_run_differ_in_hardly_a_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recorded on a machine with a neighbour, whose visits differ between the halves."""
    recorded = sorted(RESULTS.glob("reference-*/samples.json"))
    if not recorded:
        pytest.skip("no reference run is in this checkout")
    whole = list(problems(recorded[-1]))

    def half(run: str) -> list[Problem]:
        def kept(series: dict[str, dict[Key, float]]) -> dict[str, dict[Key, float]]:
            cut = {name: rounds for name, rounds in series.items() if len(rounds) >= 2 * LEAST}
            return {
                name: {key: rounds[key] for key in sorted(rounds)[slice(*HALVES[run](len(rounds)))]}
                for name, rounds in cut.items()
            }

        return [
            replace(problem, samples=kept(problem.samples), beside=kept(problem.beside), probes={"stream": {}})
            for problem in whole
        ]

    monkeypatch.setattr("convbench.bench.compare.problems", half)
    timed = compare("first", "second").dropna(subset="ratio")
    assert len(timed) > 100
    assert (timed["verdict"] != "even").mean() < 0.02


def test_algorithms_of_one_run_pair_by_round(write: Write) -> None:
    run = write("a", slowness=[1, 2, 1.5, 3], direct=1e-3, im2col=1.08e-3)
    frame = compare(run, run, {"direct": "im2col"})
    assert set(frame["algorithm"]) == {"direct:im2col"}
    assert frame["paired"].all()
    assert set(frame["verdict"]) == {"slower"}
    assert frame["ratio"].to_numpy() == pytest.approx(1.08, abs=0.03)
    assert set(compare(run, run)["verdict"]) == {"even", "not timed"}


def test_few_rounds_show_large_changes_only(write: Write) -> None:
    base = write("a", rounds=3)
    assert verdicts(compare(base, write("b", rounds=3, seed=9, direct=1.04e-3)), "direct") == {"even"}
    assert verdicts(compare(base, write("c", rounds=3, seed=9, direct=1.5e-3)), "direct") == {"slower"}


@pytest.mark.parametrize(
    ("status", "verdict"), [("crashed", "broken"), ("failed", "broken"), ("out of budget", "not timed")]
)
def test_what_was_timed_and_is_no_more(write: Write, status: str, verdict: str) -> None:
    frame = compare(write("a"), write("b", silent=status))
    assert verdicts(frame, "direct") == {verdict}
    assert bool(regressions(frame, 0.05)) == (verdict == "broken")
    assert frame.loc[frame["algorithm"] == "direct", "reason"].str.startswith(status).all()


def test_means_and_regressions(write: Write) -> None:
    frame = compare(write("a"), write("b", seed=50, direct=1.15e-3, scipy_fft=4e-3))
    means = summarised(frame).set_index("name")
    assert means.loc["direct", "ratio"] == pytest.approx(1.15, abs=0.01)
    assert means.loc["direct", "ratio_low"] < means.loc["direct", "ratio"] < means.loc["direct", "ratio_high"]
    assert means.loc["toy", "ratio"] == pytest.approx(1.15**0.5, abs=0.01)
    assert dict(means["verdict"]) == {
        "direct": "slower", "im2col": "even", "scipy_fft": "slower", "pointwise": "too few", "toy": "slower",
    }  # fmt: skip
    assert means.loc["direct", "slower"] == len(PROBLEMS)
    assert not regressions(frame, 0.2)
    said = regressions(frame, 0.1)
    assert len(said) == len(PROBLEMS) + 1
    assert not [line for line in said if "scipy" in line]


def test_five_problems_have_no_interval_of_their_mean(write: Write) -> None:
    frame = compare(write("a"), write("b", direct=1.15e-3))
    few = summarised(frame[frame["spec"].isin(PROBLEMS[:5])]).set_index("name")
    assert np.isnan(few.loc["direct", "ratio_low"])
    assert few.loc["direct", "verdict"] == "too few"


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"threads": 2}, "threads is 1 in the one, 2 in the other"),
        ({"machine": "m2"}, "machine is 'm1'"),
        ({"cache": "cold"}, "cache is 'hot'"),
        ({"numba_version": "0.70"}, "numba_version"),
        ({"env_NUMBA_CPU_NAME": "generic"}, "env_NUMBA_CPU_NAME"),
    ],
)
def test_runs_that_differ_in_more_than_our_code_are_refused(
    write: Write, changes: dict[str, object], word: str
) -> None:
    base, other = write("a"), write("b", **changes)
    assert word in " ".join(differences(base, other))
    refusal = run("compare", base, other)
    assert refusal.exit_code == 2
    assert word in refusal.stderr
    assert refusal.stderr.count("\n") == 1
    forced = run("compare", base, other, "--force")
    assert forced.exit_code == 0
    assert f"warning: b against a: {word}" in forced.stderr
    assert differences(base, base) == []


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})


def test_the_command_tells_what_changed(write: Write) -> None:
    base, slower = write("a"), write("b", seed=50, direct=1.15e-3)
    told = run("compare", base, slower / "samples.json")
    assert told.exit_code == 0
    assert "b/samples.json against a: 8 slower, 0 faster, 16 even, 0 broken" in told.stdout
    assert "8→8 3×3 @7×7" in told.stdout
    assert "scipy_fft (rival)" in told.stdout


def test_markdown_is_made_of_tables(write: Write, tmp_path: Path) -> None:
    told = run("compare", write("a"), write("b", seed=50, direct=1.15e-3), write("c"), "--markdown").stdout
    assert told.count("### ") == 2
    assert "### c against a: 0 slower" in told
    lines = [line for line in told.splitlines() if line.startswith("|")]
    assert lines[1].replace(" ", "").strip("|") == "|".join(["---"] * 9)
    assert str(tmp_path) not in told


@pytest.mark.parametrize(("limit", "code"), [("5%", 1), ("5", 1), ("30%", 0)])
def test_fail_above_is_an_exit_code(write: Write, limit: str, code: int) -> None:
    told = run("compare", write("a"), write("b", seed=50, direct=1.15e-3), "--fail-above", limit)
    assert told.exit_code == code
    assert ("above 5%: direct on mb1ic8ih7oc8oh7kh3ph1: 1.1" in told.stderr) == bool(code)


def test_only_the_algorithms_asked_for(write: Write) -> None:
    base, slower = write("a"), write("b", seed=50, direct=1.15e-3)
    assert run("compare", base, slower, "--fail-above", "5%", "--algorithms", "im2col").exit_code == 0
    told = run("compare", base, base, "--algorithms", "direct:im2col")
    assert "direct:im2col" in told.stdout


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["a"], "a base and at least one more run"),
        (["a", "missing"], "missing"),
        (["a", "a", "--fail-above", "much"], "--fail-above is 'much'"),
        (["a", "a", "--algorithms", "dirct"], "no cell in common"),
        (["a", "a", "--algorithms", "direct,dirct"], "does not hold dirct"),
    ],
)
def test_mistakes_are_one_line(write: Write, monkeypatch: pytest.MonkeyPatch, arguments: list[str], word: str) -> None:
    monkeypatch.chdir(write("a").parent)
    refusal = run("compare", *arguments)
    assert refusal.exit_code == 2
    assert refusal.stderr.count("\n") == 1
    assert word in refusal.stderr


def test_a_ratio_of_medians_is_as_sure_as_both_together() -> None:
    ratio = ratio_of_medians([2.0, 2.2, 1.8] * 4, [1.0, 1.1, 0.9] * 4)
    assert ratio.median == 2
    assert ratio.low < 2 < ratio.high
    assert ratio.confidence == CONFIDENCE
    assert ratio_of_medians([3.0] * 5, [1.0] * 9) == Interval(
        3, 3, 3, median_interval([3.0] * 5).confidence + 0.975 - 1
    )
