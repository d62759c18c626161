"""The schedule, resumption and progress of a run, with crews that only pretend to work."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_crew import NAMES, SMALL, Event, World, measure

from convbench.algorithm import UnknownAlgorithm
from convbench.bench.orders import Job, Setup
from convbench.bench.records import cells
from convbench.bench.runner import Config, Progress, RunError, run
from convbench.bench.samples import SampleFile
from convbench.bench.schedule import LEAST_SHARE, tasks, weight
from convbench.machine import SHIPPED
from convbench.spec import ConvSpec
from convbench.suites import Problem


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "run"


def test_a_run_records_every_problem_and_contender(world: World, out: Path) -> None:
    path = measure(world, out)
    frame = cells(path)
    assert path == out / "samples.json"
    assert len(frame) == len(SMALL) * len(NAMES)
    assert list(frame.loc[frame["winner"], "algorithm"]) == ["direct"] * len(SMALL)
    assert set(frame["rounds"]) == {3}
    assert set(frame["cache_load_s"]) == {0.02}
    assert frame["repro"][0] == f"convbench bench {SMALL[0].spec} --algorithms direct --threads 1"
    assert json.loads(path.read_text())["metadata"]["mem_max_rss"] == 1 << 30
    assert world.closed == len(world.setups)


def test_shares_follow_the_weights_and_unused_time_flows_on(world: World, out: Path) -> None:
    measure(world, out)
    assert [job.seconds for job in world.jobs] == pytest.approx([10.0] * 4, rel=1e-3)
    world.jobs.clear()
    world.job_seconds = 1.0
    measure(world, out.with_name("two"))
    assert [job.seconds for job in world.jobs] == pytest.approx([10, 39 / 3, 38 / 2, 37], rel=1e-3)


def test_a_spent_budget_still_leaves_everyone_a_little(world: World, out: Path) -> None:
    world.job_seconds = 100.0
    measure(world, out)
    assert [job.seconds for job in world.jobs[1:]] == [LEAST_SHARE] * 3


def test_large_problems_weigh_more_up_to_ten() -> None:
    small, vgg, huge = map(
        ConvSpec.parse, ("mb1ic4ih8oc4oh8kh1", "mb1ic64ih224oc64oh224kh3ph1", "mb64ic64ih224oc64oh224kh3ph1")
    )
    assert 1 <= weight(small, SHIPPED) < 1.01
    assert weight(small, SHIPPED) < weight(vgg, SHIPPED) < weight(huge, SHIPPED) == 10


def test_an_interrupted_run_keeps_what_it_has_and_goes_on_from_there(world: World, out: Path) -> None:
    world.interrupt = 2
    with pytest.raises(KeyboardInterrupt):
        measure(world, out)
    assert world.closed == len(world.setups)
    assert len(cells(out)["spec"].unique()) == 2
    world.interrupt = 10**9
    world.jobs.clear()
    seen: list[Progress] = []
    measure(world, out, seen.append)
    assert [job.spec for job in world.jobs] == [str(problem.spec) for problem in SMALL[2:]]
    assert seen[-1].stage == "done"
    assert (seen[-1].done, seen[-1].total) == (4, 4)
    world.setups.clear()
    measure(world, out)
    assert world.setups == []


def test_with_other_contenders_a_problem_is_measured_again(world: World, out: Path) -> None:
    measure(world, out, problems=SMALL[:2], contenders=NAMES[:2])
    world.jobs.clear()
    measure(world, out, problems=SMALL[:2])
    assert len(world.jobs) == 2
    assert len(cells(out)) == 2 * len(NAMES)


def test_a_directory_of_another_kind_of_run_is_refused(world: World, out: Path) -> None:
    measure(world, out)
    with pytest.raises(RunError, match="threads = 1, this one has 2"):
        measure(world, out, threads=2)


def test_an_edited_file_of_algorithms_is_not_mistaken_for_the_one_measured(
    world: World, out: Path, tmp_path: Path
) -> None:
    file = tmp_path / "mine.py"
    file.write_text("one")
    measure(world, out, files=(str(file),))
    world.setups.clear()
    measure(world, out, files=(str(file),))
    assert world.setups == []
    file.write_text("two")
    with pytest.raises(RunError, match=r"algorithm_files = \w{12}, this one has \w{12}; allowed: the same"):
        measure(world, out, files=(str(file),))
    measure(world, out, files=(str(file),), contenders=NAMES[:2])
    assert world.setups != []


def test_what_the_caches_hold_is_told_to_the_workers_recorded_and_kept_to(world: World, out: Path) -> None:
    path = measure(world, out, problems=SMALL[:1], cache="all-cold", details=True)
    assert {setup.cache for setup in world.setups} == {"all-cold"}
    assert [(job.cache, job.details, job.scaling) for job in world.jobs] == [("all-cold", True, ())]
    assert set(cells(path)["cache"]) == {"all-cold"}
    assert cells(path)["repro"][0].endswith("--cache all-cold")
    with pytest.raises(RunError, match="cache = all-cold, this one has hot"):
        measure(world, out, problems=SMALL[:1])


def test_scaling_is_told_to_the_workers_recorded_and_kept_to(world: World, out: Path) -> None:
    path = measure(world, out, problems=SMALL[:1], threads=2, scaling=(1, 2))
    assert [(job.threads, job.scaling) for job in world.jobs] == [(2, (1, 2))]
    assert "--threads 1,2" in cells(path)["repro"][0]
    with pytest.raises(RunError, match="scaled_on = 1 2, this one has none"):
        measure(world, out, problems=SMALL[:1], threads=2)


def test_what_a_worker_tells_of_a_cell_later_is_part_of_it(world: World, out: Path) -> None:
    told = {"event": "facts", "algorithm": "direct", "facts": {"traced_bytes": 123, "phases": '{"pad": 0.5}'}}
    launch = world.launch

    def changed(setup: Setup) -> Any:
        crew = launch(setup)
        work = crew.work

        def and_more(job: Job) -> Iterator[Event]:
            *events, end = work(job)
            yield from (*events, told, end)

        crew.work = and_more
        return crew

    world.launch = changed  # type: ignore[method-assign]
    frame = cells(measure(world, out, problems=SMALL[:1])).set_index("algorithm")
    assert frame.loc["direct", "traced_bytes"] == 123
    assert json.loads(frame.loc["direct", "phases"]) == {"pad": 0.5}
    assert frame.loc["naive", "phases"] == ""


def test_several_processes_are_several_runs_whose_rounds_do_not_mix(world: World, out: Path) -> None:
    path = measure(world, out, problems=SMALL[:1], processes=3)
    assert [job.seed for job in world.jobs] == [0, 1, 2]
    assert sum(job.seconds for job in world.jobs) == pytest.approx(40.0)
    assert set(cells(path)["rounds"]) == {9}
    runs = [b for b in json.loads(path.read_text())["benchmarks"] if "direct" in json.dumps(b)][-1]["runs"]
    assert [one["metadata"]["process"] for one in runs] == [0, 1, 2]


def test_progress_tells_stage_label_and_time_left(world: World, out: Path) -> None:
    seen: list[Progress] = []
    world.compile_s = 1.0
    measure(world, out, seen.append)
    stages = [progress.stage for progress in seen]
    assert list(dict.fromkeys(stages)) == ["compile", "load", "measure", "done"]
    measuring = [progress for progress in seen if progress.stage == "measure"]
    assert [progress.done for progress in measuring] == [0, 1, 2, 3]
    assert [progress.left for progress in measuring] == pytest.approx([40, 30, 20, 10], rel=1e-3)
    assert measuring[0].label == str(SMALL[0].spec)
    assert seen[-1].left == 0


def test_time_left_follows_the_pace(world: World, out: Path) -> None:
    seen: list[Progress] = []
    world.job_seconds = 2.0
    measure(world, out, seen.append)
    assert [p.left for p in seen if p.stage == "measure"] == pytest.approx([40, 6, 4, 2], rel=1e-3)


def test_a_problem_of_two_suites_is_one_task() -> None:
    spec = SMALL[0].spec
    (one, other) = tasks(
        [Problem(spec, suite="a"), Problem(spec, "rank1", "a"), Problem(spec, suite="b"), Problem(spec, suite="a")]
    )
    assert [member.suite for member in one.members] == ["a", "b"]
    assert (other.weights, other.key) == ("rank1", f"{spec} [rank1]")


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"contenders": ()}, RunError, "nothing to measure"),
        ({"problems": []}, RunError, "nothing to measure"),
        ({"budget": 0}, RunError, "budget is 0"),
        ({"threads": 0}, RunError, "threads 0"),
        ({"processes": 0}, RunError, "processes 0"),
        ({"cache": "cool"}, RunError, "cache is 'cool'; allowed: hot, cold-weights, all-cold"),
        ({"scaling": (1, 4)}, RunError, "its greatest must be threads = 1"),
        ({"contenders": ("dierct",)}, UnknownAlgorithm, "direct"),
    ],
)
def test_requests_that_make_no_sense(
    world: World, out: Path, change: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        measure(world, out, **change)
    assert world.setups == []
    assert not out.exists()


def test_an_unwritable_directory_is_an_error_before_anything_is_compiled(world: World, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(OSError, match="file"):
        measure(world, blocked / "run")
    assert world.setups == []


def test_a_file_that_is_no_record_is_refused(world: World, out: Path) -> None:
    out.mkdir()
    (out / "samples.json").write_text("{}")
    with pytest.raises(ValueError, match=r"samples\.json"):
        measure(world, out)


@pytest.mark.usefixtures("world")
def test_real_workers_measure_real_algorithms(tmp_path: Path) -> None:
    problems = [Problem(ConvSpec.parse('mb1ic3ih12oc4oh12kh3ph1n"net:one"'), suite="tiny")]
    config = Config(problems, ("naive", "python_loops", "pointwise"), tmp_path, budget=2.0, calibrate=False)
    frame = cells(run(config)).set_index("algorithm")
    assert frame.loc["naive", "status"] == "ok"
    assert frame.loc["naive", "winner"]
    assert frame.loc["naive", "threads"] == 1
    assert frame.loc["pointwise", "status"] == "skipped"
    assert frame.loc["python_loops", "status"] in {"ok", "hopeless"}  # which of them is a matter of time
    assert frame.loc["naive", "problem_name"] == "net:one"
    assert SampleFile(tmp_path / "samples.json").facts(str(problems[0].spec))["blas"]
