"""``convbench bench``: the record, the report, the choices and the standing of one real run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import PROBLEM, WRONG, refused, run, script
from typer.testing import Result

from convbench import machine, report, select
from convbench.bench import runner
from convbench.bench.records import cells
from convbench.cli.benchmark import Spent, fresh_directory
from convbench.select import fastest
from convbench.spec import ConvSpec

pytestmark = pytest.mark.usefixtures("own_algorithms")


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
    options = ("--threads", "2,1", "--cache", "all-cold", "--details", "--out", "there")
    command = f"convbench bench {PROBLEM} --threads 1,2 --cache all-cold --details --budget 300 --out there\n"
    monkeypatch.chdir(tmp_path)
    assert run("bench", PROBLEM, *options).stderr.endswith(command)


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


def test_a_run_ends_with_the_answer_what_is_remembered_and_the_time_taken(smoke: tuple[Path, Result]) -> None:
    (said,) = re.findall(r"^Of 6 problems, the fastest of ours is .*$", smoke[1].stdout, re.MULTILINE)
    assert "`" not in said
    assert "of 6 winners are clear at 95%" in smoke[1].stdout
    assert "now know 5 of 6 problems of this run" in smoke[1].stdout
    assert "not 1 of rank-1 weights, which a call does not know from others" in smoke[1].stdout
    assert re.search(r"^time: \d+ s of start-up .*, \d+ s of measurements, of a budget of 3 s$", smoke[1].stdout, re.M)


def test_time_is_start_up_until_the_first_problem_begins() -> None:
    spent, heard = Spent(), []
    hear = spent.heard_by(heard.append)
    for stage, elapsed in (("compile", 1.0), ("load", 9.0), ("measure", 12.0), ("measure", 20.0), ("done", 32.0)):
        hear(runner.Progress(stage, "", 0, 2, elapsed, 0.0))
    assert (spent.start, spent.measuring) == (12.0, 20.0)
    assert len(heard) == 5
    nothing = Spent()
    nothing.heard_by(heard.append)(runner.Progress("done", "", 2, 2, 1.0, 0.0))
    assert not nothing.measuring


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
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1}, raising=False)
    refused(run("bench", "smoke", "--threads", 2, "--out", smoke[0]), "threads = 1")
