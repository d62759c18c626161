"""A run: the schedule over problems within a time budget, restarts and resumption, and the record on disk."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from convbench.bench.compiled import FILE, Compiled, Warm, ready_crew
from convbench.bench.contender import find
from convbench.bench.crew import Crew, Launch, WorkerError
from convbench.bench.environment import Facts, environment
from convbench.bench.orders import CACHES, HOT, Job, Setup
from convbench.bench.records import SAMPLES
from convbench.bench.samples import Result, SampleFile
from convbench.bench.schedule import LEAST_SHARE, Schedule, Task, tasks
from convbench.bench.tally import Tally
from convbench.bench.warmup import likenesses
from convbench.choices import kernels_hash
from convbench.kernels.evict import cannot_evict
from convbench.kernels.jit import code_dir, sources_hash
from convbench.peers import Peer
from convbench.suites import Problem

PATIENCE = 60.0
SAME = ("machine", "cache", "seed", "workspace_limit", "kernels", "scaled_on")
"""Facts in which a run that is continued must agree."""
FILES = "algorithm_files"
"""The fact that names the state of the user's files; it must agree too, unless the contenders differ anyway."""
COMPILE_PROCESSES = 2


class RunError(ValueError):
    """The run cannot be started as asked; the message says what was found and what is allowed."""


@dataclass(frozen=True)
class Config:
    """What to run. ``budget``: seconds for all measurements, compiling not counted; it decides how deep they go.

    ``contenders``: names of algorithms and rivals. ``out``: the results directory; a run that it holds is continued.
    ``files``: Python files that register algorithms. ``processes``: worker processes for each problem. ``affinity``:
    processors that workers may use. ``patience``: seconds without a sign of life after which a worker is killed.
    ``cache``: what calls find in the caches, one of ``CACHES``. ``scaling``: numbers of threads on which all that are
    raced are timed beside ``threads``. ``details``: phases and memory of all that are raced.
    """

    problems: Sequence[Problem]
    contenders: Sequence[str]
    out: Path
    budget: float = 300.0
    threads: int = 1
    processes: int = 1
    affinity: tuple[int, ...] = ()
    workspace_limit: int | None = None
    files: tuple[str, ...] = ()
    seed: int = 0
    patience: float = PATIENCE
    calibrate: bool = True
    cache: str = HOT
    scaling: tuple[int, ...] = ()
    details: bool = False


@dataclass(frozen=True)
class Progress:
    """Where a run is. ``stage``: compile, load, measure or done; ``label``: the algorithm or problem at hand.

    ``done`` of ``total`` problems; ``left``: seconds that the measurements will still take, as far as can be told.
    """

    stage: str
    label: str
    done: int
    total: int
    elapsed: float
    left: float


def run(
    config: Config,
    progress: Callable[[Progress], None] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
    launch: Launch | None = None,
) -> Path:
    """Measure what ``config`` asks for and ``out`` does not hold yet; gives the path of its ``samples.json``.

    The file is complete after every problem, so that an interruption loses one at most. Raises RunError for a request
    that makes no sense or does not fit what ``out`` holds, UnknownAlgorithm, OSError if ``out`` cannot be written,
    WorkerError if no worker can be started.
    """
    return _Run(config, progress, clock, launch or partial(Crew, patience=config.patience)).measure()


class _Run:
    def __init__(
        self, config: Config, progress: Callable[[Progress], None], clock: Callable[[], float], launch: Launch
    ) -> None:
        self._config = config
        self._progress = progress
        self._clock = clock
        self._launch = launch
        self._contenders = tuple(dict.fromkeys(config.contenders))
        if config.budget <= 0 or config.threads < 1 or config.processes < 1:
            raise RunError(
                f"budget is {config.budget}, threads {config.threads}, processes {config.processes}; "
                "allowed: a budget above 0, and at least one thread and process"
            )
        if config.cache not in CACHES:
            raise RunError(f"cache is {config.cache!r}; allowed: {', '.join(CACHES)}")
        if config.cache != HOT and (reason := cannot_evict()):
            raise RunError(reason)
        if config.scaling and max(config.scaling) != config.threads:
            raise RunError(f"scaling is {config.scaling}; its greatest must be threads = {config.threads}")
        self._all = tasks(config.problems)
        if not self._all or not self._contenders:
            raise RunError("there is nothing to measure; allowed: at least one problem and one algorithm")
        if not config.files:  # which may register more
            for name in self._contenders:
                find(name)
        self._file = SampleFile(config.out / SAMPLES)
        self._facts: Facts = {
            **environment(),
            "cache": config.cache,
            "scaled_on": " ".join(map(str, config.scaling)) or "none",
            "seed": config.seed,
            "workspace_limit": "none" if config.workspace_limit is None else config.workspace_limit,
            "kernels": kernels_hash(),
            FILES: sources_hash(*map(Path, config.files)) if config.files else "none",
        }
        self._todo = [task for task in self._all if not self._measured(task)]
        self._started = clock()
        self._schedule = Schedule(self._todo, config.budget, clock)

    def _measured(self, task: Task) -> bool:
        """Whether the file holds this problem with these contenders. RunError if it is a run of another kind."""
        facts = self._file.facts(task.key)
        if not facts:
            return False
        same = facts["contenders"] == " ".join(sorted(self._contenders))
        names = (*SAME, FILES) if same else SAME
        for name, value in {"threads": self._config.threads, **{name: self._facts[name] for name in names}}.items():
            if facts.get(name) != value:
                raise RunError(
                    f"{self._file.path} holds a run with {name} = {facts.get(name)}, this one has {value}; "
                    "allowed: the same, or another directory"
                )
        return same

    def measure(self) -> Path:
        if self._todo:
            self._config.out.mkdir(parents=True, exist_ok=True)
            self._crew, self._warm = self._ready()
            try:
                self._schedule.start()
                for i, task in enumerate(self._todo):
                    self._tell("measure", task.label, i)
                    self._file.add(self._one(task, self._schedule.share(i)))
            finally:
                self._crew.close()
        self._tell("done", "", len(self._todo))
        return self._file.path

    def _ready(self) -> tuple[Crew, Warm]:
        setup = Setup(
            contenders=self._contenders,
            specs=tuple(map(str, likenesses(task.spec for task in self._todo))),
            threads=self._config.threads,
            files=self._config.files,
            calibrate=self._config.calibrate,
            cache=self._config.cache,
        )
        processes = min(COMPILE_PROCESSES, os.cpu_count() or 1)
        known = Compiled(code_dir() / FILE)
        return ready_crew(setup, self._launch, processes, known, lambda stage, name: self._tell(stage, name, 0))

    def _one(self, task: Task, share: float) -> Result:
        """Measure one problem in as many worker processes as asked for, and as deaths of contenders take."""
        tally = Tally(self._contenders, {name: self._costs(task, name) for name in self._contenders}, self._warm.lost)
        until = self._clock() + share
        for process in range(self._config.processes):
            seconds = share / self._config.processes
            while tally.waiting and not self._attempt(task, tally, seconds, process):
                if self._crew.gone:
                    self._crew.close()
                    self._crew, _ = self._ready()
                seconds = max(LEAST_SHARE, (until - self._clock()) / (self._config.processes - process))
        date = datetime.now(UTC).replace(tzinfo=None).isoformat(sep=" ", timespec="seconds")
        sizes: Facts = {"flop": task.spec.flop, "min_bytes": task.spec.min_bytes}
        facts = {**self._facts, **sizes, "blas": self._warm.blas, "date": date}
        return tally.result(str(task.spec), task.weights, list(task.members), facts)

    def _costs(self, task: Task, name: str) -> Facts:
        """What is known of a cell before it is measured."""
        return {
            **self._warm.costs.get((name, task.spec.dtype), {}),
            "repro": self._command(task, name),
            "peer": int(isinstance(find(name), Peer)),
        }

    def _command(self, task: Task, name: str) -> str:
        """The command line that measures this cell again."""
        config = self._config
        words = ["convbench", "bench", str(Problem(task.spec, task.weights)), "--algorithms", name]
        words += ["--threads", ",".join(map(str, config.scaling or (config.threads,)))]
        words += [word for file in config.files for word in ("--with", Path(file).name)]
        words += ["--cache", config.cache] if config.cache != HOT else []
        return shlex.join(words)

    def _attempt(self, task: Task, tally: Tally, seconds: float, seed: int) -> bool:
        """One worker process; False if it died: then the contender to blame is out, or all if nobody is."""
        job = Job(
            spec=str(task.spec),
            weights=task.weights,
            contenders=tally.waiting,
            seconds=seconds,
            threads=self._config.threads,
            affinity=self._config.affinity,
            workspace_limit=self._config.workspace_limit,
            seed=self._config.seed + seed,
            cache=self._config.cache,
            details=self._config.details,
            scaling=self._config.scaling,
        )
        tally.begin()
        silent, error, code = 0.0, "", 0
        for event in self._crew.work(job):
            match event["event"]:
                case "silent":
                    silent = event["seconds"]
                case "error":
                    error = event["error"]
                case "exit" | "gone":
                    code = event["code"]
                    tally.ended(event.get("max_rss", 0))
                case _:
                    tally.take(event)
        if not (silent or error or code or self._crew.gone):
            return True
        if not tally.blame(code, silent, error):
            raise WorkerError(f"{task.key}: {error or self._crew.last_words() or f'a worker ended with code {code}'}")
        return False

    def _tell(self, stage: str, label: str, done: int) -> None:
        resumed = len(self._all) - len(self._todo)
        elapsed = self._clock() - self._started
        self._progress(Progress(stage, label, resumed + done, len(self._all), elapsed, self._schedule.to_go(done)))
