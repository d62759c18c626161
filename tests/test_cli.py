"""The command line as its users meet it: what it prints, what it refuses in one line, and its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from convbench import __version__, choices, machine, report, select, suites
from convbench.algorithm import list_algorithms
from convbench.bench import calibrate, runner
from convbench.bench.records import cells
from convbench.cli.app import app
from convbench.cli.benchmark import fresh_directory
from convbench.cli.terminal import batched
from convbench.formats import benchdnn, csv
from convbench.select import fastest
from convbench.spec import ConvSpec

COMMANDS = ("bench", "report", "compare", "check", "explain", "algorithms", "machine", "shapes")
PROBLEM = "mb1ic3ih7oc4oh7kh3ph1"
RIGHT = """
import numpy as np
from convbench.algorithm import Algorithm

def sliding(plan, x, state, bias, y, work):
    x = np.pad(x, [(0, 0), (0, 0), *plan.padding])
    windows = np.lib.stride_tricks.sliding_window_view(x, plan.filter, axis=(2, 3))
    y[...] = np.einsum("nchwrs,kcrs->nkhw", windows, state)
    y += 0 if bias is None else bias.reshape(-1, 1, 1)

def supports(spec):
    dense = spec.ndim == 2 and spec.groups == 1 and {*spec.stride, *spec.dilation} == {1}
    return None if dense else "only dense two-dimensional problems"

toy = Algorithm("toy", sliding, supports)
"""
WRONG = RIGHT.replace("nchwrs,kcrs", "nchwrs,kcsr")
CRASHING = RIGHT.replace("    y += ", "    raise IndexError('out of range')\n    y += ")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def script(folder: Path, text: str) -> Path:
    path = folder / "toy.py"
    path.write_text(text)
    return path


@pytest.fixture(autouse=True)
def _own_algorithms(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one command registers, the next must not know."""
    monkeypatch.setattr("convbench.algorithm._registered", {})


def refused(result: Result, *fragments: str) -> None:
    """One line on standard error that holds the fragments, and exit code 2."""
    assert result.exit_code == 2, result.output
    assert result.stderr.count("\n") == 1, result.stderr
    assert result.stderr.startswith("convbench: error: ")
    for fragment in fragments:
        assert fragment in result.stderr


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


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        (["check", "smok"], ["suite 'smok'", "did you mean 'smoke'?"]),
        (["check", "--suite", "smok"], ["did you mean 'smoke'?"]),
        (["check", PROBLEM, "--algorithms", "dirct"], ["unknown algorithm 'dirct'", "did you mean 'direct'?"]),
        (["check", PROBLEM, "--algorithms", ","], ["--algorithms names no algorithm"]),
        (["check", PROBLEM, "--kind", "norml"], ["kind is 'norml'", "did you mean 'normal'?"]),
        (["check", PROBLEM, "--with", "missing.py"], ["missing.py"]),
        (["explain", "mb1ic3ihseven"], ["mb1ic3ihseven: column 9: expected an integer"]),
        (["explain", "missing/layers.txt"], ["missing/layers.txt", "No such file"]),
        (["explain", PROBLEM, "--nonfinite", "global"], ["nonfinite is 'global'", "'local'"]),
        (["explain", PROBLEM, "--max-error", "-1"], ["max_error is -1.0", "> 0"]),
        (["explain", PROBLEM, "--threads", "99999"], ["threads is 99999; allowed: an integer from 1 to "]),
        (["check", PROBLEM, "--threads", "99999"], ["threads is 99999; allowed"]),
        (["bench", PROBLEM, "--threads", "99999"], ["threads is 99999; allowed"]),
        (["shapes", "smoke", "--to", "cvs"], ["--to is 'cvs'", "did you mean 'csv'?"]),
        (["shapes", "audio", "--to", "csv"], ["allowed in a CSV row: 2-D"]),
        (["shapes", "mobilenetv2", "--to", "deepbench"], ["allowed in a DeepBench row: 2-D"]),
        (["shapes", "audio", "--to", "miopen"], ["allowed in a command of MIOpenDriver: 2-D"]),
        (["report", "missing"], ["missing", "No such file"]),
        (["bench", "smoke", "--algorithms", "dirct"], ["did you mean 'direct'?"]),
        (["bench", "defualt"], ["did you mean 'default'?"]),
    ],
)
def test_mistakes_are_refused_in_one_line(
    arguments: list[str], fragments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(run(*arguments), *fragments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        (["--bogus"], ["No such option: --bogus", "`convbench --help`"]),
        (["explian"], ["No such command 'explian'"]),
        (["explain"], ["Missing argument", "`convbench explain --help`"]),
        (["explain", PROBLEM, "--bogus"], ["No such option: --bogus", "`convbench explain --help`"]),
        (["bench", "--thread", "1"], ["--thread", "--threads"]),
        (["bench", "--threads"], ["'--threads' requires an argument"]),
        (["bench", "--threads", "many"], ["'--threads'", "integer"]),
        (["bench", "--budget", "0"], ["'--budget'"]),
        (["shapes", "smoke", "resnet50"], ["resnet50"]),
        (["machine", "--measure=3"], ["'--measure' does not take a value"]),
    ],
)
def test_what_a_command_does_not_take_is_refused_in_one_line(arguments: list[str], fragments: list[str]) -> None:
    refused(run(*arguments), *fragments)


def test_without_a_command_the_help_is_shown() -> None:
    result = run()
    assert "Usage" in result.output
    assert "error" not in result.stderr


def test_an_unreadable_descriptor_has_file_line_and_column(tmp_path: Path) -> None:
    path = tmp_path / "layers.txt"
    path.write_text("# two layers\nmb1ic3ih7oc4oh7kh3ph1\nmb1ic3ih7oc4xx7\n")
    refused(run("check", path), f"{path}:3:13")


def test_an_unreadable_row_has_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "layers.csv"
    path.write_text(csv.dumps([ConvSpec.parse(PROBLEM)]).replace("3,7,7,4", "three,7,7,4"))
    refused(run("shapes", path), f"{path}:2", "channels is 'three'")


def test_results_that_cannot_be_written_are_refused_before_anything_runs(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    refused(run("bench", "smoke", "--out", blocked / "run"), "cannot write results", str(blocked))


def test_a_directory_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "samples.json").write_text("{}")
    refused(run("bench", "smoke", "--out", tmp_path), "not a record of convbench")
    refused(run("report", tmp_path), "not a record of convbench")


def test_a_broken_file_of_algorithms_is_refused(tmp_path: Path) -> None:
    refused(run("check", PROBLEM, "--with", script(tmp_path, "1 / 0")), "ZeroDivisionError")
    refused(run("check", PROBLEM, "--with", script(tmp_path, "x = 1")), "holds no Algorithm")


def test_a_corrupt_selection_file_is_one_warning(user_cache: Path) -> None:
    user_cache.mkdir()
    choices.path().write_text("{")
    result = run("explain", PROBLEM)
    assert result.exit_code == 0
    assert "chosen" in result.stdout
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("convbench: warning: ")
    assert str(choices.path()) in result.stderr


def test_a_bug_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "explain", lambda *_, **__: {}["bug"])
    assert isinstance(run("explain", PROBLEM).exception, KeyError)


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


@pytest.mark.parametrize("suite", ["resnet50", "mobilenetv2", "vgg16"])
def test_shapes_convert_there_and_back(suite: str, tmp_path: Path) -> None:
    table, text = tmp_path / "layers.csv", tmp_path / "layers.txt"
    table.write_text(run("shapes", suite, "--to", "csv").stdout)
    text.write_text(run("shapes", table, "--to", "benchdnn").stdout)
    original = [problem.spec for problem in suites.load(suite)]
    for found in (csv.read(table), benchdnn.read(text)):
        assert found == original
        assert [(spec.name, spec.repeats) for spec in found] == [(spec.name, spec.repeats) for spec in original]


@pytest.mark.parametrize(("suite", "to"), [("vgg16", "deepbench"), ("mobilenetv2", "miopen")])
def test_shapes_in_the_formats_of_other_projects(suite: str, to: str, tmp_path: Path) -> None:
    path = tmp_path / "layers"
    path.write_text(run("shapes", suite, "--to", to, "--batch", "8").stdout)
    found = [problem.spec for problem in suites.resolve(str(path))]
    expected = [batched(problem, 8).spec for problem in suites.load(suite)]
    assert found == expected
    assert [(spec.name, spec.repeats) for spec in found] == [(spec.name, spec.repeats) for spec in expected]


def test_shapes_tell_what_a_log_has_besides(tmp_path: Path) -> None:
    path = tmp_path / "run.log"
    lines = (
        f"onednn_verbose,primitive,exec,cpu,convolution,jit,{direction},src_f32::blocked:a::f0,,,mb1_ic3oc4_ih8oh6kh3,1"
        for direction in ("forward_training", "backward_data", "forward_training")
    )
    path.write_text("\n".join(lines))
    result = run("shapes", path)
    assert "1 distinct problem, 2 occurrences" in result.stdout
    assert result.stderr == f"convbench: warning: {path}: convolutions left out: 1 backward f32\n"


def test_shapes_keep_the_class_of_weights(tmp_path: Path) -> None:
    path = tmp_path / "images.txt"
    path.write_text(run("shapes", "images", "--to", "benchdnn").stdout)
    assert [(p.spec, p.weights) for p in suites.resolve(str(path))] == [
        (p.spec, p.weights) for p in suites.load("images")
    ]


def test_shapes_count_distinct_problems_and_occurrences() -> None:
    assert "53 occurrences" in run("shapes", "resnet50").stdout
    converted = run("shapes", "resnet50", "--to", "csv")
    assert "53 occurrences" in converted.stderr
    assert "occurrences;" not in converted.stdout


def test_a_fresh_directory_is_numbered(tmp_path: Path) -> None:
    first = fresh_directory(tmp_path)
    first.mkdir()
    assert fresh_directory(tmp_path) == tmp_path / f"{first.name}-2"


def test_an_interrupted_run_says_how_to_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "run", interrupted)
    result = run("bench", PROBLEM, "--algorithms", "direct,im2col", "--batch", 2, "--out", tmp_path / "a run")
    assert result.exit_code == 130
    command = f"convbench bench {PROBLEM} --algorithms direct,im2col --batch 2 --budget 300 --out '{tmp_path}/a run'"
    assert result.stderr == f"convbench: interrupted; what was measured is kept. Resume with: {command}\n"


@pytest.fixture(scope="module", autouse=True)
def _own_measurements(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What these runs find out must not decide what other tests see."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONVBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        machine.current.cache_clear()
        yield
    machine.current.cache_clear()


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """One real run over the smoke suite, with every algorithm of ours and a wrong one beside them."""
    folder = tmp_path_factory.mktemp("smoke")
    out = folder / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("convbench.algorithm._registered", {})
        arguments = ("--budget", 3, "--threads", 1, "--out", out, "--with", script(folder, WRONG))
        return out, run("bench", "smoke", *arguments)


def test_a_run_writes_its_record_and_report(smoke: tuple[Path, Result]) -> None:
    out, result = smoke
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    assert json.loads((out / "samples.json").read_text())["benchmarks"]
    assert (out / "cells.csv").read_text().startswith("suite,spec,")
    assert "<html" in (out / "report.html").read_text()
    assert f"report: {out / 'report.html'}" in result.stdout


def test_a_run_with_a_wrong_algorithm_says_so(smoke: tuple[Path, Result]) -> None:
    out, result = smoke
    assert result.exit_code == 1
    assert "toy failed on 2 problems" in result.stdout
    standing = [line for line in result.stdout.splitlines() if " toy " in line and "–" in line]
    assert sum("failed: " in line for line in standing) == 2
    statuses = cells(out).query("algorithm == 'toy'")["status"]
    assert sorted(statuses) == ["failed"] * 2 + ["skipped"] * 4


def test_fastest_picks_the_winner_of_the_run(smoke: tuple[Path, Result]) -> None:
    frame = cells(smoke[0]).query("own_winner and weights == 'dense'")
    assert len(frame) == 5
    for row in frame.itertuples(index=False):
        spec = ConvSpec.parse(row.spec)
        rows = {row.algorithm: row for row in select.explain(spec, threads=1).rows}
        assert rows[row.algorithm].measured is not None
        if not rows[row.algorithm].reason:
            assert fastest(spec, threads=1).algorithm == row.algorithm
            assert "measured" in fastest(spec, threads=1).why


def test_a_finished_run_is_not_measured_again(smoke: tuple[Path, Result], monkeypatch: pytest.MonkeyPatch) -> None:
    def launched(*_: object, **__: object) -> None:
        raise AssertionError("a worker was started")

    monkeypatch.setattr(runner, "Crew", launched)
    monkeypatch.setattr(report, "write", lambda directory, cells: directory)
    arguments = ("--budget", 3, "--threads", 1, "--out", smoke[0], "--with", smoke[0].parent / "toy.py")
    assert run("bench", "smoke", *arguments).exit_code == 1
    refused(run("bench", "smoke", "--threads", 2, "--out", smoke[0]), "threads = 1")


@pytest.mark.parametrize(
    ("code", "start"),
    [
        ("from convbench.cli import main; main()", "convbench: error: mb1ic3ihseven: column 9: "),
        ("import sys; sys.modules['typer'] = None; from convbench.cli import main; main()", "convbench: error: typer"),
    ],
)
def test_the_installed_command_refuses_in_one_line(code: str, start: str) -> None:
    command = [sys.executable, "-c", code, "explain", "mb1ic3ihseven"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(start)
    assert done.stderr.count("\n") == 1
