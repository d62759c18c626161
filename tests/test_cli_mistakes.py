"""What the command line refuses: in one line on standard error, before anything runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from command_line import PROBLEM, refused, run, script

from convbench import choices, select
from convbench.formats import csv
from convbench.spec import ConvSpec

pytestmark = pytest.mark.usefixtures("own_algorithms")


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
        (["bench", PROBLEM, "--batch", "0"], ["has no image", "takes 1 or more"]),
        (["shapes", "smoke", "--to", "cvs"], ["--to is 'cvs'", "did you mean 'csv'?"]),
        (["shapes", "audio", "--to", "csv"], ["allowed in a CSV row: 2-D"]),
        (["shapes", "mobilenetv2", "--to", "deepbench"], ["allowed in a DeepBench row: 2-D"]),
        (["shapes", "audio", "--to", "miopen"], ["allowed in a command of MIOpenDriver: 2-D"]),
        (["report", "missing"], ["missing", "No such file"]),
        (["bench", "smoke", "--algorithms", "dirct"], ["did you mean 'direct'?"]),
        (["bench", "defualt"], ["did you mean 'default'?"]),
        (["bench", "smoke", "--threads", "1,0"], ["--threads is '1,0'", "allowed: a number above 0, or several"]),
        (["bench", "smoke", "--cache", "cool"], ["--cache is 'cool'; allowed: hot, cold-weights, all-cold"]),
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
        (["bench", "--threads", "many"], ["--threads", "'many'", "a number above 0"]),
        (["bench", "--budget", "0"], ["'--budget'"]),
        (["shapes", "smoke", "resnet50"], ["resnet50"]),
        (["machine", "--measure=3"], ["'--measure' does not take a value"]),
    ],
)
def test_what_a_command_does_not_take_is_refused_in_one_line(arguments: list[str], fragments: list[str]) -> None:
    refused(run(*arguments), *fragments)


def test_an_unreadable_descriptor_has_file_line_and_column(tmp_path: Path) -> None:
    path = tmp_path / "layers.txt"
    path.write_text("# two layers\nmb1ic3ih7oc4oh7kh3ph1\nmb1ic3ih7oc4xx7\n")
    refused(run("check", path), f"{path}:3:13")


def test_what_is_no_list_of_problems_is_refused_with_what_is_allowed(tmp_path: Path) -> None:
    refused(run("bench", tmp_path), f"{tmp_path} is a directory; allowed: a suite, a descriptor, a file of problems")
    path = tmp_path / "README.md"
    path.write_text("# The shapes of MIOpenDriver's\n\nThis is prose.\n\nMIOpenDriver's is a possessive.\n")
    refused(run("check", path), f"{path}:3:1: expected", "allowed in a file of problems: descriptors, CSV")
    path.write_text("[" + "9, " * 1000)
    refused(run("check", path), f"{path}:1:1")
    assert len(run("check", path).stderr) < 500


def test_what_is_no_run_is_refused_with_what_is_allowed(tmp_path: Path) -> None:
    allowed = "allowed: a directory that `convbench bench` wrote, or the samples.json in it"
    refused(run("report", tmp_path), f"{tmp_path} holds no samples.json", allowed)
    refused(run("compare", tmp_path, tmp_path), f"{tmp_path} holds no samples.json", allowed)
    (tmp_path / "README.md").write_text("prose")
    refused(run("report", tmp_path / "README.md"), "README.md: not a record of convbench", allowed)


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
