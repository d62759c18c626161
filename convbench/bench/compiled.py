"""Before a run: compile whatever is not compiled yet, then start the crew that finds all of it compiled."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event

from convbench.bench.crew import Crew, Launch, WorkerError
from convbench.bench.environment import Facts
from convbench.bench.orders import Setup
from convbench.machine import write_atomic
from convbench.spec import ConvSpec

FILE = "compile_seconds.json"
NOTICEABLE = 0.05  # seconds of compiling in all: after more, the crew is replaced by one that only loads
Key = tuple[str, str]
"""(contender, dtype)."""
Note = Callable[[str, str], None]


@dataclass
class Warm:
    """What a warm-up found: ``costs`` (compile_s, cache_load_s) of each key, and whom it ``lost`` and why."""

    costs: dict[Key, Facts] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)
    blas: str = ""

    @property
    def compiling(self) -> float:
        return sum(float(facts["compile_s"]) for facts in self.costs.values())


class Compiled:
    """Seconds that compiling took, kept beside the compiled code for the runs that find it.

    A file that cannot be read or written is no loss.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seconds: dict[str, float] = {}
        with suppress(OSError, ValueError, TypeError, AttributeError):
            self._seconds = {str(name): float(value) for name, value in json.loads(path.read_text()).items()}

    def __contains__(self, key: Key) -> bool:
        return " ".join(key) in self._seconds

    def seconds(self, key: Key) -> float:
        return self._seconds.get(" ".join(key), 0.0)

    def add(self, costs: Mapping[Key, Facts]) -> None:
        """A run may compile a part only, so the longest time counts."""
        for key, facts in costs.items():
            self._seconds[" ".join(key)] = max(self.seconds(key), float(facts["compile_s"]))
        with suppress(OSError):
            write_atomic(self._path, json.dumps(self._seconds, indent=1) + "\n")


def ready_crew(setup: Setup, launch: Launch, processes: int, known: Compiled, note: Note) -> tuple[Crew, Warm]:
    """A crew whose warm-up had nothing left to compile, and what compiling and loading cost.

    What was never compiled is compiled first, in ``processes`` crews at once that share the contenders out.
    ``note(stage, contender)`` hears of each as it begins. Raises WorkerError if no crew can be started.
    """
    lost: dict[str, str] = {}
    dtypes = {ConvSpec.parse(text).dtype for text in setup.specs}
    if any((name, dtype) not in known for name in setup.contenders for dtype in dtypes):
        for warm in _compile(setup, launch, processes, note):
            known.add(warm.costs)
            lost |= warm.lost
    crew, warm = _load(setup, launch, lost, note)
    if warm.compiling > NOTICEABLE:
        known.add(warm.costs)
        crew.close()
        crew, warm = _load(setup, launch, warm.lost, note)
    for key, facts in warm.costs.items():
        facts["compile_s"] = known.seconds(key)
    return crew, warm


def _compile(setup: Setup, launch: Launch, processes: int, note: Note) -> list[Warm]:
    crews: list[Crew] = []
    stopped = Event()

    def start(setup: Setup) -> Crew:
        if stopped.is_set():
            raise WorkerError("compiling was interrupted")
        crews.append(launch(setup))
        return crews[-1]

    def share(contenders: tuple[str, ...]) -> Warm:
        crew, warm = warmed(replace(setup, contenders=contenders), start, {}, lambda name: note("compile", name))
        crew.close()
        return warm

    shares = [part for i in range(processes) if (part := setup.contenders[i::processes])]
    with ThreadPoolExecutor(len(shares)) as pool:
        try:
            return list(pool.map(share, shares))
        except BaseException:
            stopped.set()
            for crew in crews:
                crew.kill()
            raise


def _load(setup: Setup, launch: Launch, lost: Mapping[str, str], note: Note) -> tuple[Crew, Warm]:
    return warmed(setup, launch, lost, lambda name: note("load", name))


def warmed(setup: Setup, launch: Launch, lost: Mapping[str, str], note: Callable[[str], None]) -> tuple[Crew, Warm]:
    """A crew that is ready, without the ``lost`` and without those whose warm-up ends the process; both are named."""
    warm = Warm(lost=dict(lost))
    while True:
        crew = launch(replace(setup, contenders=tuple(name for name in setup.contenders if name not in warm.lost)))
        try:
            if _ready(crew, warm, note):
                return crew, warm
        except BaseException:
            crew.close()
            raise
        crew.close()


def _ready(crew: Crew, warm: Warm, note: Callable[[str], None]) -> bool:
    """Follow a warm-up to its end; False if a contender, now among the lost, ended the process."""
    at, silent = "", 0.0
    for event in crew.start():
        match event["event"]:
            case "begin":
                at = event["algorithm"]
                note(at)
            case "warm":
                facts: Facts = {"compile_s": event["compile_s"], "cache_load_s": event["load_s"]}
                warm.costs[event["algorithm"], event["dtype"]] = facts
            case "silent":
                silent = event["seconds"]
            case "ready":
                warm.blas = event["blas"]
            case "gone":
                if not at:
                    raise WorkerError(f"a worker process ended with code {event['code']}: {event['words']}")
                end = f"no sign of life for {silent:.3g} s" if silent else f"code {event['code']}"
                warm.lost[at] = f"its warm-up ended the process: {end}; {event['words']}"
    return not crew.gone
