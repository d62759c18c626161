"""The schedule, restarts, resumption and progress of a run, with crews that only pretend to work."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from convbench.algorithm import UnknownAlgorithm
from convbench.bench import runner
from convbench.bench.compiled import Compiled, ready_crew
from convbench.bench.crew import WorkerError
from convbench.bench.orders import Job, Setup
from convbench.bench.records import cells
from convbench.bench.runner import Config, Progress, RunError, run
from convbench.bench.samples import SampleFile
from convbench.bench.schedule import LEAST_SHARE, tasks, weight
from convbench.machine import SHIPPED
from convbench.spec import ConvSpec
from convbench.suites import Problem

Event = dict[str, Any]
SMALL = [Problem(ConvSpec.parse(f"mb1ic4ih{n}oc4oh{n}kh1"), suite="small") for n in (8, 9, 10, 11)]
NAMES = ("direct", "im2col", "naive")


@dataclass
class World:
    """A fake clock, what the contenders do in it, and everything that was asked of the crews."""

    now: float = 0.0
    job_seconds: float | None = None
    end: dict[str, Event] = field(default_factory=dict)
    fatal: dict[str, int] = field(default_factory=dict)
    compile_s: float = 0.0
    setups: list[Setup] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    closed: int = 0
    interrupt: int = 10**9

    def clock(self) -> float:
        return self.now

    def launch(self, setup: Setup) -> Any:
        return FakeCrew(self, setup)


class FakeCrew:
    """Every contender takes its place in ``NAMES`` milliseconds; ``end`` and ``fatal`` name those that misbehave."""

    def __init__(self, world: World, setup: Setup) -> None:
        self._world = world
        self._setup = setup
        self.gone = False
        world.setups.append(setup)

    def start(self) -> Iterator[Event]:
        for name in self._setup.contenders:
            yield {"event": "begin", "algorithm": name, "stage": "warm-up"}
            if name in self._world.fatal:
                self.gone = True
                yield {"event": "gone", "code": self._world.fatal[name], "words": "last words"}
                return
            compile_s, self._world.compile_s = self._world.compile_s, 0.0
            yield {"event": "warm", "algorithm": name, "dtype": "float32", "error": "", "compile_s": compile_s,
                   "load_s": 0.02}  # fmt: skip
        yield {"event": "ready", "blas": "openblas 1 X"}

    def work(self, job: Job) -> Iterator[Event]:
        world = self._world
        world.jobs.append(job)
        if len(world.jobs) > world.interrupt:
            raise KeyboardInterrupt
        world.now += job.seconds if world.job_seconds is None else world.job_seconds
        probes = {"fma": {"probe_flop": 1e8}, "stream": {"probe_bytes": 1e7}}
        yield {"event": "start", "facts": {"threads": job.threads, "threads_blas": job.threads}, "probes": probes}
        for probe in probes:
            yield {"event": "probe", "probe": probe, "round": -1, "seconds": 1e-3}
        facts = {"prepare_s": 1e-4, "error": 1e-7, "workspace_bytes": 0, "peer": 0}
        for name in job.contenders:
            yield {"event": "begin", "algorithm": name, "stage": "first call"}
            if end := world.end.get(name):
                yield from self._die(end)
                return
            yield {"event": "cell", "algorithm": name, "status": "ok", "reason": "", "facts": facts, "loops": 2}
        for i in range(3):
            yield {"event": "probe", "probe": "stream", "round": i, "seconds": 1e-3}
            for name in job.contenders:
                seconds = 1e-3 * (1 + NAMES.index(name))
                yield {"event": "begin", "algorithm": name, "stage": f"round {i}"}
                yield {"event": "sample", "algorithm": name, "round": i, "seconds": seconds, "beside": 1e-3}
            yield {"event": "probe", "probe": "fma", "round": i, "seconds": 1e-3}
        yield {"event": "exit", "code": 0, "max_rss": 1 << 30}

    def _die(self, end: Event) -> Iterator[Event]:
        if end.get("silent"):
            yield {"event": "silent", "seconds": end["silent"]}
        if end.get("gone"):
            self.gone = True
            yield {"event": "gone", "code": end["code"], "words": ""}
        else:
            yield {"event": "exit", "code": end["code"]}

    def last_words(self) -> str:
        return "last words"

    def kill(self) -> None:
        self.gone = True

    def close(self) -> None:
        self._world.closed += 1


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "code_dir", lambda: tmp_path / "code")


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "run"


def measure(world: World, out: Path, note: Callable[[Progress], None] = lambda _: None, **changes: Any) -> Path:
    config = Config(**{"problems": SMALL, "contenders": NAMES, "out": out, "budget": 40.0, **changes})
    return run(config, note, world.clock, world.launch)


def status(out: Path, name: str, spec: ConvSpec = SMALL[0].spec) -> tuple[str, str]:
    frame = cells(out)
    row = frame[(frame["algorithm"] == name) & (frame["spec"] == str(spec))].iloc[0]
    return row["status"], row["reason"]


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


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        ({"code": -11}, ("crashed", "signal 11 (SIGSEGV) in first call")),
        ({"code": -9}, ("crashed", "signal 9 (SIGKILL), perhaps out of memory in first call")),
        ({"code": 3}, ("crashed", "the process ended with code 3 in first call")),
        ({"code": -9, "silent": 60.0}, ("timed out", "no sign of life for 60 s in first call")),
        ({"code": 1, "gone": True}, ("crashed", "the process ended with code 1 in first call")),
    ],
)
def test_a_worker_that_dies_costs_one_cell_and_starts_again_without_it(
    world: World, out: Path, end: Event, expected: tuple[str, str]
) -> None:
    world.end["im2col"] = end
    measure(world, out, problems=SMALL[:1])
    assert [job.contenders for job in world.jobs] == [NAMES, ("direct", "naive")]
    assert status(out, "im2col") == expected
    assert status(out, "direct")[0] == status(out, "naive")[0] == "ok"
    assert world.closed == len(world.setups)


def test_everybody_may_die(world: World, out: Path) -> None:
    world.end = {name: {"code": -6} for name in NAMES}
    measure(world, out, problems=SMALL[:1])
    assert {status(out, name)[0] for name in NAMES} == {"crashed"}


def test_a_warm_up_that_dies_costs_that_contender(world: World, out: Path) -> None:
    world.fatal["im2col"] = 7
    measure(world, out)
    assert {job.contenders for job in world.jobs} == {("direct", "naive")}
    assert status(out, "im2col") == ("crashed", "its warm-up ended the process: code 7; last words")


def replaced_work(world: World, events: list[Event]) -> None:
    """From now on every job yields these events."""
    launch = world.launch

    def changed(setup: Setup) -> Any:
        crew = launch(setup)
        crew.work = lambda job: iter(events)
        return crew

    world.launch = changed  # type: ignore[method-assign]


def test_a_worker_that_dies_before_its_first_probe_ends_the_run(world: World, out: Path) -> None:
    error = {"event": "error", "error": "OSError: no such processor"}
    replaced_work(world, [error, {"event": "exit", "code": 0}])
    with pytest.raises(WorkerError, match="no such processor"):
        measure(world, out)
    assert world.closed == len(world.setups)


def test_a_problem_on_which_even_the_oracle_fails_costs_that_problem(world: World, out: Path) -> None:
    probes = {"fma": {"probe_flop": 1e8}, "stream": {"probe_bytes": 1e7}}
    hello = [{"event": "probe", "probe": probe, "round": -1, "seconds": 1e-3} for probe in probes]
    replaced_work(
        world,
        [
            {"event": "start", "facts": {"threads": 1}, "probes": probes},
            *hello,
            {"event": "begin", "algorithm": "", "stage": "oracle"},
            {"event": "error", "error": "MemoryError: 900 GB"},
            {"event": "exit", "code": 0},
        ],
    )
    measure(world, out)
    assert {status(out, name) for name in NAMES} == {("crashed", "MemoryError: 900 GB in oracle")}
    assert len(cells(out)) == len(SMALL) * len(NAMES)


def test_an_interruption_while_compiling_ends_every_crew(world: World, out: Path) -> None:
    def interrupt(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(world, out, interrupt)
    assert world.closed == len(world.setups)


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


def test_compiling_comes_first_in_shares_and_is_remembered(world: World, tmp_path: Path) -> None:
    setup = Setup(NAMES, ("mb1ic1ih4oc1kh1",))
    known = Compiled(tmp_path / "seconds.json")
    world.compile_s = 3.0
    _, warm = ready_crew(setup, world.launch, 1, known, lambda *_: None)
    assert [given.contenders for given in world.setups] == [NAMES, NAMES]
    assert warm.costs["direct", "float32"] == {"compile_s": 3.0, "cache_load_s": 0.02}
    world.setups.clear()
    _, warm = ready_crew(setup, world.launch, 2, Compiled(tmp_path / "seconds.json"), lambda *_: None)
    assert [given.contenders for given in world.setups] == [NAMES]
    assert warm.costs["direct", "float32"]["compile_s"] == 3.0


def test_a_crew_that_still_had_to_compile_is_replaced(world: World, tmp_path: Path) -> None:
    setup = Setup(NAMES, ("mb1ic1ih4oc1kh1",))
    known = Compiled(tmp_path / "seconds.json")
    ready_crew(setup, world.launch, 2, known, lambda *_: None)
    assert sorted(given.contenders for given in world.setups) == [
        ("direct", "im2col", "naive"),
        ("direct", "naive"),
        ("im2col",),
    ]
    world.setups.clear()
    world.compile_s = 2.0
    _, warm = ready_crew(setup, world.launch, 2, known, lambda *_: None)
    assert [given.contenders for given in world.setups] == [NAMES, NAMES]
    assert warm.costs["direct", "float32"] == {"compile_s": 2.0, "cache_load_s": 0.02}


def test_a_spoilt_memory_of_compile_times_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "seconds.json"
    path.write_text("[")
    known = Compiled(path)
    assert ("direct", "float32") not in known
    known.add({("direct", "float32"): {"compile_s": 2.0}})
    known.add({("direct", "float32"): {"compile_s": 1.0}})
    assert Compiled(path).seconds(("direct", "float32")) == 2.0


def test_no_crew_at_all_is_an_error(world: World, out: Path) -> None:
    def start(self: FakeCrew) -> Iterator[Event]:
        yield {"event": "gone", "code": 1, "words": "ModuleNotFoundError: numba"}

    launch = world.launch

    def broken(setup: Setup) -> Any:
        crew = launch(setup)
        crew.start = start.__get__(crew)
        return crew

    world.launch = broken  # type: ignore[method-assign]
    with pytest.raises(WorkerError, match="numba"):
        measure(world, out)


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
