"""The command line as its users meet it: what it prints and its exit codes."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from command_line import CRASHING, PROBLEM, RIGHT, WRONG, run, script

from convbench import __version__, machine
from convbench.algorithm import list_algorithms
from convbench.bench import calibrate
from convbench.select import fastest
from convbench.spec import ConvSpec

pytestmark = pytest.mark.usefixtures("own_algorithms")

COMMANDS = ("bench", "report", "compare", "check", "explain", "algorithms", "machine", "shapes")


def test_help_names_every_command() -> None:
    text = run("--help").stdout
    assert [command for command in COMMANDS if command in text] == list(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "Usage" in result.stdout


def test_version() -> None:
    assert run("--version").stdout == f"convbench {__version__}\n"


def test_help_needs_no_numba() -> None:
    code = "from convbench.cli.app import app; import sys; app(['--help'], standalone_mode=False); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"numba", "scipy", "pandas", "altair"} & set(done.stdout.split("\n")[-2].split()) == set()


def test_without_a_command_the_help_is_shown() -> None:
    result = run()
    assert "Usage" in result.output
    assert "error" not in result.stderr


def test_check_passes_what_is_right(tmp_path: Path) -> None:
    result = run("check", PROBLEM, "--algorithms", "toy,direct,auto", "--with", script(tmp_path, RIGHT))
    assert result.exit_code == 0, result.output
    assert "1 problem: 3 ok, 0 not applicable, 0 failed" in result.stdout


@pytest.mark.parametrize(("text", "reason"), [(WRONG, "exceeds the bound"), (CRASHING, "IndexError: out of range")])
def test_check_fails_what_is_wrong_in_one_line_each(text: str, reason: str, tmp_path: Path) -> None:
    result = run("check", "smoke", "--algorithms", "toy,im2col", "--with", script(tmp_path, text))
    assert result.exit_code == 1
    failures = [line for line in result.stdout.splitlines() if line.startswith("toy on ")]
    assert len(failures) == 2
    assert all("FAILED" in line and reason in line for line in failures)
    assert "6 problems: 6 ok, 4 not applicable, 2 failed" in result.stdout


def test_check_says_on_standard_error_where_it_is() -> None:
    result = run("check", "smoke", "--algorithms", "naive")
    lines = result.stderr.splitlines()
    assert [line.partition(" ")[0] for line in lines] == [f"[{i}/6]" for i in range(1, 7)]
    assert lines[0].endswith("smoke:3x3")


def test_more_threads_than_processors_are_one_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {3, 5}, raising=False)
    for threads, warnings in ((4, 1), (2, 0)):
        result = run("check", PROBLEM, "--algorithms", "naive", "--threads", threads)
        assert result.exit_code == 0
        assert result.stderr.count("4 threads take turns on the 2 processors that this process may use") == warnings


def test_check_takes_a_batch_size_a_kind_and_suites() -> None:
    result = run("check", PROBLEM, "--suite", "smoke", "--algorithms", "naive", "--batch", 3, "--kind", "relu")
    assert result.exit_code == 0
    assert "7 problems" in result.stdout
    assert "mb3ic" in result.stdout


def test_check_writes_every_verdict(tmp_path: Path) -> None:
    file = tmp_path / "new" / "verdicts.csv"
    result = run("check", PROBLEM, "--algorithms", "naive,direct", "--kind", "normal,relu", "--out", file)
    assert result.exit_code == 0, result.output
    frame = pd.read_csv(file)
    assert list(zip(frame["algorithm"], frame["kind"], strict=True)) == [
        (name, kind) for name in ("naive", "direct") for kind in ("normal", "relu")
    ]
    assert (frame["error"] <= frame["bound"]).all()


def test_explain_honours_constraints() -> None:
    spec = ConvSpec.parse(PROBLEM)
    free, narrow = run("explain", spec), run("explain", spec, "--workspace-limit", 0, "--threads", 1, "--unprepared")
    assert "prepared filter" in free.stdout
    assert "1 thread, preparation paid in every call" in narrow.stdout
    chosen = next(line for line in narrow.stdout.splitlines() if line.endswith("chosen"))
    assert fastest(spec, threads=1, workspace_limit=0, prepared=False).algorithm in chosen
    assert " 0 B " in chosen


@pytest.mark.parametrize("text", ["--dt=f64 mb1ic3ih7oc4oh7kh3ph1", "--weights=rank1 mb1ic1ih9oc1oh9kh3ph1"])
def test_the_text_of_any_problem_is_an_argument(text: str) -> None:
    result = run("check", text, "--algorithms", "naive", "--threads", 1)
    assert result.exit_code == 0, result.output
    assert "1 problem: 1 ok" in result.stdout


def test_algorithms_lists_everyone_with_a_claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    lines = run("algorithms", "--with", script(tmp_path, RIGHT)).stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == sorted([*list_algorithms()])
    assert "toy" in list_algorithms()
    assert run("algorithms", "--peers").stdout.count("scipy") >= 2


@pytest.mark.usefixtures("user_cache")
def test_machine_measures_saves_and_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "shipped with convbench" in run("machine", "--no-measure").stdout
    fast = replace(machine.SHIPPED, name="test", bandwidth=1.25e11)
    monkeypatch.setattr(calibrate, "measure", lambda ring: fast)
    assert "125 GB/s" in run("machine", "--no-save").stdout
    assert machine.current() == machine.SHIPPED
    assert run("machine").exit_code == 0
    assert machine.current() == fast
    assert "125 GB/s" in run("machine", "--no-measure").stdout
