"""Workers and contenders that die, in a run with crews that only pretend to work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_crew import NAMES, SMALL, Event, FakeCrew, World, measure, status

from convbench.bench.crew import WorkerError
from convbench.bench.orders import Setup
from convbench.bench.records import cells
from convbench.bench.runner import Progress


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "run"


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
