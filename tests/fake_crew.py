"""Crews that only pretend to work, in a world with a fake clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from convbench.bench.orders import Job, Setup
from convbench.bench.records import cells
from convbench.bench.runner import Config, Progress, run
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


def measure(world: World, out: Path, note: Callable[[Progress], None] = lambda _: None, **changes: Any) -> Path:
    config = Config(**{"problems": SMALL, "contenders": NAMES, "out": out, "budget": 40.0, **changes})
    return run(config, note, world.clock, world.launch)


def status(out: Path, name: str, spec: ConvSpec = SMALL[0].spec) -> tuple[str, str]:
    frame = cells(out)
    row = frame[(frame["algorithm"] == name) & (frame["spec"] == str(spec))].iloc[0]
    return row["status"], row["reason"]
