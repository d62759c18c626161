"""The record of a run: what is written is what is read, by us and by pyperf, and it names nobody."""

from __future__ import annotations

import getpass
import json
import platform
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from convbench.bench import records
from convbench.bench.environment import environment
from convbench.bench.records import COLUMNS, cells, environment_of, write_csv
from convbench.bench.samples import Cell, Membership, Result, SampleFile, Series
from convbench.bench.scrub import scrub

SPEC = "mb1ic64ih8oc64oh8kh3ph1"
WORK = {"flop": 4.7e6, "executed_flop": 4.7e6, "min_bytes": 180_000, "prepare_s": 1e-4, "peer": 0}


def series(seconds: float, rounds: int = 5, loops: int = 3) -> Series:
    return Series([seconds * (1 + i / 1000) for i in range(rounds)], loops, [1e-3] * rounds)


def result(spec: str = SPEC, suites: tuple[str, ...] = ("resnet50",)) -> Result:
    tie = {"workspace_bytes": 4096, "error": 1e-7}
    return Result(
        spec=spec,
        weights="dense",
        members=[Membership(suite, f"{suite}:conv1", 2) for suite in suites],
        cells=[
            Cell("direct", "ok", facts=WORK | tie | {"prepare_s": 5e-3}, series={0: series(2e-3)}),
            Cell("im2col", "ok", facts=WORK | tie | {"workspace_bytes": 1 << 20}, series={0: series(2.01e-3)}),
            Cell("winograd_2x2_3x3", "ok", facts=WORK | tie, series={0: series(2.5e-3)}),
            Cell("scipy_fft", "ok", facts=WORK | tie | {"peer": 1}, series={0: series(1e-3)}),
            Cell("naive", "hopeless", "predicted 3 s, 1500× the best", {"predicted_s": 3.0, "peer": 0}),
            Cell("pointwise", "skipped", "pointwise needs a filter of one tap"),
            Cell("fft", "crashed", "signal 11 (SIGSEGV) in run"),
        ],
        probes={"fma": {0: Series([1e-3] * 5)}, "stream": {0: Series([2e-3] * 5)}},
        probe_facts={"fma": {"probe_flop": 1e8}, "stream": {"probe_bytes": 2e7}},
        facts={"threads": 1, "cache": "hot", "cpu_model_name": "Example CPU"},
    )


@pytest.fixture
def run(tmp_path: Path) -> Path:
    SampleFile(tmp_path / "samples.json").add(result())
    return tmp_path


def row(frame: pd.DataFrame, algorithm: str) -> pd.Series:
    return frame[frame["algorithm"] == algorithm].iloc[0]


def test_every_algorithm_has_a_row_with_every_column(run: Path) -> None:
    frame = cells(run)
    assert tuple(frame.columns) == COLUMNS
    assert sorted(frame["algorithm"]) == sorted(cell.algorithm for cell in result().cells)
    assert not [column for column in ("first_s", "compile_s", "time") if frame[column].dtype != float]
    assert set(frame["ndim"]) == {2}
    assert set(frame["threads"]) == {1}
    assert set(frame["cache"]) == {"hot"}
    assert set(frame["problem_name"]) == {"resnet50:conv1"}
    assert set(frame["repeats"]) == {2}


def test_times_ratios_ties_and_fractions(run: Path) -> None:
    frame = cells(run)
    fast, direct, naive = row(frame, "scipy_fft"), row(frame, "direct"), row(frame, "naive")
    assert fast["winner"]
    assert fast["tied"]
    assert fast["best_ratio"] == 1
    assert fast["rounds"] == 5
    assert fast["time_low"] <= fast["time"] <= fast["time_high"]
    assert direct["best_ratio"] == pytest.approx(2)
    assert not direct["tied"]
    assert not direct["winner"]
    assert direct["peak_fraction"] == pytest.approx(4.7e6 / 2e-3 / (1e8 / 1e-3), rel=0.01)
    assert direct["bandwidth_fraction"] == pytest.approx(180_000 / 2e-3 / (2e7 / 2e-3), rel=0.01)
    assert pd.isna(naive["time"])
    assert naive["rounds"] == 0
    assert not naive["tied"]
    assert not naive["winner"]
    assert (naive["status"], naive["predicted_s"]) == ("hopeless", 3.0)
    assert row(frame, "fft")["reason"] == "signal 11 (SIGSEGV) in run"
    assert row(frame, "direct")["reason"] == ""


def test_the_rows_name_the_winner_of_our_own_and_who_ties_with_it(run: Path) -> None:
    frame = cells(run)
    assert list(frame.loc[frame["own_winner"], "algorithm"]) == ["direct"]
    assert sorted(frame.loc[frame["own_tied"], "algorithm"]) == ["direct", "im2col"]


def test_samples_beside_a_slow_probe_are_counted(tmp_path: Path) -> None:
    problem = result()
    problem.cells[0].series[0].beside = [1e-3, 1e-3, 2e-3, 1.9e-3, 1.1e-3]
    SampleFile(tmp_path / "samples.json").add(problem)
    frame = cells(tmp_path)
    assert row(frame, "direct")["slowed"] == pytest.approx(2 / 5)
    assert row(frame, "im2col")["slowed"] == 0
    assert pd.isna(row(frame, "naive")["slowed"])


def test_a_wrong_algorithm_never_wins(tmp_path: Path) -> None:
    problem = result()
    problem.cells[0].status, problem.cells[0].reason = "failed", "error 3e-2 exceeds the bound 2e-6"
    SampleFile(tmp_path / "samples.json").add(problem)
    frame = cells(tmp_path)
    assert pd.isna(row(frame, "direct")["time"])
    assert frame.loc[frame["own_winner"], "algorithm"].item() == "im2col"


def test_rounds_pair_within_their_own_process(tmp_path: Path) -> None:
    problem = result()
    problem.cells = problem.cells[:2]
    direct, im2col = problem.cells
    direct.series = {0: Series([1.0], 1, [1e-3]), 1: Series([2.0, 2.0], 1, [1e-3] * 2)}
    im2col.series = {1: Series([4.0, 4.0], 1, [1e-3] * 2)}
    SampleFile(tmp_path / "samples.json").add(problem)
    frame = cells(tmp_path)
    assert row(frame, "im2col")["best_ratio"] == 2
    assert row(frame, "direct")["rounds"] == 3


def test_a_problem_of_two_suites_is_measured_once_and_listed_twice(tmp_path: Path) -> None:
    SampleFile(tmp_path / "samples.json").add(result(suites=("resnet50", "sweep_image")))
    frame = cells(tmp_path)
    assert list(frame[frame["algorithm"] == "direct"]["suite"]) == ["resnet50", "sweep_image"]


def test_problems_are_added_one_by_one_and_replaced_when_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "samples.json"
    SampleFile(path).add(result())
    second = SampleFile(path)
    second.add(result("mb1ic3ih9oc8oh7kh3"))
    assert list(second) == [SPEC, "mb1ic3ih9oc8oh7kh3"]
    again = result()
    again.cells = again.cells[:1]
    second.add(again)
    frame = cells(path)
    assert len(frame) == 7 + 1
    assert [p.name for p in tmp_path.iterdir()] == ["samples.json"]
    assert SampleFile(path).facts(SPEC)["contenders"] == "direct"
    assert SampleFile(path).facts("unknown") == {}


def test_csv_is_the_frame(run: Path) -> None:
    written = pd.read_csv(write_csv(run), keep_default_na=True)
    assert tuple(written.columns) == COLUMNS
    assert len(written) == 7


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": "1.0"}', '{"version": "9", "benchmarks": []}'])
def test_a_file_that_is_no_record_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "samples.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"samples\.json"):
        cells(path)
    with pytest.raises(ValueError, match=r"samples\.json"):
        SampleFile(path)


@pytest.mark.parametrize(
    "command", [["show"], ["show", "--metadata"], ["check"], ["compare_to", "--table"], ["metadata"], ["stats"]]
)
def test_pyperf_reads_the_file(run: Path, command: list[str]) -> None:
    path = str(run / "samples.json")
    files = [path, path] if command[0] == "compare_to" else [path]
    done = subprocess.run(
        [sys.executable, "-m", "pyperf", *command, *files], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    if command == ["show"]:
        assert f"{SPEC} | direct" in done.stdout


def test_the_record_names_neither_host_nor_user_nor_directory(tmp_path: Path) -> None:
    private = [platform.node(), str(Path.home()), str(tmp_path), sys.prefix]
    problem = result()
    problem.facts = environment() | {"threads": 1, "cache": "hot"}
    problem.cells[6].reason = f"OSError: {tmp_path}/lib.so: cannot open; on {platform.node()}, {Path.home()}/x.py"
    SampleFile(tmp_path / "samples.json").add(problem)
    text = (tmp_path / "samples.json").read_text()
    assert not [secret for secret in private if re.search(rf"(?<!\w){re.escape(secret)}(?!\w)", text)]
    assert "lib.so: cannot open" in text
    metadata = json.loads(text)["metadata"]
    assert not {"hostname", "python_executable", "command", "user"} & set(metadata)


def test_the_environment_says_what_a_time_depends_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "SkylakeX")
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/somewhere/else")
    for name, text in (("governor", "performance"), ("pages", "always [madvise] never"), ("isolated", "")):
        (tmp_path / name).write_text(text)
    files = ("governor", "pages", "isolated", "missing")
    monkeypatch.setattr("convbench.bench.environment.SYSTEM", {name: tmp_path / name for name in files})
    facts = environment()
    assert facts["env_OPENBLAS_CORETYPE"] == "SkylakeX"
    assert "env_NUMBA_CACHE_DIR" not in facts
    assert (facts["governor"], facts["pages"]) == ("performance", "madvise")
    assert not {"isolated", "missing"} & set(facts)
    assert {"cpu_model_name", "cpu_count", "platform", "machine", "python_version", "numba_version"} <= set(facts)
    assert all(isinstance(value, str | int | float) for value in facts.values())
    assert " " in str(facts["blas"])


def test_the_shared_facts_of_a_run_are_its_environment(tmp_path: Path) -> None:
    file = SampleFile(tmp_path / "samples.json")
    file.add(result())
    file.add(result("mb1ic3ih9oc8oh7kh3"))
    facts = environment_of(tmp_path)
    assert facts["cpu_model_name"] == "Example CPU"
    assert "spec" not in facts


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("line one\n  line two", "line one line two"),
        ("cannot read /opt/some-dir/lib/x.so: gone", "cannot read x.so: gone"),
        (r"C:\Users\jane\a.py failed", "a.py failed"),
        ("see file:///opt/deep/er/x.npy and ~jane/y.npy", "see x.npy and y.npy"),
        ("C/G · R / S at 5 GB/s, mobilenet:conv2_1/dw, ~ 1/2", "C/G · R / S at 5 GB/s, mobilenet:conv2_1/dw, ~ 1/2"),
    ],
)
def test_scrub(text: str, clean: str) -> None:
    assert scrub(text) == clean


def test_scrub_replaces_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "node", lambda: "build-7.example.org")
    monkeypatch.setattr(getpass, "getuser", lambda: "jdoe")
    monkeypatch.setattr(Path, "home", lambda: Path("/home/jdoe"))
    from convbench.bench import scrub as module

    module._secrets.cache_clear()
    try:
        text = "on build-7 (build-7.example.org) jdoe ran /home/jdoe/work/run.py"
        assert scrub(text) == "on host (host) user ran run.py"
    finally:
        module._secrets.cache_clear()


def test_an_empty_directory_has_no_run(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"samples\.json"):
        records.cells(tmp_path)
