"""``samples.json``: a pyperf suite in which value i of every contender and probe of a problem is round i.

Each worker process that measured a problem is one ``pyperf.Run`` (metadata ``process``), so rounds pair by
(process, i). Benchmarks are named ``<spec> | <algorithm>`` and ``<spec> | probe:fma``, ``… | probe:stream``. What has
no samples (skipped, crashed, hopeless …) cannot be a pyperf benchmark: it is JSON text in ``probe:fma``'s ``cells``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from io import StringIO
from pathlib import Path

from pyperf import Benchmark, BenchmarkSuite, Run

from convbench.bench.environment import Facts
from convbench.bench.scrub import scrub
from convbench.machine import write_atomic

PROBES = ("fma", "stream")
RUN = "a directory that `convbench bench` wrote, or the samples.json in it"
STATUSES = ("ok", "weak test", "failed", "skipped", "crashed", "timed out", "hopeless", "out of budget")
"""How a cell stands. weak test: right, but the data could not have caught an error; hopeless: too slow to be timed."""


class RecordError(ValueError):
    """A file is not a record of convbench; the message names it."""


@dataclass
class Series:
    """One worker process's samples of one contender or probe: seconds per call, by round.

    ``loops``: calls within a sample. ``beside``: seconds of the FMA probe next to each sample (empty for probes).
    """

    values: list[float] = field(default_factory=list)
    loops: int = 1
    beside: list[float] = field(default_factory=list)


@dataclass
class Cell:
    """One algorithm on one problem.

    ``status``: one of ``STATUSES``.

    ``facts``: the numbers of the record (compile_s, prepare_s, error, workspace_bytes …); ``series`` by process.
    """

    algorithm: str
    status: str
    reason: str = ""
    facts: Facts = field(default_factory=dict)
    series: dict[int, Series] = field(default_factory=dict)


@dataclass(frozen=True)
class Membership:
    """A suite that holds the problem, under which name and how many times."""

    suite: str
    name: str = ""
    repeats: int = 1


@dataclass
class Result:
    """A problem with all its cells. ``facts`` go to every benchmark; ``probe_facts``: flop, bytes of one probe call."""

    spec: str
    weights: str
    members: list[Membership]
    cells: list[Cell]
    probes: dict[str, dict[int, Series]]
    probe_facts: dict[str, Facts]
    facts: Facts = field(default_factory=dict)

    @property
    def key(self) -> str:
        return problem_key(self.spec, self.weights)


def problem_key(spec: str, weights: str) -> str:
    """What benchmarks of a problem are called: the spec's text, marked when its filters are not dense."""
    return spec if weights == "dense" else f"{spec} [{weights}]"


def benchmarks(result: Result) -> Iterator[Benchmark]:
    """The pyperf benchmarks of one problem: probes first."""
    shared = clean(
        {
            **result.facts,
            "spec": result.spec,
            "weights": result.weights,
            "suite": result.members[0].suite,
            "problem_name": result.members[0].name,
            "repeats": result.members[0].repeats,
        }
    )
    silent = [_silent(cell) for cell in result.cells if not cell.series]
    for probe in PROBES:
        facts = dict(result.probe_facts.get(probe, {}))
        if probe == "fma":
            facts["members"] = json.dumps([asdict(member) for member in result.members])
            facts["contenders"] = " ".join(sorted(cell.algorithm for cell in result.cells))
            facts["cells"] = json.dumps(silent)
        yield _benchmark(f"{result.key} | probe:{probe}", result.probes[probe], shared | clean(facts))
    for cell in result.cells:
        if cell.series:
            facts = {**cell.facts, "algorithm": cell.algorithm, "status": cell.status, "reason": cell.reason}
            yield _benchmark(f"{result.key} | {cell.algorithm}", cell.series, shared | clean(facts))


def _silent(cell: Cell) -> Facts:
    return clean({**cell.facts, "algorithm": cell.algorithm, "status": cell.status, "reason": cell.reason})


def _benchmark(name: str, series: dict[int, Series], metadata: Facts) -> Benchmark:
    runs = []
    for process, one in series.items():
        extra: Facts = {"name": name, "process": process, "loops": one.loops}
        if one.beside:
            extra["fma_beside"] = json.dumps([float(f"{seconds:.4g}") for seconds in one.beside])
        runs.append(Run(one.values, metadata=metadata | extra, collect_metadata=False))
    return Benchmark(runs)


GIVEN = {"spec", "weights", "suite", "problem_name", "repro", "members", "algorithm", "name"}
"""Text that the user chose, in which a slash is part of a layer's name."""


def clean(facts: Facts) -> Facts:
    """What pyperf accepts and others may read: scrubbed one-line text, finite numbers, nothing empty."""
    kept: Facts = {}
    for name, value in facts.items():
        if isinstance(value, str):
            value = " ".join(value.split()) if name in GIVEN else scrub(value)
            if not value:
                continue
        elif not math.isfinite(value):
            continue
        kept[name] = value
    return kept


class SampleFile:
    """The file of one run, rewritten as a whole and in one step after each problem."""

    def __init__(self, path: Path) -> None:
        """Open ``path``, reading what it holds; RecordError says when it is not a pyperf file."""
        self.path = path
        self._problems: dict[str, list[Benchmark]] = {}
        if path.exists():
            for benchmark in load(path):
                self._problems.setdefault(benchmark.get_name().rpartition(" | ")[0], []).append(benchmark)
        self._suite = self._rebuilt()

    def facts(self, key: str) -> Facts:
        """Metadata of a problem's ``probe:fma``; empty if the problem is not in the file."""
        found = self._problems.get(key)
        return found[0].get_runs()[0].get_metadata() if found else {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._problems)

    def add(self, result: Result) -> None:
        """Write the problem, in place of what the file may hold of it. Raises OSError when it cannot be written."""
        stale = self._problems.pop(result.key, None)
        self._problems[result.key] = list(benchmarks(result))
        if stale is not None or self._suite is None:
            self._suite = self._rebuilt()
        else:
            for benchmark in self._problems[result.key]:
                self._suite.add_benchmark(benchmark)
        assert self._suite is not None
        text = StringIO()
        self._suite.dump(text)
        write_atomic(self.path, text.getvalue())

    def _rebuilt(self) -> BenchmarkSuite | None:
        found = [benchmark for problem in self._problems.values() for benchmark in problem]
        return BenchmarkSuite(found) if found else None


def load(path: Path) -> Iterable[Benchmark]:
    """The benchmarks of a samples file; RecordError names a file that is not one."""
    try:
        found: list[Benchmark] = BenchmarkSuite.load(str(path)).get_benchmarks()
        if strange := [name for benchmark in found if " | " not in (name := str(benchmark.get_name()))]:
            raise ValueError(f"benchmark {strange[0]!r} is not named <spec> | <algorithm>")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecordError(f"{path}: not a record of convbench ({error}); allowed: {RUN}") from error
    return found
